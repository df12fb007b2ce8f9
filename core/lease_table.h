// Live and lately ended leases, in cells that a lease id names directly: no hashing on the way of a
// report. The live leases of a credential form a list, so in-flight is set membership. Ended ones
// are remembered for a time and up to a number. Where there are too many, those that a report ended
// are forgotten before those nobody reported, oldest first, but keep half of the room: a report
// that is said again at once must be known again. Thread-compatible.
#ifndef CREDBROKER_CORE_LEASE_TABLE_H_
#define CREDBROKER_CORE_LEASE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "core/credential.h"
#include "core/ids.h"
#include "core/policy.h"
#include "core/record.h"
#include "core/slab.h"
#include "core/timer_heap.h"

namespace credbroker::core {

enum class LeaseEnd : uint8_t { kLive, kReported, kReleased, kExpired, kRevoked };

// One cache line: a report touches this and the record, and most of the remembered ones are cold.
struct alignas(64) LeaseCell {
  LeaseSeq seq;  // kNoLease: free
  Uid uid;
  uint64_t material_version = 0;
  union {
    int64_t granted_ns = 0;     // live
    int64_t answer_recover_ns;  // ended: of the answer a duplicate report gets; 0: none
  };
  union {
    int64_t expires_ns = 0;  // live
    int64_t ended_ns;        // ended
  };
  Slot slot;
  PrincipalId principal;
  ModelId model;
  uint32_t prev = kNoCell, next = kNoCell;  // live: the credential's list; ended: the queue
  LeaseEnd end : 3 = LeaseEnd::kLive;
  Advice answer_advice : 3 = Advice::kNone;
  State answer_state : 2 = State::kAvailable;
  bool probe : 1 = false;
  bool breaker_probe : 1 = false;
  bool has_request : 1 = false;  // a request_id names it
  bool has_pending_bind : 1 = false;
  bool reported : 1 = false;    // a terminal report came, if after its end
  bool in_session : 1 = false;  // SessionTable knows whose it is
  bool for_stock : 1 = false;   // granted before anybody wanted it
  Outcome answer_outcome = Outcome::kOther;
  Cause answer_cause = Cause::kNone;
};
static_assert(sizeof(LeaseCell) == 64);

class LeaseTable {
 public:
  // Takes a cell for a new lease of `record` and links it.
  uint32_t Add(Slot slot, Record& record, PrincipalId principal, ModelId model, int64_t granted_ns,
               int64_t expires_ns);
  // The cell if it still holds `seq` (live or ended), else nullptr.
  LeaseCell* Find(uint32_t cell, LeaseSeq seq);
  const LeaseCell* Find(uint32_t cell, LeaseSeq seq) const;
  LeaseCell& at(uint32_t cell) { return cells_[cell]; }
  const LeaseCell& at(uint32_t cell) const { return cells_[cell]; }
  void Extend(uint32_t cell, int64_t expires_ns);
  // Live -> ended: unlinked from its credential, kept in a queue of ended ones.
  void End(uint32_t cell, Record& record, LeaseEnd end, int64_t now_ns);
  // Forgets ended leases older than `before_ns` or beyond `max`, at most `limit`; `forget` sees
  // each cell before it is freed. Of those beyond `max` the ones that a report ended go first, down
  // to half of `max`: whatever may still be said of them is a repetition, while of the others a
  // first report counts.
  void Forget(int64_t before_ns, size_t max, int limit,
              absl::FunctionRef<void(uint32_t cell, LeaseCell&)> forget);

  int64_t NextExpiry() const { return expiry_.MinTime(); }
  uint32_t NextExpiring() const { return expiry_.MinIndex(); }
  size_t live() const { return expiry_.size(); }
  size_t LiveOf(PrincipalId principal) const {
    return principal.number() < live_of_.size() ? live_of_[principal.number()] : 0;
  }
  size_t ended() const { return reported_.size + unreported_.size; }
  LeaseSeq newest() const { return LeaseSeq(next_seq_ - 1); }

 private:
  Slab<LeaseCell, 4096> cells_;
  std::vector<uint32_t> free_;
  TimerHeap expiry_;
  struct EndedQueue {  // through LeaseCell::next, oldest first
    uint32_t head = kNoCell, tail = kNoCell;
    size_t size = 0;
  };
  // The queue whose oldest is the next to be forgotten; null: none is.
  EndedQueue* NextToForget(int64_t before_ns, size_t max);
  EndedQueue reported_, unreported_;  // by how they ended
  std::vector<size_t> live_of_;       // by PrincipalId: as few as listeners
  uint64_t next_seq_ = 1;
};

// Reports of leases of earlier epochs, of which nothing is in memory: each counts once.
// Thread-compatible.
class EarlierReports {
 public:
  static constexpr size_t kMax = 262'144;
  // Whether it is the first for this lease. `until_ns`: when nobody believes the lease any more.
  // One that finds no room counts as a repetition, as counting twice does the more harm.
  bool Add(uint64_t epoch, LeaseSeq seq, int64_t until_ns, int64_t now_ns);
  size_t size() const { return leases_.size(); }

 private:
  using Lease = std::pair<uint64_t, LeaseSeq>;
  absl::flat_hash_set<Lease> leases_;
  std::deque<std::pair<int64_t, Lease>> order_;  // as they came, with until_ns
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_LEASE_TABLE_H_
