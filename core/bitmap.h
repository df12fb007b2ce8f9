// A set of small integers with O(log64 n) successor: the ordered set of selectable members of an index.
// Thread-compatible.
#ifndef CREDBROKER_CORE_BITMAP_H_
#define CREDBROKER_CORE_BITMAP_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace credbroker::core {

class SuccessorBitmap {
 public:
  // Members must be < size(); growing keeps members. Grows geometrically inside.
  void Grow(uint32_t size);
  void Set(uint32_t i);    // idempotent; grows as needed
  void Clear(uint32_t i);  // idempotent
  bool Test(uint32_t i) const;
  std::optional<uint32_t> Next(uint32_t i) const;  // smallest member >= i
  // Smallest member > after, else the smallest of all (wraps).
  std::optional<uint32_t> NextCyclic(std::optional<uint32_t> after) const;
  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  void Reset();

 private:
  std::vector<std::vector<uint64_t>> levels_;  // [0]: one bit a member; each next: one bit a word below
  uint32_t count_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_BITMAP_H_
