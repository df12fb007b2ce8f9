// The leases this sidecar gave out, by the ids it made up for them, until they are reported,
// released, or nobody reported them in time.
//
// An id is 128 random bits: unguessable, and of no use to anyone but this process. A lease is its
// owner's: to others its id is an unknown one, live or ended. Ended ids are remembered for a while,
// so that a repeated report is told from an unknown one.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_CLIENT_SIDECAR_LEASE_TABLE_H_
#define CREDBROKER_CLIENT_SIDECAR_LEASE_TABLE_H_

#include <array>
#include <atomic>
#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/session/mutex.h"
#include "client/sidecar/lease_source.h"

namespace credbroker::sidecar {

struct LeaseId {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const LeaseId&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const LeaseId& id) {
    return H::combine(std::move(state), id.high);
  }
};

// 24 characters of [A-Za-z0-9_-].
std::string ToText(const LeaseId& id);
// nullopt: not of that form.
std::optional<LeaseId> ParseLeaseId(absl::string_view text);

enum class LeaseEnd : uint8_t { kReported, kReleased, kExpired };

class LeaseTable {
 public:
  struct Options {
    size_t max_leases = 50'000;
    absl::Duration ended_retention = absl::Minutes(10);
    // 64 unguessable bits. Any thread.
    std::function<uint64_t()> random;
  };
  explicit LeaseTable(Options options);

  // The broker's hard maximum of a lease's life.
  static constexpr absl::Duration kMaxLife = absl::Hours(1);

  // Times are nanoseconds of the boot clock.
  struct Terms {
    std::string owner;  // a principal; empty: the proxies, whose calls have none
    int64_t granted = 0;
    int64_t deadline = 0;
  };

  LeaseId NewId();
  // Keeps `lease` until its deadline, or kMaxLife after it was granted. False, and the lease is
  // untouched: there are max_leases already.
  bool Put(const LeaseId& id, std::unique_ptr<HeldLease>& lease, Terms terms);

  struct Taken {
    std::unique_ptr<HeldLease> lease;  // null: it is not live
    std::optional<LeaseEnd> ended;     // how it ended before; nullopt: unknown
    api::ReportResult answer;          // the first report's, as far as it is known
  };
  // Takes a live lease out; it counts as ended by `how`.
  Taken Take(const LeaseId& id, absl::string_view owner, LeaseEnd how, int64_t now);
  // What the broker answered to the report of an ended lease.
  void SetAnswer(const LeaseId& id, const api::ReportResult& answer);

  // Runs `use` on a live lease, alone. Its deadline; nullopt: it is not live.
  std::optional<int64_t> Use(const LeaseId& id, absl::string_view owner,
                             absl::FunctionRef<void(HeldLease&)> use);
  // Moves its deadline, to kMaxLife after it was granted at the latest. The new one; nullopt: it is
  // not live.
  std::optional<int64_t> Prolong(const LeaseId& id, absl::string_view owner, int64_t deadline);

  // Leases whose deadline is over, at most `max` of them; they count as expired.
  std::vector<std::unique_ptr<HeldLease>> TakeExpired(int64_t now, size_t max);
  // All that are live.
  std::vector<std::unique_ptr<HeldLease>> TakeAll(int64_t now);

  size_t live() const { return live_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kMaxEnded = 65'536 / kShards;

  struct Live {
    std::unique_ptr<HeldLease> lease;
    Terms terms;
  };
  struct Ended {
    std::string owner;
    LeaseEnd how = LeaseEnd::kReported;
    api::ReportResult answer;
  };
  struct Shard {
    client::Mutex mutex;
    absl::flat_hash_map<LeaseId, Live> live ABSL_GUARDED_BY(mutex);
    absl::btree_set<std::pair<int64_t, LeaseId>> deadlines ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<LeaseId, Ended> ended ABSL_GUARDED_BY(mutex);
    std::deque<std::pair<int64_t, LeaseId>> ended_order ABSL_GUARDED_BY(mutex);  // forget when
  };

  static void Cap(Terms& terms);
  Shard& ShardOf(const LeaseId& id) { return shards_[id.low % kShards]; }
  // Null: it is not live, or another's.
  Live* FindLive(Shard& shard, const LeaseId& id, absl::string_view owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  std::unique_ptr<HeldLease> Remove(Shard& shard, const LeaseId& id, LeaseEnd how, int64_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);

  const Options options_;
  std::array<Shard, kShards> shards_;
  std::atomic<size_t> live_{0};
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_LEASE_TABLE_H_
