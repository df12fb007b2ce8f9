// Identifier types of the pool. All are plain values: thread-compatible, cheap to copy, ordered by
// their number. An id type never converts to another one.
#ifndef CREDBROKER_CORE_IDS_H_
#define CREDBROKER_CORE_IDS_H_

#include <cstdint>
#include <utility>

namespace credbroker::core {

template <typename Tag, typename Rep>
class Id {
 public:
  using Number = Rep;
  constexpr Id() = default;
  constexpr explicit Id(Rep number) : number_(number) {}
  constexpr Rep number() const { return number_; }
  friend constexpr auto operator<=>(const Id&, const Id&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), id.number_);
  }

 private:
  Rep number_ = 0;
};

// The place of a credential's record in the pool's table; reused after a delete.
using Slot = Id<struct SlotTag, uint32_t>;
inline constexpr Slot kNoSlot{UINT32_MAX};

// Incarnation of a credential id: a deleted and re-created id has another uid. Never 0.
using Uid = Id<struct UidTag, uint64_t>;

// Interned names. ModelId 0 is "no model": the credential scope.
using ModelId = Id<struct ModelTag, uint32_t>;
using GroupId = Id<struct GroupTag, uint32_t>;
using ProviderId = Id<struct ProviderTag, uint32_t>;
using PrincipalId = Id<struct PrincipalTag, uint32_t>;
using EgressId = Id<struct EgressTag, uint32_t>;
inline constexpr ModelId kNoModel{0};

// Number of a lease within one epoch, counted from 1. A number is never given out twice.
using LeaseSeq = Id<struct LeaseTag, uint64_t>;
inline constexpr LeaseSeq kNoLease{0};

// A session, counted from 1 and never given out twice in a process.
using SessionId = Id<struct SessionTag, uint64_t>;
inline constexpr SessionId kNoSession{0};

// Number of a parked Acquire, counted from 1.
using WaiterId = Id<struct WaiterTag, uint64_t>;

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_IDS_H_
