// Which model names a credential serves, and under which upstream name. Credentials with the same
// rules share one RuleSet. Immutable, hence thread-safe.
#ifndef CREDBROKER_CORE_MODEL_RULES_H_
#define CREDBROKER_CORE_MODEL_RULES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/credential.h"

namespace credbroker::core {

// Strips one trailing `(...)` suffix and surrounding blanks: "claude-x(high)" -> "claude-x". A name
// that would be empty then is kept.
absl::string_view CanonicalModel(absl::string_view model);

// Case-sensitive match where `*` stands for any run of characters. Linear in text for each star.
bool WildcardMatch(absl::string_view pattern, absl::string_view text);

class RuleSet {
 public:
  // Listed models and aliases are made canonical; exclusions are taken as written, as `*(high)`
  // must not turn into `*`.
  explicit RuleSet(const Document& document);
  // Whether the canonical `model` is served; if so *upstream is the name to send (a view of
  // `model`, of an alias target, or of `model` behind the prefix). An empty model is always served.
  // Order: with the prefix in front it is taken off (both names are served); then an alias; else
  // served unless excluded, and, where models are listed, only if listed. Aliases are not excluded
  // by the list; an exclusion naming the alias or its target excludes.
  bool Serves(absl::string_view model, absl::string_view* upstream) const;
  bool trivial() const;  // serves every name as it is, no prefix
  const std::string& prefix() const { return prefix_; }
  // Equal keys have equal behaviour.
  const std::string& key() const { return key_; }

 private:
  bool ServesBare(absl::string_view model, absl::string_view* upstream) const;
  std::string prefix_;
  std::vector<std::string> models_, excluded_;
  std::vector<ModelAlias> aliases_;
  std::string key_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_MODEL_RULES_H_
