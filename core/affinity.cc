#include "core/affinity.h"

#include <iterator>

namespace credbroker::core {

AffinityTable::AffinityTable(int64_t max_bindings) : max_(max_bindings) {}

void AffinityTable::set_max_bindings(int64_t max) {
  max_ = max;
  Evict();
}

void AffinityTable::Touch(List::iterator entry, absl::Time now) {
  List& lane = entry->lane->second;
  if (entry != lane.begin()) lane.splice(lane.begin(), lane, entry);
  entry->binding.idle_until = now + entry->lane->first;
  entry->used = next_use_++;
}

void AffinityTable::Remove(List::iterator entry) {
  Lanes::value_type* lane = entry->lane;
  by_key_.erase(entry->key);
  lane->second.erase(entry);
  if (lane->second.empty()) lanes_.erase(lane->first);
}

void AffinityTable::Evict() {
  while (static_cast<int64_t>(by_key_.size()) > max_ && !by_key_.empty()) {
    // There are as many lanes as groups have different TTLs: few.
    List* oldest = nullptr;
    for (auto& [ttl, lane] : lanes_) {
      if (oldest == nullptr || lane.back().used < oldest->back().used) oldest = &lane;
    }
    Remove(std::prev(oldest->end()));
    ++evictions_;
  }
}

std::optional<Binding> AffinityTable::Find(absl::string_view key, absl::Time now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  const List::iterator entry = found->second;
  if (entry->binding.idle_until <= now) {
    Remove(entry);
    return std::nullopt;
  }
  Touch(entry, now);
  return entry->binding;
}

std::optional<Binding> AffinityTable::Peek(absl::string_view key, absl::Time now) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second->binding.idle_until <= now) return std::nullopt;
  return found->second->binding;
}

uint64_t AffinityTable::CompareAndSet(absl::string_view key, uint64_t expected, Slot slot, Uid uid,
                                      absl::Duration ttl, absl::Time now) {
  const std::optional<Binding> present = Peek(key, now);
  if ((present.has_value() ? present->version : 0) != expected) return 0;
  Lanes::value_type* lane = &*lanes_.try_emplace(ttl).first;
  const auto found = by_key_.find(key);
  List::iterator entry;
  if (found != by_key_.end()) {
    entry = found->second;
    Lanes::value_type* before = entry->lane;
    if (before != lane) {
      lane->second.splice(lane->second.begin(), before->second, entry);
      entry->lane = lane;
      if (before->second.empty()) lanes_.erase(before->first);
    }
  } else {
    lane->second.emplace_front();
    entry = lane->second.begin();
    entry->key = std::string(key);
    entry->lane = lane;
    by_key_.emplace(entry->key, entry);
  }
  const uint64_t version = next_version_++;
  entry->binding = {slot, uid, version, now};
  Touch(entry, now);
  Evict();
  return version;
}

int AffinityTable::Sweep(absl::Time now, int limit) {
  int forgotten = 0;
  for (auto lane = lanes_.begin(); lane != lanes_.end() && forgotten < limit;) {
    List& list = lane->second;
    ++lane;  // removing the last entry of a lane removes the lane
    for (size_t left = list.size(); left > 0 && forgotten < limit; --left) {
      if (list.back().binding.idle_until > now) break;
      Remove(std::prev(list.end()));
      ++forgotten;
    }
  }
  return forgotten;
}

}  // namespace credbroker::core
