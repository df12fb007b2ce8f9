#include "core/timer_heap.h"

#include <map>
#include <set>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

TEST(TimerHeap, GivesEqualTimesOutByIndex) {
  TimerHeap heap;
  for (const uint32_t index : {7u, 3u, 9u, 1u}) heap.Set(index, 50);
  heap.Set(8, 40);
  std::vector<uint32_t> order;
  while (!heap.empty()) order.push_back(heap.Pop());
  EXPECT_EQ(order, (std::vector<uint32_t>{8, 1, 3, 7, 9}));
}

TEST(TimerHeap, MovesAnIndexBothWaysAndErasesItWithNever) {
  TimerHeap heap;
  for (uint32_t i = 0; i < 100; ++i) heap.Set(i, 1000 + i);
  heap.Set(99, 1);
  EXPECT_EQ(heap.MinIndex(), 99u);
  heap.Set(99, 5000);
  EXPECT_EQ(heap.MinIndex(), 0u);
  EXPECT_EQ(heap.TimeOf(99), 5000);
  heap.Set(0, TimerHeap::kNever);
  EXPECT_FALSE(heap.Contains(0));
  EXPECT_EQ(heap.TimeOf(0), TimerHeap::kNever);
  EXPECT_EQ(heap.MinIndex(), 1u);
  EXPECT_EQ(heap.size(), 99u);
}

TEST(TimerHeap, IsEmptyAtFirstAndUnknownIndexesAreAbsent) {
  TimerHeap heap;
  EXPECT_EQ(heap.MinTime(), TimerHeap::kNever);
  EXPECT_FALSE(heap.Contains(12345));
  heap.Erase(12345);
  EXPECT_TRUE(heap.empty());
}

class TimerHeapSeed : public testing::TestWithParam<uint64_t> {};

TEST_P(TimerHeapSeed, AgreesWithASortedSet) {
  Random random(GetParam());
  TimerHeap heap;
  std::map<uint32_t, int64_t> times;
  std::set<std::pair<int64_t, uint32_t>> sorted;
  const uint64_t indexes = 1 + random.Below(400);
  for (int step = 0; step < 20'000; ++step) {
    const auto index = static_cast<uint32_t>(random.Below(indexes));
    const uint64_t what = random.Below(10);
    if (what < 6) {
      const auto time = static_cast<int64_t>(random.Below(300)) - 100;
      if (times.contains(index)) sorted.erase({times[index], index});
      times[index] = time;
      sorted.insert({time, index});
      heap.Set(index, time);
    } else if (what < 8) {
      if (times.contains(index)) sorted.erase({times[index], index});
      times.erase(index);
      if (what == 6) {
        heap.Erase(index);
      } else {
        heap.Set(index, TimerHeap::kNever);
      }
    } else if (!sorted.empty()) {
      const uint32_t least = sorted.begin()->second;
      times.erase(least);
      sorted.erase(sorted.begin());
      ASSERT_EQ(heap.Pop(), least);
    }
    ASSERT_EQ(heap.size(), sorted.size());
    ASSERT_EQ(heap.MinTime(), sorted.empty() ? TimerHeap::kNever : sorted.begin()->first);
    ASSERT_EQ(heap.Contains(index), times.contains(index));
    ASSERT_EQ(heap.TimeOf(index), times.contains(index) ? times[index] : TimerHeap::kNever);
    if (!sorted.empty()) {
      ASSERT_EQ(heap.MinIndex(), sorted.begin()->second);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TimerHeapSeed, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace credbroker::core
