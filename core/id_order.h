// Positions for the ids of one group such that position order is id order (byte-wise). Appending in order
// is O(log n); an insertion without room relabels all positions with gaps (amortised, and told to the
// caller, whose indexes hold positions). Thread-compatible.
#ifndef CREDBROKER_CORE_ID_ORDER_H_
#define CREDBROKER_CORE_ID_ORDER_H_

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
  // `id` must outlive its membership (the pool's record owns it). REQUIRES: not a member.
  Placed Insert(absl::string_view id, Slot slot);
  void Erase(absl::string_view id);
  Slot SlotAt(uint32_t position) const;  // kNoSlot: nobody there
  uint32_t PositionOf(absl::string_view id) const;  // REQUIRES: member
  // After a relabelling: old position -> new position (UINT32_MAX where nobody was). For a cursor that
  // stands on a place whose member left, NewCursor gives the new position of its predecessor.
  const std::vector<uint32_t>& moved() const { return moved_; }
  std::optional<uint32_t> NewCursor(std::optional<uint32_t> old_cursor) const;
  uint32_t limit() const { return static_cast<uint32_t>(slots_.size()); }  // positions are < limit
  size_t size() const { return by_id_.size(); }
  const absl::btree_map<absl::string_view, uint32_t>& by_id() const { return by_id_; }

 private:
  absl::btree_map<absl::string_view, uint32_t> by_id_;
  std::vector<Slot> slots_;  // by position
  std::vector<uint32_t> moved_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_ID_ORDER_H_
