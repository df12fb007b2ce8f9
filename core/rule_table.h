// The distinct model rules of all credentials, counted. Number 0 is the trivial rule set (serves
// every model under its own name). Thread-compatible.
#ifndef CREDBROKER_CORE_RULE_TABLE_H_
#define CREDBROKER_CORE_RULE_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/model_rules.h"

namespace credbroker::core {

class RuleTable {
 public:
  RuleTable();
  uint32_t Ref(const Document& document);
  void Unref(uint32_t rules);
  const RuleSet& at(uint32_t rules) const { return *entries_[rules].rules; }

 private:
  struct Entry {
    std::unique_ptr<RuleSet> rules;
    uint32_t refs = 0;
  };
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
  absl::flat_hash_map<std::string, uint32_t> by_key_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_RULE_TABLE_H_
