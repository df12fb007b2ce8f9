// What the store keeps for 24 hours, as an index in memory: repeated request ids, batches that can
// be undone, tombstones. Contents of batches and tombstones stay in the store.
//
// Thread-compatible: the loader fills it, then only the committer's thread uses it.
#ifndef CREDBROKER_SERVER_ENGINE_LEDGER_H_
#define CREDBROKER_SERVER_ENGINE_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/ids.h"
#include "server/store/record.h"

namespace credbroker::engine {

inline constexpr absl::Duration kLedgerRetention = absl::Hours(24);
// Of spent refresh tokens: a backup of a login's file may be older than any other thing kept here.
inline constexpr absl::Duration kSpentRetention = absl::Hours(24 * 90);
inline constexpr size_t kMaxSpentTokens = 262'144;  // the oldest go first

class Ledger {
 public:
  struct BatchName {
    absl::Time time = absl::InfinitePast();
    uint32_t parts = 0;
  };
  struct TombstoneName {
    core::Uid uid;
    absl::Time deleted = absl::InfinitePast();
  };

  // Called again for a key replaces what was known.
  void AddRequest(store::RequestEntry entry);
  void AddBatch(const std::string& batch_id, BatchName name);
  void AddTombstone(const std::string& id, TombstoneName name);
  void AddSpent(uint64_t hash, absl::Time when);
  void AddStaleBackoff(std::string key) { backoffs_.push_back(std::move(key)); }
  // Its row is about something newer now.
  void DropStaleBackoff(absl::string_view key) { std::erase(backoffs_, key); }
  void DropTombstone(const std::string& id) { tombstones_.erase(id); }

  // Null: unknown or older than 24 h.
  const store::RequestEntry* FindRequest(absl::string_view key, absl::Time now) const;
  const BatchName* FindBatch(absl::string_view batch_id, absl::Time now) const;
  const TombstoneName* FindTombstone(absl::string_view id, absl::Time now) const;

  // What has expired, at most `limit` items; forgotten with the call.
  struct Expired {
    std::vector<std::string> requests;                          // keys
    std::vector<std::pair<std::string, uint32_t>> batches;      // id, parts
    std::vector<std::pair<std::string, core::Uid>> tombstones;  // id, uid
    std::vector<uint64_t> spent;                                // hashes
    std::vector<std::string> backoffs;                          // keys
    bool empty() const {
      return requests.empty() && batches.empty() && tombstones.empty() && spent.empty() &&
             backoffs.empty();
    }
  };
  Expired TakeExpired(absl::Time now, size_t limit);
  size_t size() const {
    return requests_.size() + batches_.size() + tombstones_.size() + spent_.size() +
           backoffs_.size();
  }

 private:
  absl::flat_hash_map<std::string, store::RequestEntry> requests_;
  absl::flat_hash_map<std::string, BatchName> batches_;
  absl::flat_hash_map<std::string, TombstoneName> tombstones_;
  std::set<std::pair<absl::Time, uint64_t>> spent_;  // oldest first
  std::vector<std::string> backoffs_;                // over already when the store was loaded
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_LEDGER_H_
