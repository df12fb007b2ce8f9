#include "client/ctl/credential_input.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/input_file.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

constexpr struct {
  const char* flag;
  const char* field;
  const char* help;
} kSecretFiles[] = {
    {"--api-key-file", "api_key", "a key used as it is"},
    {"--access-token-file", "access_token", "the bearer token"},
    {"--refresh-token-file", "refresh_token", "single use; the broker becomes its owner"},
    {"--id-token-file", "id_token", "OpenID token"},
    {"--client-secret-file", "client_secret", "secret of the OAuth client"},
    {"--service-account-file", "service_account_json", "a service account, JSON"},
    {"--cookie-file", "cookie", "a session cookie"},
};

absl::StatusOr<google::protobuf::Struct> ParseObject(const std::string& path,
                                                     const std::string& bytes) {
  google::protobuf::Struct object;
  // The parser's own message would quote the file, secrets and all.
  if (!google::protobuf::util::JsonStringToMessage(bytes, &object).ok()) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a JSON object"));
  }
  return object;
}

void SetBytes(const std::string& field, std::string value, v1::SecretMaterial* secret) {
  const auto* descriptor = secret->GetDescriptor()->FindFieldByName(field);
  secret->GetReflection()->SetString(secret, descriptor, std::move(value));
}

// Output-only or immutable: what `get -o json` prints may come back with them.
bool Settable(const std::string& field) {
  static const std::set<std::string> kFixed = {"id",     "uid",          "etag",   "provider",
                                               "source", "create_time",  "status", "update_time",
                                               "intent", "refresh_owner"};
  return kFixed.count(field) == 0;
}

}  // namespace

void SecretInput::AddFlags(FlagSet& flags) {
  flags
      .Text("--secret-file", "FILE", &object_path_,
            "JSON object with any of access_token, refresh_token, id_token, api_key, "
            "client_secret, service_account_json, cookie, expire_time; '-': standard input")
      .File();
  for (const auto& each : kSecretFiles) {
    auto& path = paths_.emplace_back(each.field, "");
    flags.Text(each.flag, "FILE", &path.second, each.help).File();
  }
  flags.Pairs("--extra-secret-file", &extra_paths_, "another secret: NAME=FILE");
  flags.When("--expire-time", &expire_, "when the access token expires");
}

