// Parked calls: data, not threads. Each group has its own queue; within it principals take turns and each
// principal's calls are served oldest first. Thread-compatible.
#ifndef CREDBROKER_CORE_WAIT_QUEUE_H_
#define CREDBROKER_CORE_WAIT_QUEUE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "core/command.h"
#include "core/ids.h"

namespace credbroker::core {

// An AcquireCommand that owns its text.
class ParkedCall {
 public:
  explicit ParkedCall(const AcquireCommand& command);
  AcquireCommand View() const;  // borrows from *this

  WaiterId id;
  GroupId group;
  PrincipalId principal;
  absl::Time parked, deadline;
  // Equal for calls that the same credentials can serve (session left out): one failed try per pass.
  uint64_t demand = 0;

 private:
  std::string principal_name_, group_name_, model_, session_, pin_, request_id_;
  std::vector<std::string> providers_, excluded_;
  std::vector<std::pair<std::string, std::string>> labels_;
  std::vector<absl::string_view> provider_views_, excluded_views_;
  std::vector<std::pair<absl::string_view, absl::string_view>> label_views_;
  std::optional<Kind> kind_;
  absl::Duration ttl_, max_wait_;
  bool allow_probe_;
};

// Hash of what decides which credentials can serve a call: group, providers, model, pin, exclusions,
// kind, labels.
uint64_t DemandOf(const AcquireCommand& command);

class WaitQueue {
 public:
  // REQUIRES: call.id is new. Returns false (nothing kept) beyond the limits.
  bool Add(ParkedCall call, int max_total, int max_per_principal);
  const ParkedCall* Find(WaiterId id) const;
  bool Remove(WaiterId id);  // cancelled or replaced

  // Offers calls of `group` in fair order until `serve` returns true for one, which is removed and ends
  // the turn of its principal. A call whose demand already failed in this pass is skipped. Returns the
  // id that was served.
  std::optional<WaiterId> ServeOne(GroupId group, absl::FunctionRef<bool(const ParkedCall&)> serve);
  // Visits each call of the group in fair order (configuration changed; explain).
  void ForEach(GroupId group, absl::FunctionRef<void(const ParkedCall&)> visit) const;
  // Removes and returns calls whose deadline is <= now, at most `limit`, earliest first.
  std::vector<ParkedCall> Expire(absl::Time now, int limit);
  absl::Time NextDeadline() const;  // InfiniteFuture: none
  size_t size() const { return calls_.size(); }
  size_t size(GroupId group) const;
  std::vector<GroupId> groups() const;  // those with calls, ascending

 private:
  struct PrincipalQueue {
    PrincipalId principal;
    std::list<WaiterId> fifo;
  };
  struct Lane {
    std::list<PrincipalQueue> turns;  // front: next in turn
    size_t size = 0;
  };
  struct Held {
    ParkedCall call;
    std::list<PrincipalQueue>::iterator queue;
    std::list<WaiterId>::iterator place;
  };
  absl::flat_hash_map<WaiterId, std::unique_ptr<Held>> calls_;
  std::map<GroupId, Lane> lanes_;
  std::map<std::pair<absl::Time, WaiterId>, WaiterId> deadlines_;
  absl::flat_hash_map<PrincipalId, int> per_principal_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_WAIT_QUEUE_H_
