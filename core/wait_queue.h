// Parked calls: data, not threads. Each group has its own queue; within it principals take turns
// and each principal's calls are served oldest first. Thread-compatible.
#ifndef CREDBROKER_CORE_WAIT_QUEUE_H_
#define CREDBROKER_CORE_WAIT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "core/command.h"
#include "core/ids.h"

namespace credbroker::core {

// An AcquireCommand that owns its text. Movable, not copyable.
class ParkedCall {
 public:
  // Takes everything of `command`, and its demand (see DemandOf). The caller fills in id, group,
  // principal and times.
  explicit ParkedCall(const AcquireCommand& command, bool of_session = false);
  ParkedCall(ParkedCall&&) = default;
  ParkedCall& operator=(ParkedCall&&) = default;
  AcquireCommand View() const;  // borrows from *this, until it moves or dies

  WaiterId id;
  GroupId group;
  PrincipalId principal;
  absl::Time parked, deadline;
  // Equal for calls that the same credentials can serve: one failed try per pass.
  uint64_t demand = 0;

 private:
  std::string principal_name_, group_name_, model_, session_, pin_, request_id_;
  std::vector<std::string> providers_, excluded_;
  std::vector<std::pair<std::string, std::string>> labels_;
  // Into the three above, whose elements stay where they are when the vectors move.
  std::vector<absl::string_view> provider_views_, excluded_views_;
  std::vector<std::pair<absl::string_view, absl::string_view>> label_views_;
  std::optional<Kind> kind_;
  absl::Duration ttl_, max_wait_;
  bool allow_probe_ = true;
  SessionId session_id_;
};

// Hash of what decides which credentials can serve a call: group, providers, canonical model, pin,
// exclusions, kind, labels, probes allowed, with a session or not; `of_session`: and with which
// one, for groups whose sessions wait for their credential. The same in every run.
uint64_t DemandOf(const AcquireCommand& command, bool of_session = false);

class WaitQueue {
 public:
  // REQUIRES: call.id is new. Returns false (nothing kept) beyond the limits.
  bool Add(ParkedCall call, int max_total, int max_per_principal);
  // `call` takes the place of `old` in the order. REQUIRES: call.id is new, same principal. Returns
  // false (nothing kept) if `old` is not parked.
  bool Replace(WaiterId old, ParkedCall call);
  const ParkedCall* Find(WaiterId id) const;
  bool Remove(WaiterId id);  // cancelled
  // Sets the demand of all calls of the group anew (configuration changed). Order is kept.
  void SetSessionDecides(GroupId group, bool of_session);

  // Offers calls of `group` in fair order until `serve` returns true for one, which is removed and
  // ends the turn of its principal. A call whose demand already failed in this pass is skipped.
  // Returns the id that was served. Costs one step for each principal and demand looked at, however
  // many calls wait behind. `serve` must not change the queue.
  std::optional<WaiterId> ServeOne(GroupId group, absl::FunctionRef<bool(const ParkedCall&)> serve);
  // Visits each call of the group in the order in which they would be served if all could be
  // (configuration changed; explain). `visit` must not change the queue.
  void ForEach(GroupId group, absl::FunctionRef<void(const ParkedCall&)> visit) const;
  // Removes and returns calls whose deadline is <= now, at most `limit`, earliest first.
  std::vector<ParkedCall> Expire(absl::Time now, int limit);
  absl::Time NextDeadline() const;  // InfiniteFuture: none
  size_t size() const { return calls_.size(); }
  size_t size(GroupId group) const;
  std::vector<GroupId> groups() const;  // those with calls, ascending

 private:
  struct Held {
    explicit Held(ParkedCall parked_call) : call(std::move(parked_call)) {}
    ParkedCall call;
    uint64_t number = 0;  // counts arrivals: the order within a principal
  };
  struct PrincipalQueue {
    PrincipalId principal;
    std::map<uint64_t, Held*> fifo;  // by number
    // Calls of one demand fail together, so a pass need look at the oldest of each only.
    std::map<uint64_t, std::set<uint64_t>> by_demand;  // demand -> numbers
    std::set<std::pair<uint64_t, uint64_t>> heads;     // (oldest number, demand)
  };
  using Turns = std::list<PrincipalQueue>;  // front: next in turn
  struct Lane {
    Turns turns;
    absl::flat_hash_map<PrincipalId, Turns::iterator> by_principal;
    absl::flat_hash_map<uint64_t, size_t> demands;  // demand -> calls
    size_t size = 0;
  };
  void Attach(Held* held);
  void Detach(const Held& held);
  void DropIfIdle(GroupId group, PrincipalId principal);
  ParkedCall Take(WaiterId id);

  absl::flat_hash_map<WaiterId, std::unique_ptr<Held>> calls_;
  std::map<GroupId, Lane> lanes_;
  std::set<std::pair<absl::Time, WaiterId>> deadlines_;
  absl::flat_hash_map<PrincipalId, int> per_principal_;
  uint64_t next_number_ = 1;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_WAIT_QUEUE_H_
