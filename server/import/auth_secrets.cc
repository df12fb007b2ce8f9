#include "server/import/auth_secrets.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/import/field_values.h"
#include "server/import/import_types.h"

namespace credbroker::import {
namespace {

constexpr size_t kMaxExtraSecrets = 16;
constexpr size_t kMaxExtraSecretBytes = 256 << 10;

// AUTH_FILES: the first of these that has a value.
constexpr const char* kExpiryKeys[] = {"expired",   "expire", "expires_at",
                                       "expiresAt", "expiry", "expires"};

// Takes all of them, as each tells of the token and none of the credential.
void ReadExpiry(Json& object, absl::string_view path, ObjectReader& reader,
                core::SecretMaterial& secret) {
  for (const char* key : kExpiryKeys) {
    const auto at = object.find(key);
    if (at == object.end()) continue;
    if (!secret.expire_time && !IsNoTime(*at)) {
      secret.expire_time = ReadTime(*at);
      if (!secret.expire_time) {
        return reader.Refuse(absl::StrCat(path, key),
                             "must be an RFC 3339 time, \"YYYY-MM-DD hh:mm[:ss]\", or unix seconds "
                             "or milliseconds");
      }
    }
    object.erase(at);
  }
}

// The lifetime as a token reply told it, with the time of the reply.
void ReadLifetime(const Json& object, core::SecretMaterial& secret) {
  const auto lifetime = object.find("expires_in"), begun = object.find("timestamp");
  if (secret.expire_time || lifetime == object.end() || begun == object.end()) return;
  const std::optional<int64_t> seconds = ReadInteger(*lifetime, /*truncate=*/true);
  const std::optional<absl::Time> from = ReadTime(*begun);
  if (!seconds || !from || *seconds <= 0 || *seconds > 10 * 365 * 86'400) return;
  secret.expire_time = *from + absl::Seconds(*seconds);
}

// gemini and others keep the reply of the token endpoint as it came.
void ReadTokenObject(Json& object, ObjectReader& reader, ParsedCredential& out) {
  const auto at = object.find("token");
  if (at == object.end() || !at->is_object()) return;
  Json& token = *at;
  core::SecretMaterial& secret = *out.secret;
  std::map<std::string, std::string> unused;
  ObjectReader inner(token, unused);
  const std::pair<const char*, core::Secret*> parts[] = {{"access_token", &secret.access_token},
                                                         {"refresh_token", &secret.refresh_token},
                                                         {"id_token", &secret.id_token},
                                                         {"client_secret", &secret.client_secret}};
  for (const auto& [key, member] : parts) {
    core::Secret value;
    inner.SecretText({key}, value);
    if (member->empty()) *member = std::move(value);  // the outer one wins
  }
  if (inner.rejection()) {
    return reader.Refuse(absl::StrCat("token.", inner.rejection()->field),
                         inner.rejection()->problem);
  }
  ReadExpiry(token, "token.", reader, secret);
  ReadLifetime(token, secret);
  for (const char* key : {"client_id", "token_uri"}) {
    const auto inside = token.find(key);
    if (inside != token.end() && inside->is_string() && !object.contains(key)) {
      object[key] = *inside;
    }
  }
  if (object["token"].empty()) object.erase("token");
}

void ReadServiceAccount(Json& object, ObjectReader& reader, ParsedCredential& out) {
  std::optional<Json> account = reader.Take("service_account");
  if (!account) return;
  constexpr char kForm[] =
      "must be the object of a service account file, with private_key and client_email";
  const auto key = account->is_object() ? account->find("private_key") : account->end();
  if (!account->is_object() || key == account->end() || !key->is_string() ||
      key->get_ref<const std::string&>().empty()) {
    WipeJson(*account);
    return reader.Refuse("service_account", kForm);
  }
  auto lend = [&](const char* from, const char* to) {
    const auto at = account->find(from);
    if (at == account->end() || !at->is_string() || object.contains(to)) return std::string();
    return at->get<std::string>();
  };
  if (const std::string project = lend("project_id", "project_id"); !project.empty()) {
    object["project_id"] = project;
  }
  if (out.document.email.empty()) {
    const std::string email = lend("client_email", "email");
    if (email.size() <= 320 && !HasControlCharacters(email) && !email.empty()) {
      out.document.email = email;
      reader.Has("email", email);
    }
  }
  std::string text = DumpJson(*account);
  out.secret->service_account = core::Secret::TakeFrom(text);
  WipeJson(*account);
}

// The claims of an OpenAI id token name plan and account. They are not verified: they only
// describe.
void ReadPlan(Json& object, const core::Secret& id_token) {
  const std::vector<absl::string_view> parts = absl::StrSplit(id_token.reveal(), '.');
  std::string payload;
  if (parts.size() != 3 || !absl::WebSafeBase64Unescape(parts[1], &payload)) return;
  JsonResult claims = ParseStrictJson(payload, kMaxJsonDepth);
  core::WipeString(payload);
  if (!claims.error.empty() || !claims.value.is_object()) return;
  const auto auth = claims.value.find("https://api.openai.com/auth");
  if (auth != claims.value.end() && auth->is_object()) {
    const std::pair<const char*, const char*> names[] = {{"chatgpt_plan_type", "plan_type"},
                                                         {"chatgpt_account_id", "account_id"}};
    for (const auto& [claim, attribute] : names) {
      const auto at = auth->find(claim);
      if (at == auth->end() || !at->is_string() || at->get_ref<const std::string&>().empty()) {
        continue;
      }
      if (HasControlCharacters(at->get_ref<const std::string&>())) continue;
      // The plan changes from token to token; an account that the file names is meant.
      if (!object.contains(attribute) || absl::string_view(attribute) == "plan_type") {
        object[attribute] = *at;
      }
    }
  }
  WipeJson(claims.value);
}

// Moves strings with the name of a secret out of what is kept as unknown keys.
void TakeHiddenSecrets(Json& value, const std::string& path, ObjectReader& reader,
                       core::SecretMaterial& secret) {
  std::vector<std::string> taken;
  size_t position = 0;
  for (auto& [key, item] : value.items()) {
    const std::string name = value.is_array() ? absl::StrCat(position++) : key;
    const std::string full = path.empty() ? name : absl::StrCat(path, ".", name);
    if (item.is_structured()) {
      TakeHiddenSecrets(item, full, reader, secret);
    } else if (item.is_string() && value.is_object() && IsSecretName(key)) {
      std::string& text = item.get_ref<std::string&>();
      if (text.empty()) continue;
      if (HasControlCharacters(text)) {
        reader.Refuse(full.substr(0, 128), "must not contain control characters or line breaks");
      } else if (text.size() > kMaxExtraSecretBytes) {
        reader.Refuse(full.substr(0, 128), "is longer than 256 KiB");
      } else if (secret.extra.size() >= kMaxExtraSecrets) {
        reader.Refuse(full.substr(0, 128), "is one of more than 16 unknown secrets; remove some");
      } else {
        secret.extra[full] = core::Secret(text);
      }
      WipeJson(item);
      taken.push_back(key);
    }
  }
  for (const std::string& key : taken) value.erase(key);
}

// kiro's own tool writes camelCase.
void RenameCamelCase(Json& object) {
  const std::pair<const char*, const char*> names[] = {
      {"accessToken", "access_token"},   {"refreshToken", "refresh_token"},
      {"clientSecret", "client_secret"}, {"clientId", "client_id"},
      {"profileArn", "profile_arn"},     {"authMethod", "auth_method"}};
  for (const auto& [camel, snake] : names) {
    const auto at = object.find(camel);
    if (at == object.end()) continue;
    Json value = std::move(*at);
    object.erase(at);
    if (!object.contains(snake)) object[snake] = std::move(value);
  }
}

}  // namespace

core::Kind UsualKind(absl::string_view provider) {
  if (provider == "vertex") return core::Kind::kServiceAccount;
  for (const char* login : {"claude", "codex", "antigravity", "kimi", "xai", "gemini", "qwen",
                            "iflow", "kiro", "github-copilot"}) {
    if (provider == login) return core::Kind::kOAuth;
  }
  return core::Kind::kApiKey;
}

void ReadSecrets(Json& object, ObjectReader& reader, ParsedCredential& out) {
  core::SecretMaterial& secret = *out.secret;
  if (out.document.provider == "kiro") RenameCamelCase(object);
  reader.SecretText({"access_token"}, secret.access_token);
  reader.SecretText({"refresh_token"}, secret.refresh_token);
  reader.SecretText({"id_token"}, secret.id_token);
  reader.SecretText({"api_key"}, secret.api_key);
  reader.SecretText({"client_secret"}, secret.client_secret);
  reader.SecretText({"cookie"}, secret.cookie);
  ReadServiceAccount(object, reader, out);
  ReadExpiry(object, "", reader, secret);
  if (reader.rejection()) return;
  ReadLifetime(object, secret);
  ReadTokenObject(object, reader, out);
  if (out.document.provider == "codex") ReadPlan(object, secret.id_token);
  TakeHiddenSecrets(object, "", reader, secret);
  if (!secret.service_account.empty()) {
    out.document.kind = core::Kind::kServiceAccount;
  } else if (!secret.access_token.empty() || !secret.refresh_token.empty() ||
             !secret.cookie.empty()) {
    out.document.kind = core::Kind::kOAuth;
  } else if (!secret.api_key.empty()) {
    out.document.kind = core::Kind::kApiKey;
  } else {
    out.document.kind = UsualKind(out.document.provider);
    secret.expire_time.reset();  // of a token that is not there
    return;
  }
  out.has_secret = true;
}

}  // namespace credbroker::import
