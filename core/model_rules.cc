#include "core/model_rules.h"

#include <algorithm>
#include <cstddef>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace credbroker::core {
namespace {

// Length first, so that no content can imitate a boundary.
void AppendField(std::string* key, absl::string_view text) {
  absl::StrAppend(key, text.size(), ":", text);
}

void SortUnique(std::vector<std::string>* names) {
  std::sort(names->begin(), names->end());
  names->erase(std::unique(names->begin(), names->end()), names->end());
}

bool MatchesAny(const std::vector<std::string>& patterns, absl::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [text](const std::string& pattern) { return WildcardMatch(pattern, text); });
}

}  // namespace

absl::string_view CanonicalModel(absl::string_view model) {
  // The common name: neither blanks around it nor a suffix.
  const auto plain = [](char c) {
    return c != ')' && !absl::ascii_isspace(static_cast<unsigned char>(c));
  };
  if (!model.empty() && plain(model.front()) && plain(model.back())) return model;
  const absl::string_view trimmed = absl::StripAsciiWhitespace(model);
  if (trimmed.empty() || trimmed.back() != ')') return trimmed;
  int depth = 0;
  for (size_t at = trimmed.size(); at > 0; --at) {
    if (trimmed[at - 1] == ')') ++depth;
    if (trimmed[at - 1] == '(' && --depth == 0) {
      const absl::string_view bare = absl::StripAsciiWhitespace(trimmed.substr(0, at - 1));
      return bare.empty() ? trimmed : bare;
    }
  }
  return trimmed;
}

bool WildcardMatch(absl::string_view pattern, absl::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = absl::string_view::npos;  // the latest `*` passed
  size_t resume = 0;                      // text behind what that star has swallowed
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos) {
      // Only the latest star need give: the pieces before it match as early as they can.
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

RuleSet::RuleSet(const Document& document)
    : prefix_(document.prefix), excluded_(document.excluded_models) {
  models_.reserve(document.models.size());
  for (const std::string& model : document.models) models_.emplace_back(CanonicalModel(model));
  // The first of several aliases of one name counts.
  std::map<std::string, std::string> aliases;
  for (const ModelAlias& alias : document.model_aliases) {
    aliases.emplace(CanonicalModel(alias.alias), CanonicalModel(alias.model));
  }
  aliases_.reserve(aliases.size());
  for (const auto& [alias, model] : aliases) aliases_.push_back({alias, model});
  SortUnique(&models_);
  SortUnique(&excluded_);
  if (trivial()) return;  // the empty key

  AppendField(&key_, prefix_);
  absl::StrAppend(&key_, "m", models_.size());
  for (const std::string& model : models_) AppendField(&key_, model);
  absl::StrAppend(&key_, "x", excluded_.size());
  for (const std::string& model : excluded_) AppendField(&key_, model);
  absl::StrAppend(&key_, "a", aliases_.size());
  for (const ModelAlias& alias : aliases_) {
    AppendField(&key_, alias.alias);
    AppendField(&key_, alias.model);
  }
}

bool RuleSet::trivial() const {
  return prefix_.empty() && models_.empty() && excluded_.empty() && aliases_.empty();
}

bool RuleSet::Serves(absl::string_view model, absl::string_view* upstream) const {
  *upstream = model;
  if (model.empty() || trivial()) return true;
  absl::string_view bare = model;
  if (!prefix_.empty() && absl::ConsumePrefix(&bare, prefix_) && absl::ConsumePrefix(&bare, "/") &&
      !bare.empty()) {
    return ServesBare(bare, upstream);
  }
  return ServesBare(model, upstream);
}

bool RuleSet::ServesBare(absl::string_view model, absl::string_view* upstream) const {
  *upstream = model;
  const auto alias = std::lower_bound(aliases_.begin(), aliases_.end(), model,
                                      [](const ModelAlias& a, absl::string_view name) {
                                        return absl::string_view(a.alias) < name;
                                      });
  if (alias != aliases_.end() && alias->alias == model) {
    *upstream = alias->model;
    return !MatchesAny(excluded_, model) && !MatchesAny(excluded_, alias->model);
  }
  if (MatchesAny(excluded_, model)) return false;
  return models_.empty() || MatchesAny(models_, model);
}

}  // namespace credbroker::core
