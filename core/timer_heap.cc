#include "core/timer_heap.h"

#include <algorithm>
#include <cassert>

namespace credbroker::core {
namespace {

constexpr uint32_t kArity = 4;

}  // namespace

void TimerHeap::Place(uint32_t at, const Node& node) {
  heap_[at] = node;
  place_[node.index] = at + 1;
}

void TimerHeap::Up(uint32_t at) {
  const Node node = heap_[at];
  while (at > 0) {
    const uint32_t parent = (at - 1) / kArity;
    if (!Less(node, heap_[parent])) break;
    Place(at, heap_[parent]);
    at = parent;
  }
  Place(at, node);
}

void TimerHeap::Down(uint32_t at) {
  const Node node = heap_[at];
  const auto size = static_cast<uint32_t>(heap_.size());
  for (;;) {
    const uint32_t first = at * kArity + 1;
    if (first >= size) break;
    const uint32_t last = std::min(first + kArity, size);
    uint32_t least = first;
    for (uint32_t child = first + 1; child < last; ++child) {
      if (Less(heap_[child], heap_[least])) least = child;
    }
    if (!Less(heap_[least], node)) break;
    Place(at, heap_[least]);
    at = least;
  }
  Place(at, node);
}

void TimerHeap::Set(uint32_t index, int64_t time_ns) {
  if (time_ns == kNever) {
    Erase(index);
    return;
  }
  if (index >= place_.size()) place_.resize(index + size_t{1}, 0);
  const uint32_t place = place_[index];
  if (place == 0) {
    heap_.push_back({time_ns, index});
    Up(static_cast<uint32_t>(heap_.size() - 1));
    return;
  }
  const uint32_t at = place - 1;
  const int64_t before = heap_[at].time_ns;
  if (time_ns == before) return;
  heap_[at].time_ns = time_ns;
  if (time_ns < before) {
    Up(at);
  } else {
    Down(at);
  }
}

void TimerHeap::Erase(uint32_t index) {
  if (!Contains(index)) return;
  const uint32_t at = place_[index] - 1;
  place_[index] = 0;
  const Node last = heap_.back();
  heap_.pop_back();
  if (at == heap_.size()) return;
  heap_[at] = last;
  if (at > 0 && Less(last, heap_[(at - 1) / kArity])) {
    Up(at);
  } else {
    Down(at);
  }
}

uint32_t TimerHeap::Pop() {
  assert(!heap_.empty());
  const uint32_t index = heap_[0].index;
  Erase(index);
  return index;
}

}  // namespace credbroker::core
