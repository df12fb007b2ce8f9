// Positions for the ids of one group such that position order is id order (byte-wise). Inserting is
// O(log n); where an insertion finds no room all positions are given anew with gaps. That is
// amortised for ids in any order, sorted runs at any place included, and told to the caller, whose
// indexes hold positions. Thread-compatible.
//
// A former member keeps its place in the order for a while: a cursor that stands on it still
// divides later ids into those before and those behind it.
#ifndef CREDBROKER_CORE_ID_ORDER_H_
#define CREDBROKER_CORE_ID_ORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"

namespace credbroker::core {

class IdOrder {
 public:
  struct Placed {
    uint32_t position;
    bool relabelled;  // every position may have changed: read PositionOf / moved() anew
  };
  // `id` must outlive its membership (the pool's record owns it). REQUIRES: not a member. A former
  // member that comes back soon gets its old position.
  Placed Insert(absl::string_view id, Slot slot);
  void Erase(absl::string_view id);       // no-op when absent
  Slot SlotAt(uint32_t position) const {  // kNoSlot: nobody there
    return position < slots_.size() ? slots_[position] : kNoSlot;
  }
  uint32_t PositionOf(absl::string_view id) const;  // REQUIRES: member
  // After a relabelling, until the next Insert: old position -> new position, of members and of
  // former members still remembered; UINT32_MAX where nobody was. For a cursor that stands on a
  // place that nobody remembers, NewCursor gives the new position of its predecessor (none:
  // nullopt).
  const std::vector<uint32_t>& moved() const { return moved_; }
  std::optional<uint32_t> NewCursor(std::optional<uint32_t> old_cursor) const;
  uint32_t limit() const { return static_cast<uint32_t>(slots_.size()); }  // positions are < limit
  size_t size() const { return by_id_.size(); }
  const absl::btree_map<absl::string_view, uint32_t>& by_id() const { return by_id_; }

 private:
  static constexpr uint32_t kNobody = UINT32_MAX;

  // Nearest places in use on both sides of `id`; kNobody: none.
  struct Neighbours {
    uint32_t left = kNobody;
    uint32_t right = kNobody;
  };
  Neighbours Around(absl::string_view id) const;
  std::optional<uint32_t> PlaceBetween(const Neighbours& around) const;
  bool Recent(uint32_t position) const;
  void Relabel(absl::string_view newcomer);

  absl::btree_map<absl::string_view, uint32_t> by_id_;
  absl::btree_map<std::string, uint32_t> former_;
  std::vector<Slot> slots_;  // by position
  uint32_t gap_ = 4;         // distance of neighbours after the next relabelling
  size_t inserted_ = 0;      // since the last one
  std::vector<uint32_t> moved_;
  // The latest insertions: a run of sorted ids is laid down side by side, not by halving the room.
  std::array<uint32_t, 8> recent_{kNobody, kNobody, kNobody, kNobody,
                                  kNobody, kNobody, kNobody, kNobody};
  size_t next_recent_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_ID_ORDER_H_
