#include "core/rule_table.h"

#include <utility>

#include "core/check.h"

namespace credbroker::core {

RuleTable::RuleTable() { entries_.push_back({std::make_unique<RuleSet>(Document()), 1}); }

uint32_t RuleTable::Ref(const Document& document) {
  auto rules = std::make_unique<RuleSet>(document);
  if (rules->trivial()) return 0;
  auto it = by_key_.find(rules->key());
  if (it != by_key_.end()) {
    ++entries_[it->second].refs;
    return it->second;
  }
  uint32_t number;
  if (free_.empty()) {
    number = static_cast<uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    number = free_.back();
    free_.pop_back();
  }
  by_key_.emplace(rules->key(), number);
  entries_[number] = {std::move(rules), 1};
  return number;
}

void RuleTable::Unref(uint32_t number) {
  if (number == 0) return;
  Entry& entry = entries_[number];
  CB_CHECK(entry.refs > 0);
  if (--entry.refs != 0) return;
  by_key_.erase(entry.rules->key());
  entry.rules.reset();
  free_.push_back(number);
}

}  // namespace credbroker::core
