// How much stock each target should have: levels, refills and returns.
//
// Thread-safety: the session's thread only.
#ifndef CREDBROKER_CLIENT_SESSION_STOCK_KEEPER_H_
#define CREDBROKER_CLIENT_SESSION_STOCK_KEEPER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "client/session/shards.h"
#include "client/session/wire_time.h"
#include "credbroker/client/clock.h"
#include "credbroker/client/target.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

class StockKeeper {
 public:
  StockKeeper(Shards& shards, Random& random) : shards_(shards), random_(random) {}
  StockKeeper(const StockKeeper&) = delete;
  StockKeeper& operator=(const StockKeeper&) = delete;

  // `target` was checked.
  void Declare(TargetId id, Target target, int64_t now);
  // Its stock is to be taken out by the caller.
  void Retire(TargetId id);
  // Null: not declared, or retired.
  const Target* Find(TargetId id) const;

  // Looks at what callers took and missed.
  void Step(int64_t now);
  // Adds declarations, then refills, up to `budget` in all. Returns how many.
  size_t Fill(v1::SessionRequest* message, size_t budget, int64_t now);
  // Whether Fill has something to add now.
  bool has_wanted(int64_t now) const;
  // An answer to a refill, to be called for each. False: it was asked for a target that had this id
  // before; its leases are to be returned.
  bool Arrived(const v1::SessionStock& answer, int64_t now);
  // Leases that are to be returned by `use_by_ns` are in stock of this target.
  void Keeps(TargetId id, int64_t use_by_ns);

  // Whether leases are due to go back now; ShouldReturn then says which. Between the two calls of
  // BeginReturns and EndReturns every lease in stock is to be shown to ShouldReturn.
  bool ReturnsDue(int64_t now) const;
  void BeginReturns(int64_t now);
  bool ShouldReturn(const LeaseRecord& record, int64_t now);
  void EndReturns(int64_t now);

  // The stream is over: declarations and refills under way are forgotten.
  void Rewind();
  int64_t NextDue() const;

 private:
  struct Entry {
    Target target;
    bool retired = false;
    bool declared = false;  // on this stream
    int level = 0;
    // A refill was asked for and not answered; each gets one answer.
    bool under_way = false;
    // The same for retired targets that had this id.
    int stale_under_way = 0;
    // Somebody found the stock empty since the last refill.
    bool hungry = false;
    uint64_t seen_taken = 0;
    uint64_t seen_missed = 0;
    int64_t used_at_ns = 0;
    // After a refusal: no refill before this.
    int64_t blocked_until_ns = 0;
    int refusals = 0;
    // The earliest use_by in stock; may be of one that was taken.
    int64_t age_due_ns = kNever;
    bool returning_all = false;
    bool returned_aged = false;
  };

  int Wanted(TargetId id, const Entry& entry, int64_t now) const;
  bool Idle(TargetId id, const Entry& entry, int64_t now) const;
  void SetLowWater(TargetId id, const Entry& entry, int64_t now);

  Shards& shards_;
  Random& random_;
  absl::flat_hash_map<TargetId, Entry> entries_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_STOCK_KEEPER_H_
