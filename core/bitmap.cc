#include "core/bitmap.h"

#include <bit>
#include <cassert>

namespace credbroker::core {

void SuccessorBitmap::Grow(uint32_t size) {
  if (size <= capacity_) return;
  size_t words = (size_t{size} + kBits - 1) / kBits;
  int level = 0;
  for (;;) {
    std::vector<uint64_t>& bits = levels_[level];
    // vector::resize grows geometrically, so that growing one by one stays linear.
    if (words > bits.size()) bits.resize(words, 0);
    if (level >= depth_) {
      depth_ = level + 1;
      // Only the first word below can be in use: it was the whole level until now.
      if (level > 0 && levels_[level - 1][0] != 0) bits[0] = 1;
    }
    if (bits.size() == 1) break;
    words = (bits.size() + kBits - 1) / kBits;
    ++level;
  }
  const size_t room = levels_[0].size() * kBits;
  capacity_ = room > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(room);
}

void SuccessorBitmap::Set(uint32_t i) {
  assert(i < UINT32_MAX);
  if (i >= capacity_) Grow(i + 1);
  uint64_t& leaf = levels_[0][i / kBits];
  const uint64_t bit = uint64_t{1} << (i % kBits);
  if ((leaf & bit) != 0) return;
  ++count_;
  bool was_empty = leaf == 0;
  leaf |= bit;
  for (int level = 1; was_empty && level < depth_; ++level) {
    i /= kBits;
    uint64_t& word = levels_[level][i / kBits];
    was_empty = word == 0;
    word |= uint64_t{1} << (i % kBits);
  }
}

void SuccessorBitmap::Clear(uint32_t i) {
  if (!Test(i)) return;
  --count_;
  for (int level = 0; level < depth_; ++level) {
    uint64_t& word = levels_[level][i / kBits];
    word &= ~(uint64_t{1} << (i % kBits));
    if (word != 0) return;
    i /= kBits;
  }
}

std::optional<uint32_t> SuccessorBitmap::Next(uint32_t i) const {
  if (i >= capacity_ || count_ == 0) return std::nullopt;
  // Up until a word has a bit at or behind the place, ...
  size_t at = i;
  for (int level = 0; level < depth_; ++level) {
    if (at / kBits >= levels_[level].size()) return std::nullopt;
    const uint64_t rest = levels_[level][at / kBits] >> (at % kBits);
    if (rest != 0) {
      at += static_cast<size_t>(std::countr_zero(rest));
      // ... and down along the first bit of each word.
      for (; level > 0; --level) {
        at = at * kBits + static_cast<size_t>(std::countr_zero(levels_[level - 1][at]));
      }
      return static_cast<uint32_t>(at);
    }
    at = at / kBits + 1;
  }
  return std::nullopt;
}

std::optional<uint32_t> SuccessorBitmap::NextCyclic(std::optional<uint32_t> after) const {
  if (after.has_value() && *after < UINT32_MAX) {
    const std::optional<uint32_t> next = Next(*after + 1);
    if (next.has_value()) return next;
  }
  return Next(0);
}

SuccessorBitmap SuccessorBitmap::Relabelled(const std::vector<uint32_t>& moved) const {
  SuccessorBitmap result;
  for (std::optional<uint32_t> i = Next(0); i.has_value(); i = Next(*i + 1)) {
    assert(*i < moved.size() && moved[*i] != UINT32_MAX);
    result.Set(moved[*i]);
  }
  return result;
}

void SuccessorBitmap::Reset() { *this = SuccessorBitmap(); }

}  // namespace credbroker::core
