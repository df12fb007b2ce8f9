// Documents and secrets, both ways, with what must not leave shown as "***".
#include <algorithm>
#include <set>
#include <utility>

#include <google/protobuf/util/json_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/rpc/convert.h"
#include "server/rpc/redact.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

template <typename Map>
std::vector<std::pair<std::string, std::string>> Sorted(const Map& map) {
  std::vector<std::pair<std::string, std::string>> list(map.begin(), map.end());
  std::sort(list.begin(), list.end());
  return list;
}

const std::string* Find(const std::vector<std::pair<std::string, std::string>>& list,
                        const std::string& key) {
  for (const auto& [name, value] : list) {
    if (name == key) return &value;
  }
  return nullptr;
}

template <typename T>
std::optional<int32_t> Optional(bool given, T value) {
  return given ? std::optional<int32_t>(value) : std::nullopt;
}

absl::StatusOr<std::string> AttributesJson(const v1::Credential& credential) {
  std::string json;
  if (!credential.has_attributes() || credential.attributes().fields().empty()) return json;
  if (!google::protobuf::util::MessageToJsonString(credential.attributes(), &json).ok()) {
    return absl::InvalidArgumentError("credential.attributes: cannot be written as JSON");
  }
  if (json.size() > 64 * 1024) {
    return absl::InvalidArgumentError("credential.attributes: is more than 64 KiB as JSON");
  }
  return json;
}

std::vector<core::ModelAlias> Aliases(const v1::Credential& credential) {
  std::vector<core::ModelAlias> aliases;
  for (const v1::ModelAlias& alias : credential.model_aliases()) {
    aliases.push_back({alias.alias(), alias.model()});
  }
  return aliases;
}

std::optional<int32_t> RefreshSeconds(const v1::Credential& credential) {
  return Optional(credential.has_refresh_interval(), credential.refresh_interval().seconds());
}

void SetLabel(core::Document& document, const std::string& key, const std::string* value) {
  auto& labels = document.labels;
  labels.erase(std::remove_if(labels.begin(), labels.end(),
                              [&](const auto& label) { return label.first == key; }),
               labels.end());
  if (value != nullptr) labels.emplace_back(key, *value);
  std::sort(labels.begin(), labels.end());
}

// One path of a mask; paths were checked.
absl::Status PatchField(const std::string& path, const v1::Credential& from,
                        core::Document& document) {
  if (path == "group") {
    document.group = from.group().empty() ? "default" : from.group();
  } else if (path == "kind") {
    document.kind = ToKind(from.kind()).value_or(document.kind);
  } else if (path == "label") {
    document.label = from.label();
  } else if (path == "email") {
    document.email = from.email();
  } else if (path == "note") {
    document.note = from.note();
  } else if (path == "priority") {
    document.priority = from.priority();
  } else if (path == "weight") {
    document.weight = from.has_weight() ? from.weight() : 1;
  } else if (path == "prefix") {
    document.prefix = from.prefix();
  } else if (path == "proxy_url") {
    if (HasRedactedPassword(from.proxy_url())) {
      // With another host behind it "***" would send the stored password there.
      if (from.proxy_url() != RedactUrl(document.proxy_url)) {
        return absl::InvalidArgumentError(
            "credential.proxy_url: \"***\" keeps a stored password, and this is another address");
      }
    } else {
      document.proxy_url = from.proxy_url() == "none" ? core::kDirect : from.proxy_url();
    }
  } else if (path == "headers") {
    auto headers = Sorted(from.headers());
    for (auto& [name, value] : headers) {
      if (value != kRedacted) continue;
      const std::string* stored = Find(document.headers, name);
      if (stored == nullptr) {
        return absl::InvalidArgumentError(
            "credential.headers: \"***\" keeps a stored value, and there is none of this name");
      }
      value = *stored;
    }
    document.headers = std::move(headers);
  } else if (path == "models") {
    document.models.assign(from.models().begin(), from.models().end());
  } else if (path == "excluded_models") {
    document.excluded_models.assign(from.excluded_models().begin(), from.excluded_models().end());
  } else if (path == "model_aliases") {
    document.model_aliases = Aliases(from);
  } else if (path == "disable_cooling") {
    document.disable_cooling = from.disable_cooling();
  } else if (path == "max_in_flight") {
    document.max_in_flight = Optional(from.has_max_in_flight(), from.max_in_flight());
  } else if (path == "max_in_flight_per_model") {
    document.max_in_flight_per_model =
        Optional(from.has_max_in_flight_per_model(), from.max_in_flight_per_model());
  } else if (path == "request_retry") {
    document.request_retry = Optional(from.has_request_retry(), from.request_retry());
  } else if (path == "refresh_interval") {
    document.refresh_interval_seconds = RefreshSeconds(from);
  } else if (path == "base_url") {
    document.base_url = from.base_url();
  } else if (path == "attributes") {
    absl::StatusOr<std::string> json = AttributesJson(from);
    if (!json.ok()) return json.status();
    document.attributes_json = *std::move(json);
  } else if (path == "labels") {
    document.labels = Sorted(from.labels());
  } else if (absl::StartsWith(path, "labels.")) {
    const std::string key = path.substr(7);
    const auto found = from.labels().find(key);
    SetLabel(document, key, found == from.labels().end() ? nullptr : &found->second);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const core::Document>> ToDocument(const v1::Credential& credential,
                                                                 core::Kind kind) {
  auto document = std::make_shared<core::Document>();
  document->id = credential.id();
  document->provider = credential.provider();
  for (const char* path : {"group",
                           "label",
                           "email",
                           "note",
                           "priority",
                           "weight",
                           "prefix",
                           "proxy_url",
                           "headers",
                           "models",
                           "excluded_models",
                           "model_aliases",
                           "disable_cooling",
                           "max_in_flight",
                           "max_in_flight_per_model",
                           "request_retry",
                           "refresh_interval",
                           "base_url",
                           "attributes",
                           "labels"}) {
    if (absl::Status status = PatchField(path, credential, *document); !status.ok()) return status;
  }
  document->kind = ToKind(credential.kind()).value_or(kind);
  return std::shared_ptr<const core::Document>(std::move(document));
}

absl::Status PatchDocument(const v1::Credential& credential,
                           const google::protobuf::FieldMask& mask, core::Document& document) {
  for (const std::string& path : mask.paths()) {
    if (absl::Status status = PatchField(path, credential, document); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::shared_ptr<const core::SecretMaterial> ToSecret(const v1::SecretMaterial& secret) {
  auto out = std::make_shared<core::SecretMaterial>();
  out->access_token = core::Secret(secret.access_token());
  out->refresh_token = core::Secret(secret.refresh_token());
  out->id_token = core::Secret(secret.id_token());
  out->api_key = core::Secret(secret.api_key());
  out->client_secret = core::Secret(secret.client_secret());
  out->service_account = core::Secret(secret.service_account_json());
  out->cookie = core::Secret(secret.cookie());
  for (const auto& [name, value] : secret.extra_secrets()) {
    out->extra.emplace(name, core::Secret(value));
  }
  if (secret.has_expire_time()) out->expire_time = ToTime(secret.expire_time());
  return out;
}

core::Kind KindOf(const v1::SecretMaterial& secret) {
  if (!secret.service_account_json().empty()) return core::Kind::kServiceAccount;
  if (!secret.access_token().empty() || !secret.refresh_token().empty() ||
      !secret.id_token().empty()) {
    return core::Kind::kOAuth;
  }
  return core::Kind::kApiKey;
}

}  // namespace credbroker::rpc
