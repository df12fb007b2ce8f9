#include "server/import/export_file.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/import/field_values.h"
#include "server/import/strict_json.h"

namespace credbroker::import {
namespace {

using core::Document;

std::string RelativePath(const Document& document) {
  absl::string_view path = document.id;
  if (!document.source.empty())
    absl::ConsumePrefix(&path, absl::StrCat(document.source.view(), "/"));
  return absl::StrCat(path, ".json");
}

// Keys of a stored object; what does not parse is left out, not fatal.
Json Stored(const std::string& text) {
  if (text.empty()) return Json::object();
  Json value = Json::parse(text, nullptr, false);
  return value.is_object() ? value : Json::object();
}

void PutText(Json& out, const char* key, const std::string& text) {
  if (!text.empty()) out[key] = text;
}

template <typename T>
void PutOptional(Json& out, const char* key, const std::optional<T>& value) {
  if (value) out[key] = *value;
}

void PutModels(Json& out, const Document& document) {
  if (!document.models.empty()) out["models"] = document.models;
  if (!document.excluded_models.empty()) out["excluded_models"] = document.excluded_models;
  for (const core::ModelAlias& alias : document.model_aliases) {
    out["model_aliases"].push_back({{"alias", alias.alias}, {"model", alias.model}});
  }
}

// The name or the password of a proxy and headers that authenticate are secrets.
void PutConnection(Json& out, const Document& document) {
  PutText(out, "base_url", HasUserInfo(document.base_url) ? "" : document.base_url.str());
  PutText(out, "proxy_url", HasUserInfo(document.proxy_url) ? "" : document.proxy_url.str());
  for (const auto& [name, value] : document.headers) {
    if (!IsSecretHeader(name)) out["headers"][name] = value;
  }
}

// Attributes; those which the file keeps inside `token` are not told a second time.
void PutAttributes(Json& out, const Document& document) {
  const Json attributes = Stored(document.attributes_json);
  const auto token = out.find("token");
  for (const auto& [key, value] : attributes.items()) {
    const bool inside =
        token != out.end() && token->is_object() && token->contains(key) && (*token)[key] == value;
    if (!inside) out[key] = value;
  }
}

}  // namespace

ExportedFile ExportCredential(const Document& document, const core::Intent& intent) {
  Json out = Stored(document.extra_json);
  PutAttributes(out, document);
  out["type"] = document.provider.str();
  PutText(out, "email", document.email);
  PutText(out, "label", document.label);
  PutText(out, "note", document.note);
  PutText(out, "prefix", document.prefix);
  if (!intent.enabled) out["disabled"] = true;
  if (document.priority != 0) out["priority"] = document.priority;
  if (document.weight != 1) out["weight"] = document.weight;
  if (document.disable_cooling) out["disable_cooling"] = true;
  PutConnection(out, document);
  PutModels(out, document);
  PutOptional(out, "max_in_flight", document.max_in_flight);
  PutOptional(out, "max_in_flight_per_model", document.max_in_flight_per_model);
  PutOptional(out, "request_retry", document.request_retry);
  PutOptional(out, "refresh_interval_seconds", document.refresh_interval_seconds);
  for (const auto& [key, value] : document.labels) out["labels"][key] = value;
  return {.relative_path = RelativePath(document),
          .json = out.dump(2, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace credbroker::import
