#include "server/import/object_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/import/field_values.h"
#include "server/import/token_hash.h"

namespace credbroker::import {
namespace {

constexpr size_t kMaxSecretBytes = 256 << 10;
constexpr size_t kMaxNames = 1024;
constexpr size_t kMaxNameBytes = 256;

// The keys AUTH_FILES lists with a second spelling.
bool HasKebabSpelling(absl::string_view key) {
  for (const char* name : {"api_key", "base_url", "disable_cooling", "excluded_models",
                           "model_aliases", "proxy_url", "request_retry"}) {
    if (key == name) return true;
  }
  return false;
}

}  // namespace

std::string FieldText(const Json& value) {
  std::string text = DumpJson(value);
  if (text.size() <= 64) return text;
  std::string digest = absl::StrCat("#", Sha256Hex(text));
  core::WipeString(text);
  return digest;
}

ObjectReader::~ObjectReader() = default;

std::optional<Json> ObjectReader::Take(absl::string_view key) {
  std::optional<Json> taken;
  auto take = [&](const std::string& name) {
    const auto at = object_.find(name);
    if (at == object_.end()) return;
    if (!taken && !at->is_null()) taken = std::move(*at);
    WipeJson(*at);
    object_.erase(at);
  };
  take(std::string(key));
  if (HasKebabSpelling(key)) take(absl::StrReplaceAll(key, {{"_", "-"}}));
  return taken;
}

std::optional<Json> ObjectReader::TakeFirst(std::initializer_list<const char*> keys) {
  std::optional<Json> first;
  for (const char* key : keys) {
    std::optional<Json> value = Take(key);
    const bool empty = value && value->is_string() && value->get_ref<const std::string&>().empty();
    if (!first && value && !empty) {
      first = std::move(value);
    } else if (value) {
      WipeJson(*value);
    }
  }
  return first;
}

void ObjectReader::Has(absl::string_view field, const Json& value) {
  fields_[std::string(field)] = FieldText(value);
}

void ObjectReader::Refuse(absl::string_view field, absl::string_view problem) {
  if (rejection_) return;
  rejection_ = Rejection{.field = std::string(field), .problem = std::string(problem)};
}

void ObjectReader::Text(absl::string_view key, size_t max_bytes, std::string& out) {
  const std::optional<Json> value = Take(key);
  if (!value) return;
  if (!value->is_string()) return Refuse(key, "must be a string; put it in quotes");
  const std::string& text = value->get_ref<const std::string&>();
  if (text.empty()) return;
  if (text.size() > max_bytes) {
    return Refuse(key, absl::StrCat("must have at most ", max_bytes, " bytes; shorten it"));
  }
  for (const char c : text) {
    if (c != '\n' && c != '\r' && c != '\t' && HasControlCharacters(absl::string_view(&c, 1))) {
      return Refuse(key, "must not contain control characters; remove them");
    }
  }
  out = text;
  Has(key, *value);
}

void ObjectReader::Flag(absl::string_view key, bool& out) {
  const std::optional<Json> value = Take(key);
  if (!value) return;
  const std::optional<bool> flag = ReadBool(*value);
  if (!flag) return Refuse(key, "must be true or false");
  out = *flag;
  Has(key, *flag);
}

void ObjectReader::Integer(absl::string_view key, bool truncate, int64_t low, int64_t high,
                           std::optional<int64_t>& out) {
  const std::optional<Json> value = Take(key);
  if (!value) return;
  const std::optional<int64_t> number = ReadInteger(*value, truncate);
  if (!number) {
    return Refuse(key, truncate ? "must be a number or an integer string"
                                : "must be an integer or an integer string");
  }
  if (*number < low || *number > high) {
    return Refuse(key, absl::StrCat("must be between ", low, " and ", high));
  }
  out = number;
  Has(key, *number);
}

void ObjectReader::Names(absl::string_view key, std::vector<std::string>& out) {
  const std::optional<Json> value = Take(key);
  if (!value) return;
  if (!value->is_array()) return Refuse(key, "must be a list of strings, as [\"a\", \"b*\"]");
  if (value->size() > kMaxNames) {
    return Refuse(key, absl::StrCat("must have at most ", kMaxNames, " entries"));
  }
  for (const Json& item : *value) {
    if (!item.is_string()) return Refuse(key, "must be a list of strings, as [\"a\", \"b*\"]");
    const std::string& name = item.get_ref<const std::string&>();
    if (name.empty()) continue;
    if (name.size() > kMaxNameBytes || HasControlCharacters(name)) {
      return Refuse(key, absl::StrCat("each entry must have at most ", kMaxNameBytes,
                                      " bytes and no control characters"));
    }
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  if (!out.empty()) Has(key, out);
}

void ObjectReader::SecretText(std::initializer_list<const char*> keys, core::Secret& out) {
  std::optional<Json> value = TakeFirst(keys);
  if (!value) return;
  const char* const field = *keys.begin();
  if (!value->is_string()) {
    Refuse(field, "must be a string; put it in quotes");
  } else {
    std::string& text = value->get_ref<std::string&>();
    if (HasControlCharacters(text)) {
      Refuse(field,
             "must not contain control characters or line breaks; paste it again as one line");
    } else if (text.size() > kMaxSecretBytes) {
      Refuse(field, "is longer than 256 KiB");
    } else {
      out = core::Secret(text);
    }
  }
  WipeJson(*value);
}

}  // namespace credbroker::import
