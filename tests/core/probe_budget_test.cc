#include "core/probe_budget.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
using Result = ProbeBudget::Result;

int TakenWithin(ProbeBudget& budget, absl::Time from, absl::Duration span, bool dry) {
  int taken = 0;
  for (absl::Time now = from; now < from + span; now += absl::Milliseconds(10)) {
    if (budget.TryTake(now, dry)) ++taken;
  }
  return taken;
}

TEST(ProbeBudget, FindsTheBucketFullAtFirstAndEmptyThen) {
  ProbeBudget budget;
  EXPECT_EQ(budget.NextToken(kNow, false), kNow);
  EXPECT_TRUE(budget.TryTake(kNow, false));
  EXPECT_FALSE(budget.TryTake(kNow, false));
  EXPECT_EQ(budget.NextToken(kNow, false), kNow + absl::Minutes(1));
}

TEST(ProbeBudget, RefillsOnceAMinuteWithoutTraffic) {
  ProbeBudget budget;
  EXPECT_TRUE(budget.TryTake(kNow, false));
  EXPECT_FALSE(budget.TryTake(kNow + absl::Seconds(60) - absl::Nanoseconds(1), false));
  EXPECT_TRUE(budget.TryTake(kNow + absl::Seconds(60), false));
}

TEST(ProbeBudget, NeverHoldsMoreThanOneToken) {
  ProbeBudget budget;
  EXPECT_TRUE(budget.TryTake(kNow, false));
  EXPECT_TRUE(budget.TryTake(kNow + absl::Hours(24 * 365), false));
  EXPECT_FALSE(budget.TryTake(kNow + absl::Hours(24 * 365), false));
}

TEST(ProbeBudget, FollowsTheTrafficOfTheLastMinuteBetweenItsBounds) {
  static constexpr struct {
    int calls;
    double rate;
  } kCases[] = {{0, 1}, {99, 1}, {100, 1}, {150, 1.5}, {1'000, 10}, {3'000, 30}, {100'000, 30}};
  for (const auto& row : kCases) {
    ProbeBudget budget;
    for (int i = 0; i < row.calls; ++i) budget.CountAcquire(kNow + absl::Milliseconds(i % 50'000));
    const absl::Time end = kNow + absl::Seconds(50);
    EXPECT_DOUBLE_EQ(budget.RatePerMinute(end, false), row.rate) << row.calls;
    EXPECT_DOUBLE_EQ(budget.RatePerMinute(end + absl::Minutes(2), false), 1) << row.calls;
    EXPECT_DOUBLE_EQ(budget.RatePerMinute(end, true), 30) << row.calls;
  }
}

TEST(ProbeBudget, GivesThirtyProbesAMinuteAtMostWhateverTheTraffic) {
  ProbeBudget budget;
  int taken = 0;
  for (absl::Time now = kNow; now < kNow + absl::Minutes(10); now += absl::Milliseconds(10)) {
    for (int i = 0; i < 5; ++i) budget.CountAcquire(now);
    if (budget.TryTake(now, false)) ++taken;
  }
  EXPECT_LE(taken, 301);
  EXPECT_GE(taken, 290);
}

TEST(ProbeBudget, DoublesForADryKeyWithEachSuccessUpToFourHundredEighty) {
  ProbeBudget budget;
  for (const double rate : {30.0, 60.0, 120.0, 240.0, 480.0, 480.0}) {
    EXPECT_DOUBLE_EQ(budget.RatePerMinute(kNow, true), rate);
    budget.OnResult(Result::kSuccess);
  }
  EXPECT_NEAR(TakenWithin(budget, kNow, absl::Minutes(1), true), 480, 20);
  EXPECT_DOUBLE_EQ(budget.RatePerMinute(kNow, false), 1);
  budget.OnResult(Result::kInconclusive);
  EXPECT_DOUBLE_EQ(budget.RatePerMinute(kNow, true), 30);
  budget.OnResult(Result::kSuccess);
  budget.OnResult(Result::kFailed);
  EXPECT_DOUBLE_EQ(budget.RatePerMinute(kNow, true), 30);
}

TEST(ProbeBudget, IgnoresTimeThatGoesBack) {
  ProbeBudget budget;
  EXPECT_TRUE(budget.TryTake(kNow, false));
  EXPECT_FALSE(budget.TryTake(kNow - absl::Hours(1), false));
  EXPECT_FALSE(budget.TryTake(kNow + absl::Seconds(59), false));
  EXPECT_TRUE(budget.TryTake(kNow + absl::Seconds(60), false));
}

class ProbeBudgetSeed : public testing::TestWithParam<uint64_t> {};

// The naive twin counts calls in a list and fills in exact integer steps.
TEST_P(ProbeBudgetSeed, AgreesWithANaiveBucket) {
  Random random(GetParam());
  ProbeBudget budget;
  std::vector<int64_t> calls;  // seconds
  const int64_t start_ns = GetParam() % 2 ? absl::ToUnixNanos(kNow) : -30'000'000'000;
  int64_t now_ns = start_ns;
  int64_t filled_ns = 0;
  constexpr int64_t kFull = 6'000'000'000'000;
  int64_t fill = kFull;
  bool started = false;
  int64_t dry_rate = 3'000;
  int takes = 0;
  for (int step = 0; step < 20'000; ++step) {
    now_ns += static_cast<int64_t>(random.Below(random.OneIn(50) ? 90'000'000'000 : 300'000'000));
    const absl::Time now = absl::FromUnixNanos(now_ns);
    const int64_t second = absl::ToUnixSeconds(now);
    for (uint64_t burst = random.OneIn(3) ? random.Below(40) : 0; burst > 0; --burst) {
      budget.CountAcquire(now);
      calls.push_back(second);
    }
    if (random.OneIn(20)) {
      const bool success = random.OneIn(2);
      budget.OnResult(success ? Result::kSuccess : Result::kFailed);
      dry_rate = success ? std::min<int64_t>(2 * dry_rate, 48'000) : 3'000;
    }
    if (!random.OneIn(3)) continue;
    const bool dry = random.OneIn(4);
    std::erase_if(calls, [&](int64_t call) { return call <= second - 60; });
    const int64_t rate =
        dry ? dry_rate : std::clamp<int64_t>(static_cast<int64_t>(calls.size()), 100, 3'000);
    ASSERT_DOUBLE_EQ(budget.RatePerMinute(now, dry), static_cast<double>(rate) / 100);
    const absl::Time next = budget.NextToken(now, dry);
    if (started) {
      const int64_t elapsed = std::min<int64_t>(now_ns - filled_ns, 60'000'000'000);
      fill = std::min(kFull, fill + elapsed * rate);
    }
    filled_ns = now_ns;
    started = true;
    const bool expected = fill == kFull;
    if (expected) fill = 0;
    if (next > now) {
      // The promise of NextToken, on copies: then, and no nanosecond before.
      ProbeBudget at = budget;
      ASSERT_TRUE(at.TryTake(next, dry));
      ProbeBudget before = budget;
      ASSERT_FALSE(before.TryTake(next - absl::Nanoseconds(1), dry));
    }
    ASSERT_EQ(next == now, expected);
    ASSERT_EQ(budget.TryTake(now, dry), expected);
    takes += expected;
  }
  EXPECT_GT(takes, 100);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ProbeBudgetSeed, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace credbroker::core