absl::Status SecretInput::ReadObject(Context& context, v1::SecretMaterial* secret) const {
  const auto bytes = ReadWhole(context, object_path_, kMaxDocument);
  if (!bytes.ok()) return bytes.status();
  const auto object = ParseObject(object_path_, *bytes);
  if (!object.ok()) return object.status();
  for (const auto& [key, value] : object->fields()) {
    const auto* field = secret->GetDescriptor()->FindFieldByName(key);
    const bool text = value.kind_case() == google::protobuf::Value::kStringValue;
    if (key == "expire_time" && text) {
      const auto moment = ParseMoment(value.string_value());
      if (!moment.ok()) {
        return absl::InvalidArgumentError("--secret-file: expire_time is not an RFC 3339 time");
      }
      FromTime(moment->At(context.now()), secret->mutable_expire_time());
    } else if (key == "service_account_json" && value.has_struct_value()) {
      std::string json;
      (void)google::protobuf::util::MessageToJsonString(value, &json);
      secret->set_service_account_json(json);
    } else if (field == nullptr || field->is_repeated() || !text) {
      return absl::InvalidArgumentError(
          absl::StrCat("--secret-file: '", key,
                       "' is not a secret this command knows, or not a "
                       "string"));
    } else {
      SetBytes(key, value.string_value(), secret);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<v1::SecretMaterial>> SecretInput::Read(Context& context) const {
  v1::SecretMaterial secret;
  if (!object_path_.empty()) {
    if (absl::Status status = ReadObject(context, &secret); !status.ok()) return status;
  }
  const auto read = [&](const std::string& path) -> absl::StatusOr<std::string> {
    auto bytes = ReadWhole(context, path, kMaxDocument);
    if (!bytes.ok()) return bytes;
    std::string value(absl::StripTrailingAsciiWhitespace(*bytes));
    if (value.empty()) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is empty"));
    return value;
  };
  for (const auto& [field, path] : paths_) {
    if (path.empty()) continue;
    auto value = read(path);
    if (!value.ok()) return value.status();
    SetBytes(field, *std::move(value), &secret);
  }
  for (const auto& [name, path] : extra_paths_) {
    auto value = read(path);
    if (!value.ok()) return value.status();
    (*secret.mutable_extra_secrets())[name] = *std::move(value);
  }
  if (expire_.has_value()) FromTime(expire_->At(context.now()), secret.mutable_expire_time());
  if (secret.ByteSizeLong() == 0) return std::optional<v1::SecretMaterial>();
  return std::optional<v1::SecretMaterial>(std::move(secret));
}

void DocumentInput::AddText(FlagSet& flags, const char* flag, const char* field, const char* help) {
  Value& value = values_.emplace_back();
  value.field = field;
  flags.OptionalText(flag, "TEXT", &value.text, help);
}

void DocumentInput::AddNumber(FlagSet& flags, const char* flag, const char* field, int64_t least,
                              int64_t most, const char* help) {
  Value& value = values_.emplace_back();
  value.field = field;
  flags.Number(flag, &value.number, least, most, help);
}

void DocumentInput::AddFlags(FlagSet& flags) {
  flags
      .Text("--from", "FILE", &from_,
            "a document as 'get -o json' prints it; '-': standard input; other flags win")
      .File();
  AddText(flags, "--group", "group", "default \"default\"");
  AddText(flags, "--title", "label", "the field `label`, for people");
  AddText(flags, "--email", "email", "for people");
  AddText(flags, "--note", "note", "for people");
  AddText(flags, "--prefix", "prefix", "adds names prefix/model");
  AddText(flags, "--base-url", "base_url", "upstream address");
  constexpr int64_t kMost = 1'000'000;
  AddNumber(flags, "--priority", "priority", -kMost, kMost, "higher is served first");
  AddNumber(flags, "--weight", "weight", -kMost, kMost, "0 and less: by pin only");
  AddNumber(flags, "--max-in-flight", "max_in_flight", 0, kMost, "0: unlimited");
  AddNumber(flags, "--max-in-flight-per-model", "max_in_flight_per_model", 0, kMost,
            "0: unlimited");
  AddNumber(flags, "--request-retry", "request_retry", 0, 100, "a hint for the proxy");
  flags.OptionalText("--proxy", "URL|@FILE", &proxy_, "one with a password only from a file")
      .File();
  flags.EnumChoice("--kind", "KIND", &kind_,
                   "default: from the secret; one of oauth, api_key, "
                   "service_account");
  flags.Pairs("--label", &labels_, "a label; all of them are replaced");
  flags.Texts("--model", "NAME", &models_, "a model it serves; default all");
  flags.Texts("--exclude-model", "NAME", &excluded_models_, "a model it does not serve");
  flags.Choice(
      "--disable-cooling", "BOOL", {"false", "true"},
      [this](size_t i) { disable_cooling_ = i == 1; },
      "true: 429 and transient failures do not make it wait");
}

absl::Status DocumentInput::ReadFrom(Context& context, Document* document) const {
  const auto bytes = ReadWhole(context, from_, kMaxDocument);
  if (!bytes.ok()) return bytes.status();
  const auto object = ParseObject(from_, *bytes);
  if (!object.ok()) return object.status();
  const auto* descriptor = v1::Credential::descriptor();
  for (const auto& [key, value] : object->fields()) {
    const auto* field = descriptor->FindFieldByName(key);
    for (int i = 0; field == nullptr && i < descriptor->field_count(); ++i) {
      if (descriptor->field(i)->json_name() == key) field = descriptor->field(i);
    }
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("--from: '", key, "' is not a field of a credential"));
    }
    if (Settable(field->name())) document->fields.insert(field->name());
  }
  if (!google::protobuf::util::JsonStringToMessage(*bytes, &document->credential).ok()) {
    return absl::InvalidArgumentError("--from: a field's value has the wrong type");
  }
  return absl::OkStatus();
}

absl::StatusOr<DocumentInput::Document> DocumentInput::Read(Context& context) const {
  Document document;
  v1::Credential& credential = document.credential;
  if (!from_.empty()) {
    if (absl::Status status = ReadFrom(context, &document); !status.ok()) return status;
  }
  const auto* reflection = credential.GetReflection();
  for (const Value& value : values_) {
    const auto* field = v1::Credential::descriptor()->FindFieldByName(value.field);
    if (value.text.has_value()) reflection->SetString(&credential, field, *value.text);
    if (value.number.has_value()) {
      reflection->SetInt32(&credential, field, static_cast<int32_t>(*value.number));
    }
    if (value.text.has_value() || value.number.has_value()) document.fields.insert(value.field);
  }
  if (proxy_.has_value()) {
    auto address = ProxyAddress(context, *proxy_, "--proxy");
    if (!address.ok()) return address.status();
    credential.set_proxy_url(*std::move(address));
    document.fields.insert("proxy_url");
  }
  if (kind_ != v1::CREDENTIAL_KIND_UNSPECIFIED) {
    credential.set_kind(kind_);
    document.fields.insert("kind");
  }
  if (!labels_.empty()) {
    *credential.mutable_labels() = labels_;
    document.fields.insert("labels");
  }
  if (!models_.empty()) {
    credential.mutable_models()->Assign(models_.begin(), models_.end());
    document.fields.insert("models");
  }
  if (!excluded_models_.empty()) {
    credential.mutable_excluded_models()->Assign(excluded_models_.begin(), excluded_models_.end());
    document.fields.insert("excluded_models");
  }
  if (disable_cooling_.has_value()) {
    credential.set_disable_cooling(*disable_cooling_);
    document.fields.insert("disable_cooling");
  }
  return document;
}

}  // namespace credbroker::ctl
