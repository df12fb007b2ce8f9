#include "server/obs/instruments.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace credbroker::obs {
namespace {

constexpr double kBuckets[] = {0.001, 0.01, 0.1};
constexpr MetricSpec kSpec = {
    "credbroker_test_seconds", MetricType::kHistogram, "For the tests.", {}, kBuckets};

TEST(Histogram, CountsAnObservationInTheBucketWhoseBoundItDoesNotExceed) {
  Histogram histogram(kSpec);
  histogram.Observe(absl::Milliseconds(1));
  histogram.Observe(absl::Milliseconds(1) + absl::Nanoseconds(1));
  histogram.Observe(absl::Seconds(5));
  EXPECT_EQ(histogram.BucketCount(0), 1U);
  EXPECT_EQ(histogram.BucketCount(1), 1U);
  EXPECT_EQ(histogram.BucketCount(2), 0U);
  EXPECT_EQ(histogram.BucketCount(3), 1U);
  EXPECT_NEAR(histogram.SumSeconds(), 5.002, 1e-6);
}

TEST(Histogram, TakesANegativeDurationForZero) {
  Histogram histogram(kSpec);
  histogram.Observe(-absl::Seconds(1));
  EXPECT_EQ(histogram.BucketCount(0), 1U);
  EXPECT_EQ(histogram.SumSeconds(), 0);
}

TEST(Counter, LosesNothingWhenThreadsRace) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int n = 0; n < 10000; ++n) counter.Increment();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 40000U);
}

}  // namespace
}  // namespace credbroker::obs
