// A 4-ary min-heap of (time, index) in which each index stands at most once and can be moved or
// erased in O(log n). Indexes are dense (slots, lease cells). Equal times come out by index, so
// that a run is deterministic. Thread-compatible.
#ifndef CREDBROKER_CORE_TIMER_HEAP_H_
#define CREDBROKER_CORE_TIMER_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace credbroker::core {

class TimerHeap {
 public:
  static constexpr int64_t kNever = INT64_MAX;
  // Inserts or moves `index`; time_ns == kNever erases it.
  void Set(uint32_t index, int64_t time_ns);
  void Erase(uint32_t index);
  bool Contains(uint32_t index) const { return index < place_.size() && place_[index] != 0; }
  int64_t TimeOf(uint32_t index) const {  // kNever if absent
    return Contains(index) ? heap_[place_[index] - 1].time_ns : kNever;
  }
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  int64_t MinTime() const { return heap_.empty() ? kNever : heap_[0].time_ns; }
  uint32_t MinIndex() const { return heap_[0].index; }  // REQUIRES: !empty()
  uint32_t Pop();                                       // REQUIRES: !empty()

 private:
  struct Node {
    int64_t time_ns;
    uint32_t index;
  };
  static bool Less(const Node& a, const Node& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.index < b.index;
  }
  void Up(uint32_t at);
  void Down(uint32_t at);
  void Place(uint32_t at, const Node& node);

  std::vector<Node> heap_;
  std::vector<uint32_t> place_;  // by index: 1 + position in heap_, 0: absent
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_TIMER_HEAP_H_
