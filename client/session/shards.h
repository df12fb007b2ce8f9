// Stock and notes, split over a few locks so that callers' threads seldom meet.
//
// Each thread has a shard of its own by turns; it takes stock from there first and puts its notes
// there. Whoever holds all the locks (AllLocked) knows that no thread is in the middle of a
// hand-out: what was removed meanwhile is not handed out any more. That is what makes the
// acknowledgement of a revocation true.
//
// Thread-safety: all functions may be called from any thread, unless said otherwise.
#ifndef CREDBROKER_CLIENT_SESSION_SHARDS_H_
#define CREDBROKER_CLIENT_SESSION_SHARDS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "client/session/mutex.h"
#include "client/session/record.h"

namespace credbroker::client {

inline constexpr TargetId kMaxTargets = 4096;

// Numbers of a target that callers' threads count and the session's thread reads.
struct alignas(64) TargetCounters {
  // Leases in stock, over all shards.
  std::atomic<int32_t> stock{0};
  // Refill when the stock falls to this; -1: never, or it is on its way.
  std::atomic<int32_t> low_water{-1};
  // Leases taken from stock, and tries that found none.
  std::atomic<uint64_t> taken{0};
  std::atomic<uint64_t> missed{0};
};

class Shards {
 public:
  static constexpr size_t kCount = 4;

  Shards() = default;
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;

  // Makes room for `capacity` leases of `target`; nothing is lost of what is there.
  // REQUIRES: session's thread; 1 <= target <= kMaxTargets.
  void Prepare(TargetId target, size_t capacity);
  // Null: not prepared.
  TargetCounters* counters(TargetId target) const {
    return target <= kMaxTargets ? targets_[target].load(std::memory_order_acquire) : nullptr;
  }

  struct Taken {
    LeaseRecord* record = nullptr;
    std::shared_ptr<const Material> material;
    // The stock is at or below the low-water mark.
    bool refill = false;
  };
  // Takes the oldest lease of the caller's shard, else of another. The record's place becomes
  // kInUse. Leases in doubt are not taken but put aside. `counters` are those of `target`.
  Taken Take(TargetId target, TargetCounters& counters) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  // Puts leases into stock, where threads took most. REQUIRES: session's thread, prepared.
  void Put(TargetId target, absl::Span<LeaseRecord* const> records);

  // Puts back what was aside and is not in doubt any more. To be called when a doubt was settled.
  void PutBack();

  // Takes a note in. False: they are closed, it is still the caller's.
  bool Note(LeaseNote& note);
  // Moves all notes to the end of `out`. REQUIRES: session's thread.
  void Drain(std::vector<LeaseNote>* out);
  bool HasNotes();
  // Drops notes from now on.
  void CloseNotes();

  // With every lock held: removes from the stock of every target what `remove` says, and gives it
  // to `out`. `update` runs first, under the locks. REQUIRES: session's thread; the functions do
  // not call this class.
  void RemoveIf(const std::function<void()>& update,
                const std::function<bool(const LeaseRecord&)>& remove,
                std::vector<LeaseRecord*>* out) ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  // A queue of bounded capacity.
  struct Ring {
    std::vector<LeaseRecord*> slots;
    uint32_t head = 0;
    uint32_t size = 0;
    // Leases taken since the last Put.
    uint32_t taken = 0;
  };
  struct alignas(64) Shard {
    Mutex mutex;
    std::vector<Ring> rings ABSL_GUARDED_BY(mutex);
    // In stock, but withheld: somebody met them while they were in doubt.
    std::vector<LeaseRecord*> aside ABSL_GUARDED_BY(mutex);
    std::vector<LeaseNote> notes ABSL_GUARDED_BY(mutex);
    bool closed ABSL_GUARDED_BY(mutex) = false;
  };
  class AllLocked;

  static size_t OwnShard();
  static bool TakeFrom(Shard& shard, TargetId target, Taken* taken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);

  std::array<Shard, kCount> shards_;
  std::array<std::atomic<TargetCounters*>, kMaxTargets + 1> targets_{};
  // Owns what targets_ points to. Session's thread only.
  std::vector<std::unique_ptr<TargetCounters>> owned_;
  // Drain swaps its shard's notes with this, so that neither side allocates.
  std::vector<LeaseNote> spare_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_SHARDS_H_
