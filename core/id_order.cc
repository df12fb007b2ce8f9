#include "core/id_order.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace credbroker::core {
namespace {

// Distance of neighbours after appending or relabelling. Every index pays a bit for each place, so
// it is small; random insertions then relabel once in some per cent of growth.
constexpr uint32_t kGap = 4;
// Relabelling that comes too soon after the last one doubles the distance, up to this: ids such as
// c-1 ... c-30000 put ten newcomers into every gap, one gap after the other.
constexpr uint32_t kMaxGap = 16;
// Room left at least on each side of the id that forced a relabelling, as the next ones often
// belong beside it; and of other recent ones, as several sorted runs may come in turn.
constexpr uint32_t kMinHole = 32;
// Former members remembered at least; more when there are more members.
constexpr size_t kMinFormer = 1024;
// Appending beyond this many places for each id in use closes the gaps that departures left.
constexpr uint64_t kMaxSparseness = uint64_t{5} * kMaxGap;
constexpr uint64_t kMaxPosition = uint64_t{1} << 31;

}  // namespace

IdOrder::Neighbours IdOrder::Around(absl::string_view id) const {
  Neighbours around;
  const auto member = by_id_.upper_bound(id);
  if (member != by_id_.end()) around.right = member->second;
  if (member != by_id_.begin()) around.left = std::prev(member)->second;
  const auto former = former_.upper_bound(id);
  if (former != former_.end()) around.right = std::min(around.right, former->second);
  if (former != former_.begin()) {
    const uint32_t left = std::prev(former)->second;
    if (around.left == kNobody || left > around.left) around.left = left;
  }
  return around;
}

bool IdOrder::Recent(uint32_t position) const {
  return std::find(recent_.begin(), recent_.end(), position) != recent_.end();
}

std::optional<uint32_t> IdOrder::PlaceBetween(const Neighbours& around) const {
  // Counted from 1, so that "nobody on the left" is 0.
  const uint64_t left = around.left == kNobody ? 0 : uint64_t{around.left} + 1;
  if (around.right == kNobody) {
    const uint64_t place = left + kGap;
    const uint64_t in_use = by_id_.size() + former_.size() + uint64_t{kGap} * kMinHole;
    if (place > kMaxPosition || place > kMaxSparseness * in_use) return std::nullopt;
    return static_cast<uint32_t>(place - 1);
  }
  const uint64_t right = uint64_t{around.right} + 1;
  const uint64_t room = right - left - 1;
  if (room == 0) return std::nullopt;
  const uint64_t step = room > uint64_t{2} * kMinHole ? 2 : 1;
  const bool ascending = around.left != kNobody && Recent(around.left);
  const bool descending = Recent(around.right);
  // Nearer to the left: runs of new ids come ascending more often than not.
  uint64_t place = left + (room + 3) / 4;
  if (ascending && !descending) place = left + step;
  if (descending && !ascending) place = right - step;
  return static_cast<uint32_t>(place - 1);
}

void IdOrder::Relabel(absl::string_view newcomer) {
  if (inserted_ < std::min<size_t>(32, by_id_.size() / 64)) gap_ = std::min(gap_ * 2, kMaxGap);
  inserted_ = 0;
  moved_.assign(slots_.size(), kNobody);
  std::vector<Slot> slots;
  slots.reserve((by_id_.size() + former_.size() + 2) * gap_);
  const auto leave = [&slots](size_t room) { slots.resize(slots.size() + room, kNoSlot); };
  const size_t hole = std::max<size_t>(kMinHole, by_id_.size() / 4);
  const size_t recent_hole = std::max<size_t>(kMinHole, by_id_.size() / 16);
  bool placed = false;
  const auto put = [&](absl::string_view id, uint32_t& position) {
    if (!placed && newcomer < id) {
      leave(2 * hole);
      placed = true;
    }
    const bool recent = Recent(position);
    leave(recent ? recent_hole : gap_ - 1);
    const Slot slot = slots_[position];
    moved_[position] = static_cast<uint32_t>(slots.size());
    position = static_cast<uint32_t>(slots.size());
    slots.push_back(slot);
    if (recent) leave(recent_hole);
  };
  auto member = by_id_.begin();
  auto former = former_.begin();
  while (member != by_id_.end() || former != former_.end()) {
    if (former == former_.end() || (member != by_id_.end() && member->first < former->first)) {
      put(member->first, member->second);
      ++member;
    } else {
      put(former->first, former->second);
      ++former;
    }
  }
  slots_ = std::move(slots);
  for (uint32_t& position : recent_) {
    if (position != kNobody) position = moved_[position];
  }
}

IdOrder::Placed IdOrder::Insert(absl::string_view id, Slot slot) {
  assert(!by_id_.contains(id));
  assert(slot != kNoSlot);
  moved_ = {};
  ++inserted_;
  Placed result{kNobody, false};
  const auto former = former_.find(id);
  if (former != former_.end()) {
    result.position = former->second;
    former_.erase(former);
  } else {
    std::optional<uint32_t> place = PlaceBetween(Around(id));
    if (!place.has_value()) {
      Relabel(id);
      result.relabelled = true;
      place = PlaceBetween(Around(id));
    }
    result.position = *place;
  }
  if (result.position >= slots_.size()) slots_.resize(result.position + size_t{1}, kNoSlot);
  slots_[result.position] = slot;
  by_id_.emplace(id, result.position);
  recent_[next_recent_] = result.position;
  next_recent_ = (next_recent_ + 1) % recent_.size();
  return result;
}

void IdOrder::Erase(absl::string_view id) {
  const auto member = by_id_.find(id);
  if (member == by_id_.end()) return;
  const uint32_t position = member->second;
  slots_[position] = kNoSlot;
  if (former_.size() >= std::max(kMinFormer, by_id_.size())) former_.clear();
  former_.emplace(std::string(id), position);
  by_id_.erase(member);
}

uint32_t IdOrder::PositionOf(absl::string_view id) const {
  const auto member = by_id_.find(id);
  assert(member != by_id_.end());
  return member->second;
}

std::optional<uint32_t> IdOrder::NewCursor(std::optional<uint32_t> old_cursor) const {
  if (!old_cursor.has_value() || moved_.empty()) return std::nullopt;
  size_t at = std::min<size_t>(*old_cursor, moved_.size() - 1) + 1;
  while (at > 0) {
    if (moved_[at - 1] != kNobody) return moved_[at - 1];
    --at;
  }
  return std::nullopt;
}

}  // namespace credbroker::core
