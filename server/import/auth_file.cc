#include "server/import/auth_file.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/import/auth_secrets.h"
#include "server/import/field_values.h"
#include "server/import/import_types.h"
#include "server/import/object_reader.h"
#include "server/import/strict_json.h"
#include "server/import/token_hash.h"

namespace credbroker::import {
namespace {

using core::Document;

constexpr size_t kMaxAttributeBytes = 64 << 10;
constexpr size_t kMaxHeaders = 64;
constexpr size_t kMaxHeaderBytes = 8 << 10;
constexpr size_t kMaxEntries = 100'000;
constexpr int64_t kMaxPriority = 1'000'000, kMaxWeight = 1'000'000, kMaxCap = 1'000'000;

void ReadPrefix(ObjectReader& reader, ParsedCredential& out) {
  std::string text;
  reader.Text("prefix", 256, text);
  absl::string_view prefix = absl::StripAsciiWhitespace(text);
  while (absl::ConsumePrefix(&prefix, "/")) {
  }
  while (absl::ConsumeSuffix(&prefix, "/")) {
  }
  if (absl::StrContains(prefix, '/')) {
    out.notes.push_back("prefix: has a \"/\" inside and is ignored");
    out.fields.erase("prefix");
    return;
  }
  if (prefix.size() > 64) return reader.Refuse("prefix", "must have at most 64 bytes");
  if (prefix.empty()) {
    out.fields.erase("prefix");
    return;
  }
  out.document.prefix = std::string(prefix);
  reader.Has("prefix", out.document.prefix.str());
}

void ReadProxy(ObjectReader& reader, Document& document) {
  std::string text;
  reader.Text("proxy_url", 2048, text);
  if (text.empty()) return;
  const std::optional<std::string> url = ReadProxyUrl(text);
  if (!url) {
    return reader.Refuse(
        "proxy_url", "must be an http, https or socks5 URL with a host, \"direct\" or \"none\"");
  }
  document.proxy_url = *url;
  reader.Has("proxy_url", *url);
}

void ReadBaseUrl(ObjectReader& reader, Document& document) {
  std::string text;
  reader.Text("base_url", 2048, text);
  if (text.empty()) return;
  const absl::string_view url = absl::StripAsciiWhitespace(text);
  if (!IsHttpUrl(url)) return reader.Refuse("base_url", "must be an http or https URL with a host");
  document.base_url = std::string(url);
  reader.Has("base_url", document.base_url.str());
}

void ReadHeaders(ObjectReader& reader, Document& document) {
  std::optional<Json> value = reader.Take("headers");
  if (!value) return;
  if (!value->is_object()) {
    return reader.Refuse("headers", "must be an object of strings, as {\"X-Name\": \"value\"}");
  }
  if (value->size() > kMaxHeaders) return reader.Refuse("headers", "must have at most 64 entries");
  absl::flat_hash_set<std::string> seen;
  for (const auto& [name, item] : value->items()) {
    // The name is not echoed unless it is a legal one.
    if (!IsHeaderName(name)) {
      return reader.Refuse("headers", "a name is no HTTP token; use letters, digits and \"-\"");
    }
    const std::string field = absl::StrCat("headers.", name);
    if (!item.is_string()) return reader.Refuse(field, "must be a string; put it in quotes");
    const std::string& text = item.get_ref<const std::string&>();
    if (!IsHeaderValue(text)) {
      return reader.Refuse(field, "must not contain CR, LF or other control characters");
    }
    if (text.size() > kMaxHeaderBytes) return reader.Refuse(field, "is longer than 8 KiB");
    if (!seen.insert(absl::AsciiStrToLower(name)).second) {
      return reader.Refuse(field, "is there twice in another case; remove one");
    }
    document.headers.emplace_back(name, text);
  }
  if (!document.headers.empty()) reader.Has("headers", *value);
  WipeJson(*value);
}

void ReadAliases(ObjectReader& reader, ParsedCredential& out) {
  const std::optional<Json> value = reader.Take("model_aliases");
  if (!value) return;
  constexpr char kForm[] = "must be a list of objects, as [{\"alias\": \"a\", \"model\": \"m\"}]";
  if (!value->is_array()) return reader.Refuse("model_aliases", kForm);
  if (value->size() > 1024) return reader.Refuse("model_aliases", "must have at most 1024 entries");
  Json kept = Json::array();
  for (const Json& item : *value) {
    if (!item.is_object()) return reader.Refuse("model_aliases", kForm);
    auto text = [&](const char* key) {
      const auto at = item.find(key);
      return at == item.end() || !at->is_string() ? std::string() : at->get<std::string>();
    };
    core::ModelAlias alias{.alias = text("alias"), .model = text("model")};
    if (alias.model.empty()) alias.model = text("name");  // as other proxies write it
    if (alias.alias.empty() || alias.model.empty()) return reader.Refuse("model_aliases", kForm);
    if (alias.alias.size() > 256 || alias.model.size() > 256 || HasControlCharacters(alias.alias) ||
        HasControlCharacters(alias.model)) {
      return reader.Refuse("model_aliases",
                           "names must have at most 256 bytes and no control characters");
    }
    if (item.size() > 2) out.notes.push_back("model_aliases: only alias and model are used");
    kept.push_back({{"alias", alias.alias}, {"model", alias.model}});
    out.document.model_aliases.push_back(std::move(alias));
  }
  if (!kept.empty()) reader.Has("model_aliases", kept);
}

// Labels as an export writes them; anything else under that name is not ours and stays unknown.
void ReadLabels(Json& object, ObjectReader& reader, Document& document) {
  const auto at = object.find("labels");
  if (at == object.end() || !at->is_object() || at->size() > 8) return;
  for (const auto& [key, value] : at->items()) {
    if (!IsPlainName(key) || !value.is_string() ||
        value.get_ref<const std::string&>().size() > 64 ||
        HasControlCharacters(value.get_ref<const std::string&>())) {
      return;
    }
  }
  for (const auto& [key, value] : at->items()) {
    document.labels.emplace_back(key, value.get<std::string>());
    reader.Has(absl::StrCat("labels.", key), value);
  }
  object.erase(at);
}

void ReadNumbers(ObjectReader& reader, Document& document) {
  std::optional<int64_t> number;
  reader.Integer("priority", /*truncate=*/true, -kMaxPriority, kMaxPriority, number);
  document.priority = number.value_or(0);
  number.reset();
  reader.Integer("weight", /*truncate=*/false, -kMaxWeight, kMaxWeight, number);
  document.weight = number.value_or(1);
  const std::pair<const char*, std::optional<int32_t> Document::*> caps[] = {
      {"max_in_flight", &Document::max_in_flight},
      {"max_in_flight_per_model", &Document::max_in_flight_per_model}};
  for (const auto& [key, member] : caps) {
    number.reset();
    reader.Integer(key, /*truncate=*/true, 0, kMaxCap, number);
    if (number) document.*member = static_cast<int32_t>(*number);
  }
  number.reset();
  reader.Integer("request_retry", /*truncate=*/true, 0, 100, number);
  if (number) document.request_retry = static_cast<int32_t>(*number);
  number.reset();
  reader.Integer("refresh_interval_seconds", /*truncate=*/true, 60, 90 * 86'400, number);
  if (number) document.refresh_interval_seconds = static_cast<int32_t>(*number);
}

void ReadCommon(Json& object, ObjectReader& reader, ParsedCredential& out) {
  Document& document = out.document;
  std::string email, label, note;
  reader.Text("email", 320, email);
  reader.Text("label", 256, label);
  reader.Text("note", 1024, note);
  document.email = email;
  document.label = label;
  document.note = note;
  reader.Flag("disabled", out.disabled);
  out.fields.erase("disabled");  // at creation only: never merged
  ReadNumbers(reader, document);
  ReadPrefix(reader, out);
  ReadProxy(reader, document);
  ReadBaseUrl(reader, document);
  ReadHeaders(reader, document);
  reader.Names("excluded_models", document.excluded_models);
  // A list of objects under this name is another program's: it stays an unknown key.
  if (const auto at = object.find("models");
      at != object.end() && at->is_array() &&
      std::all_of(at->begin(), at->end(), [](const Json& item) { return item.is_string(); })) {
    reader.Names("models", document.models);
  }
  ReadAliases(reader, out);
  ReadLabels(object, reader, document);
  reader.Flag("disable_cooling", document.disable_cooling);
}

// What nobody took: attributes for the proxy, and keys that only come back on export.
void ReadRest(Json& object, ObjectReader& reader, ParsedCredential& out) {
  Json attributes = Json::object(), extra = Json::object();
  for (auto& [key, value] : object.items()) {
    if (IsAttributeKey(key)) {
      if (value.is_null()) continue;
      if (value.is_string() && HasControlCharacters(value.get_ref<const std::string&>())) {
        return reader.Refuse(key, "must not contain control characters; remove them");
      }
      reader.Has(absl::StrCat("attributes.", key), value);
      attributes[key] = std::move(value);
    } else {
      extra[key] = std::move(value);
    }
  }
  if (!attributes.empty()) out.document.attributes_json = DumpJson(attributes);
  if (out.document.attributes_json.size() > kMaxAttributeBytes) {
    return reader.Refuse("attributes", "are longer than 64 KiB together");
  }
  if (extra.empty()) return;
  out.document.extra_json = DumpJson(extra);
  // These change with every new token: alone they are no news, or each refresh by the login tool
  // would change the etag.
  for (const char* key : {"last_refresh", "timestamp", "expires_in"}) extra.erase(key);
  if (!extra.empty()) reader.Has("extra", extra);
}

// False: not a credential file.
bool ReadType(ObjectReader& reader, const ParseOptions& options, Document& document) {
  const std::optional<Json> type = reader.Take("type");
  if (type && !type->is_string()) return false;
  std::string text = type ? type->get<std::string>() : "";
  document.provider = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  if (document.provider.empty()) document.provider = options.provider;
  if (document.provider.empty()) return false;
  if (!IsPlainName(document.provider)) {
    reader.Refuse("type", "must be a provider: 1 to 64 characters of [a-z0-9._-]");
  } else if (document.provider == "service_account") {
    reader.Refuse("type",
                  "is a bare service account; wrap it as {\"type\": \"vertex\", "
                  "\"service_account\": {...}}");
  }
  return true;
}

ParsedEntry ParseObject(Json& object, const ParseOptions& options) {
  ParsedEntry entry;
  ParsedCredential parsed;
  parsed.secret = std::make_shared<core::SecretMaterial>();
  ObjectReader reader(object, parsed.fields);
  if (!ReadType(reader, options, parsed.document)) {
    WipeJson(object);
    return entry;
  }
  if (!reader.rejection()) ReadCommon(object, reader, parsed);
  if (!reader.rejection()) ReadSecrets(object, reader, parsed);
  if (!reader.rejection()) ReadRest(object, reader, parsed);
  WipeJson(object);
  if (reader.rejection()) {
    entry.rejection = reader.rejection();
  } else {
    entry.credential = std::move(parsed);
  }
  return entry;
}

ParsedFile ParseJsonFile(absl::string_view bytes, const ParseOptions& options) {
  ParsedFile file;
  // One level more for an array around the objects; each object keeps its own limit.
  JsonResult json = ParseStrictJson(bytes, kMaxJsonDepth + 1);
  if (!json.error.empty()) {
    file.rejection = Rejection{.field = "", .problem = json.error};
    file.cut_off = json.cut_off;
    return file;
  }
  if (json.value.is_object()) {
    if (bytes.size() > kMaxObjectBytes) {
      file.rejection = Rejection{.field = "", .problem = "is larger than 1 MiB"};
    } else {
      file.entries.push_back(ParseObject(json.value, options));
    }
  } else if (!json.value.is_array()) {
    file.rejection = Rejection{.field = "", .problem = "must be a JSON object or an array of them"};
  } else if (json.value.size() > kMaxEntries) {
    file.rejection = Rejection{.field = "", .problem = "has more than 100,000 entries; split it"};
  } else {
    for (size_t i = 0; i < json.value.size(); ++i) {
      Json& item = json.value[i];
      ParsedEntry entry;
      if (item.is_object()) {
        entry = ParseObject(item, options);
      } else {
        entry.rejection = Rejection{.field = "", .problem = "must be a JSON object"};
      }
      entry.index = static_cast<int>(i);
      entry.id_suffix = absl::StrCat("/", i);
      file.entries.push_back(std::move(entry));
    }
  }
  WipeJson(json.value);
  return file;
}

ParsedEntry ParseKeyLine(absl::string_view key, const ParseOptions& options) {
  ParsedEntry entry;
  if (key.size() > 4096) {
    entry.rejection = Rejection{.field = "api_key", .problem = "is longer than 4,096 bytes"};
    return entry;
  }
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f) continue;
    entry.rejection = Rejection{
        .field = "api_key",
        .problem = "must be printable ASCII without blanks; one key a line, nothing behind it"};
    return entry;
  }
  ParsedCredential parsed;
  parsed.document.provider = options.provider;
  parsed.document.kind = core::Kind::kApiKey;
  parsed.secret = std::make_shared<core::SecretMaterial>();
  parsed.secret->api_key = core::Secret(key);
  parsed.has_secret = true;
  entry.id_suffix = absl::StrCat("/", Sha256Hex(key).substr(0, 12));
  entry.credential = std::move(parsed);
  return entry;
}

ParsedFile ParseKeyList(absl::string_view bytes, const ParseOptions& options) {
  ParsedFile file;
  absl::ConsumePrefix(&bytes, "\xEF\xBB\xBF");
  absl::flat_hash_set<std::string> seen;
  int index = -1;
  for (absl::string_view line : absl::StrSplit(bytes, '\n')) {
    ++index;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    if (file.entries.size() >= kMaxEntries) {
      file.entries.clear();
      file.rejection = Rejection{.field = "", .problem = "has more than 100,000 keys; split it"};
      return file;
    }
    ParsedEntry entry = ParseKeyLine(line, options);
    entry.index = index;
    if (entry.credential && !seen.insert(entry.id_suffix).second) {
      entry.credential.reset();
      entry.rejection = Rejection{.field = "api_key", .problem = "is in this file already"};
    }
    file.entries.push_back(std::move(entry));
  }
  return file;
}

}  // namespace

std::string Rejection::ToString() const {
  return field.empty() ? problem : absl::StrCat(field, ": ", problem);
}

ParsedFile ParseAuthFile(absl::string_view bytes, const ParseOptions& options) {
  if (bytes.size() > kMaxFileBytes) {
    ParsedFile file;
    file.rejection = Rejection{.field = "", .problem = "is larger than 64 MiB"};
    return file;
  }
  return options.key_per_line ? ParseKeyList(bytes, options) : ParseJsonFile(bytes, options);
}

}  // namespace credbroker::import
