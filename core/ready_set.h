// The fully open, not busy members of one index and priority tier, and the strategy that picks
// among them. Members are positions of IdOrder. Every operation but Relabel and Inherit is O(1) or
// O(log n) in the members; a pick costs one step more for each member the caller turns down.
// Members with weight <= 0 are not inserted. Deterministic. Thread-compatible.
#ifndef CREDBROKER_CORE_READY_SET_H_
#define CREDBROKER_CORE_READY_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "core/id_order.h"
#include "core/settings.h"

namespace credbroker::core {

// What strategies know of a member, besides its position.
struct MemberFacts {
  int64_t weight = 1;
  uint32_t in_flight = 0;
  uint64_t last_grant = 0;  // orders latest grants, 0: never; breaks ties of least-in-flight
  // Earliest reset of a rate-limit window that has headroom; InfiniteFuture: unknown.
  absl::Time reset_with_headroom = absl::InfiniteFuture();
  bool exhausted = false;  // a known window has no headroom: picked after the unknown ones
};

class ReadySet {
 public:
  static std::unique_ptr<ReadySet> Create(Strategy strategy);
  virtual ~ReadySet() = default;

  virtual void Insert(uint32_t position, const MemberFacts& facts) = 0;  // REQUIRES: not a member
  virtual void Erase(uint32_t position) = 0;                             // no-op when absent
  virtual void Update(uint32_t position, const MemberFacts& facts) = 0;  // no-op when absent
  virtual bool Contains(uint32_t position) const = 0;
  virtual size_t size() const = 0;
  bool empty() const { return size() == 0; }

  // The member the strategy would take now among those `admissible` accepts; nothing is changed but
  // what time alone changes (earliest-reset: a window whose reset is past becomes unknown).
  using Admissible = absl::FunctionRef<bool(uint32_t position)>;
  virtual std::optional<uint32_t> Pick(Admissible admissible, absl::Time now) = 0;
  // The pick was granted: moves the cursor, charges the share. Never called for pins, probes and
  // session-bound grants. Follows its Pick at once; the member may have been erased in between.
  virtual void Granted(uint32_t position) = 0;
  // The member that the pick after the next one would take, if nobody is turned down and nothing
  // changes meanwhile: a hint, so that its memory can be asked for before it is needed. Default:
  // not known.
  virtual std::optional<uint32_t> Upcoming() const;

  // Positions were relabelled; see IdOrder::moved. Cursor and shares are kept. To be called before
  // the newcomer is inserted.
  virtual void Relabel(const IdOrder& order) = 0;
  // Takes cursor and shares of a set it replaces (same strategy, same positions). Default: nothing.
  virtual void Inherit(const ReadySet& other);
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_READY_SET_H_
