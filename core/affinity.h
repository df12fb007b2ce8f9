// Soft bindings session -> credential with idle TTL, bounded and LRU. A binding has a version:
// changes are compare-and-set, so that the late result of an old binding changes nothing. Times
// given to one table never go back. Thread-compatible.
#ifndef CREDBROKER_CORE_AFFINITY_H_
#define CREDBROKER_CORE_AFFINITY_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/ids.h"

namespace credbroker::core {

struct Binding {
  Slot slot;
  Uid uid;
  uint64_t version = 0;                          // unique over all bindings ever made
  absl::Time idle_until = absl::InfinitePast();  // forgotten then, unless it is used before
};

class AffinityTable {
 public:
  explicit AffinityTable(int64_t max_bindings);
  AffinityTable(const AffinityTable&) = delete;
  AffinityTable& operator=(const AffinityTable&) = delete;

  void set_max_bindings(int64_t max);
  // The live binding, its idle clock renewed; nullopt if none or idle for its TTL.
  std::optional<Binding> Find(absl::string_view key, absl::Time now);
  // Read-only twin for Explain.
  std::optional<Binding> Peek(absl::string_view key, absl::Time now) const;
  // Sets the binding if its present version is `expected` (0: none). Returns the new version, or 0
  // if it was another (nothing changed). `ttl`: idle time to live. Evicts the least recently used.
  uint64_t CompareAndSet(absl::string_view key, uint64_t expected, Slot slot, Uid uid,
                         absl::Duration ttl, absl::Time now);
  // Forgets idle ones, at most `limit` a call. Returns how many.
  int Sweep(absl::Time now, int limit);
  size_t size() const { return by_key_.size(); }
  uint64_t evictions() const { return evictions_; }

 private:
  struct Entry;
  using List = std::list<Entry>;  // front: most recently used
  // One lane for each TTL: in it the least recently used is also the first to be idle.
  using Lanes = std::map<absl::Duration, List>;
  struct Entry {
    std::string key;
    Binding binding;
    uint64_t used = 0;  // orders uses over all lanes
    Lanes::value_type* lane = nullptr;
  };
  void Touch(List::iterator entry, absl::Time now);
  void Remove(List::iterator entry);
  void Evict();

  Lanes lanes_;
  absl::flat_hash_map<absl::string_view, List::iterator> by_key_;
  int64_t max_;
  uint64_t next_version_ = 1;
  uint64_t next_use_ = 1;
  uint64_t evictions_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_AFFINITY_H_
