// Soft bindings session -> credential with idle TTL, bounded and LRU. A binding has a version: changes
// are compare-and-set, so that the late result of an old binding changes nothing. Thread-compatible.
#ifndef CREDBROKER_CORE_AFFINITY_H_
#define CREDBROKER_CORE_AFFINITY_H_

#include <cstdint>
#include <list>
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
  uint64_t version = 0;  // unique over all bindings ever made
};

class AffinityTable {
 public:
  explicit AffinityTable(int64_t max_bindings);
  void set_max_bindings(int64_t max);
  // The live binding, its idle clock renewed; nullopt if none or idle for its TTL.
  std::optional<Binding> Find(absl::string_view key, absl::Time now);
  // Read-only twin for Explain.
  std::optional<Binding> Peek(absl::string_view key, absl::Time now) const;
  // Sets the binding if its present version is `expected` (0: none). Returns the new version, or 0 if
  // it was another (nothing changed). `ttl`: idle time to live. Evicts the least recently used.
  uint64_t CompareAndSet(absl::string_view key, uint64_t expected, Slot slot, Uid uid,
                         absl::Duration ttl, absl::Time now);
  // Forgets idle ones, at most `limit` a call. Returns how many.
  int Sweep(absl::Time now, int limit);
  size_t size() const { return by_key_.size(); }
  uint64_t evictions() const { return evictions_; }

 private:
  struct Entry {
    std::string key;
    Binding binding;
    absl::Time idle_until;
    absl::Duration ttl;
  };
  using List = std::list<Entry>;  // front: most recently used
  void Evict();
  List lru_;
  absl::flat_hash_map<absl::string_view, List::iterator> by_key_;
  int64_t max_;
  uint64_t next_version_ = 1;
  uint64_t evictions_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_AFFINITY_H_
