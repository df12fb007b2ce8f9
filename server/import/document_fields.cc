// Single fields of documents, by the names that three-way merges use.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "server/import/auth_file.h"
#include "server/import/strict_json.h"

namespace credbroker::import {
namespace {

using core::Document;

void TakeAttribute(absl::string_view key, const Document& from, Document& to) {
  const std::string name(key);
  const Json source = Json::parse(from.attributes_json.str(), nullptr, false);
  Json target = Json::parse(to.attributes_json.str(), nullptr, false);
  if (!target.is_object()) target = Json::object();
  if (source.is_object() && source.contains(name)) {
    target[name] = source[name];
  } else {
    target.erase(name);
  }
  to.attributes_json = target.empty() ? "" : DumpJson(target);
}

void TakeLabel(absl::string_view key, const Document& from, Document& to) {
  auto find = [&](auto& labels) {
    return std::find_if(labels.begin(), labels.end(),
                        [&](const auto& label) { return label.first == key; });
  };
  if (const auto at = find(to.labels); at != to.labels.end()) to.labels.erase(at);
  if (const auto at = find(from.labels); at != from.labels.end()) {
    to.labels.insert(std::upper_bound(to.labels.begin(), to.labels.end(), *at), *at);
  }
}

template <typename T>
struct Member {
  const char* name;
  T Document::*member;
};

template <typename T, size_t n>
bool TakeMember(const Member<T> (&members)[n], absl::string_view name, const Document& from,
                Document& to) {
  for (const Member<T>& each : members) {
    if (name != each.name) continue;
    to.*each.member = from.*each.member;
    return true;
  }
  return false;
}

constexpr Member<core::Text> kTexts[] = {
    {"email", &Document::email},         {"label", &Document::label},
    {"note", &Document::note},           {"prefix", &Document::prefix},
    {"proxy_url", &Document::proxy_url}, {"base_url", &Document::base_url},
    {"extra", &Document::extra_json}};
constexpr Member<int64_t> kNumbers[] = {{"priority", &Document::priority},
                                        {"weight", &Document::weight}};
constexpr Member<std::optional<int32_t>> kLimits[] = {
    {"max_in_flight", &Document::max_in_flight},
    {"max_in_flight_per_model", &Document::max_in_flight_per_model},
    {"request_retry", &Document::request_retry},
    {"refresh_interval_seconds", &Document::refresh_interval_seconds}};
constexpr Member<std::vector<std::string>> kLists[] = {
    {"models", &Document::models}, {"excluded_models", &Document::excluded_models}};

}  // namespace

void TakeField(absl::string_view name, const Document& from, Document& to) {
  if (TakeMember(kTexts, name, from, to) || TakeMember(kNumbers, name, from, to) ||
      TakeMember(kLimits, name, from, to) || TakeMember(kLists, name, from, to)) {
    return;
  }
  if (name == "headers") {
    to.headers = from.headers;
  } else if (name == "model_aliases") {
    to.model_aliases = from.model_aliases;
  } else if (name == "disable_cooling") {
    to.disable_cooling = from.disable_cooling;
  } else if (absl::ConsumePrefix(&name, "attributes.")) {
    TakeAttribute(name, from, to);
  } else if (absl::ConsumePrefix(&name, "labels.")) {
    TakeLabel(name, from, to);
  }
}

bool SameDocument(const Document& a, const Document& b) {
  for (const auto& each : kTexts) {
    if (a.*each.member != b.*each.member) return false;
  }
  for (const auto& each : kNumbers) {
    if (a.*each.member != b.*each.member) return false;
  }
  for (const auto& each : kLimits) {
    if (a.*each.member != b.*each.member) return false;
  }
  for (const auto& each : kLists) {
    if (a.*each.member != b.*each.member) return false;
  }
  return a.group == b.group && a.provider == b.provider && a.kind == b.kind &&
         a.source == b.source && a.source_path == b.source_path && a.headers == b.headers &&
         a.model_aliases == b.model_aliases && a.disable_cooling == b.disable_cooling &&
         a.external_refresh == b.external_refresh && a.attributes_json == b.attributes_json &&
         a.labels == b.labels;
}

bool IsAttributeKey(absl::string_view key) {
  static constexpr const char* kKeys[] = {
      "account_id", "account_uuid", "api_version",     "auth_method",     "client_id",
      "device_id",  "endpoint",     "location",        "organization_id", "organization_uuid",
      "plan_type",  "profile_arn",  "project_id",      "region",          "resource_url",
      "scope",      "sub",          "subscription_id", "tenant_id",       "token_endpoint",
      "token_type", "token_uri",    "token_url",       "username",        "workspace_id"};
  return std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys);
}

}  // namespace credbroker::import
