// One index: the members of a group that can serve one kind of request, sorted into priority tiers
// of selectable ones, half-open ones due a probe, and those that come back by themselves, with
// exact counts of what holds the rest. Kept up to date at each transition, so that a request never
// scans. Positions are those of the group's IdOrder. Thread-compatible.
#ifndef CREDBROKER_CORE_INDEX_VIEW_H_
#define CREDBROKER_CORE_INDEX_VIEW_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "core/bitmap.h"
#include "core/credential.h"
#include "core/id_order.h"
#include "core/ready_set.h"
#include "core/record.h"

namespace credbroker::core {

// A member as an index sees it.
struct MemberState {
  int64_t priority = 0;
  MemberFacts facts;
  Standing standing;
};

class IndexView {
 public:
  explicit IndexView(Strategy strategy) : strategy_(strategy) {}

  void Add(uint32_t position, const MemberState& member);
  // `member` must be what was last given for the position.
  void Remove(uint32_t position, const MemberState& member);
  // Standing or facts changed; the priority is the same.
  void Update(uint32_t position, int64_t priority, const MemberFacts& facts, const Standing& before,
              const Standing& after);
  // Only facts that strategies read changed (a grant or its end).
  void Touch(uint32_t position, int64_t priority, const MemberFacts& facts);
  void Relabel(const IdOrder& order);
  void Inherit(const IndexView& other);

  bool IsMember(uint32_t position) const { return members_.Test(position); }
  const SuccessorBitmap& members() const { return members_; }
  uint32_t size() const { return members_.count(); }
  // Fully open ones, busy or not.
  uint32_t open() const { return open_; }
  // AVAILABLE ones: open or half-open.
  uint32_t unblocked() const { return unblocked_; }
  const std::array<uint32_t, kCauseCount>& counts() const { return counts_; }
  int64_t next_return_ns() const {
    return returning_.empty() ? INT64_MAX : returning_.begin()->first;
  }

  struct Tier {
    std::unique_ptr<ReadySet> ready;
    uint32_t members = 0;
  };
  using Tiers = absl::btree_map<int64_t, Tier, std::greater<int64_t>>;  // highest first
  Tiers& tiers() { return tiers_; }
  // Half-open and due, the longest unprobed first, then by id.
  using Timed = absl::btree_set<std::pair<int64_t, uint32_t>>;
  const Timed& probes() const { return probes_; }
  const Timed& returning() const { return returning_; }

 private:
  void Count(const Standing& standing, uint32_t by);
  Strategy strategy_;
  SuccessorBitmap members_;
  Tiers tiers_;
  Timed probes_, returning_;
  std::array<uint32_t, kCauseCount> counts_{};
  uint32_t open_ = 0, unblocked_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_INDEX_VIEW_H_
