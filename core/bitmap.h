// A set of small integers with O(log64 n) successor: the ordered set of selectable members of an
// index. Thread-compatible.
#ifndef CREDBROKER_CORE_BITMAP_H_
#define CREDBROKER_CORE_BITMAP_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace credbroker::core {

class SuccessorBitmap {
 public:
  // Makes room for members < `size`, so that setting them does not allocate; keeps members.
  void Grow(uint32_t size);
  void Set(uint32_t i);    // idempotent; grows as needed. REQUIRES: i < UINT32_MAX
  void Clear(uint32_t i);  // idempotent
  bool Test(uint32_t i) const {
    return i < capacity_ && (levels_[0][i / kBits] >> (i % kBits) & 1) != 0;
  }
  std::optional<uint32_t> Next(uint32_t i) const;  // smallest member >= i
  // Smallest member > after, else the smallest of all (wraps).
  std::optional<uint32_t> NextCyclic(std::optional<uint32_t> after) const;
  // The first in the order of NextCyclic for which `accept(member)` is true; asks each at most
  // once.
  template <typename Accept>
  std::optional<uint32_t> FindCyclic(std::optional<uint32_t> after, Accept&& accept) const {
    const std::optional<uint32_t> first = NextCyclic(after);
    if (!first.has_value()) return std::nullopt;
    uint32_t at = *first;
    do {
      if (accept(at)) return at;
      at = *NextCyclic(at);
    } while (at != *first);
    return std::nullopt;
  }
  // The same set after a relabelling: member i becomes moved[i]. REQUIRES: moved covers all
  // members.
  SuccessorBitmap Relabelled(const std::vector<uint32_t>& moved) const;
  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  void Reset();

 private:
  static constexpr uint32_t kBits = 64;
  static constexpr int kMaxDepth = 6;  // 64^6 > 2^32

  // [0]: one bit a member; each next: one bit a word below. The last level in use is one word.
  std::array<std::vector<uint64_t>, kMaxDepth> levels_;
  int depth_ = 0;
  uint32_t capacity_ = 0;  // members are below it
  uint32_t count_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_BITMAP_H_
