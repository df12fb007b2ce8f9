// Numbered cells at stable addresses, in large chunks: one small array to find a cell, where a
// deque of big elements costs a pointer (and a cache miss) for each. Never shrinks.
// Thread-compatible.
#ifndef CREDBROKER_CORE_SLAB_H_
#define CREDBROKER_CORE_SLAB_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace credbroker::core {

template <typename T, uint32_t kChunk = 512>
class Slab {
  static_assert((kChunk & (kChunk - 1)) == 0, "a power of two");

 public:
  T& operator[](uint32_t i) { return chunks_[i / kChunk][i % kChunk]; }
  const T& operator[](uint32_t i) const { return chunks_[i / kChunk][i % kChunk]; }
  uint32_t size() const { return size_; }
  // A default-made cell; returns its number.
  uint32_t Add() {
    if (size_ % kChunk == 0) chunks_.push_back(std::make_unique<T[]>(kChunk));
    return size_++;
  }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
  uint32_t size_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_SLAB_H_
