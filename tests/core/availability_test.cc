#include "core/availability.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);
const Ladder kLadder = {.first = absl::Seconds(1), .factor = 2, .max = absl::Minutes(30)};

Failure Hinted(absl::Duration hint, absl::Time granted = kStart) {
  Failure f;
  f.cause = Cause::kRateLimit;
  f.hint = hint;
  f.lease_granted = granted;
  return f;
}

Failure Unhinted(absl::Time granted, Cause cause = Cause::kRateLimit) {
  Failure f;
  f.cause = cause;
  f.ladder = kLadder;
  f.lease_granted = granted;
  return f;
}

class ScopeRecordsTest : public testing::Test {
 protected:
  ScopeRecords records_{kNoModel};
};

TEST(Ladder, DoublesUntilItsTop) {
  EXPECT_EQ(kLadder.At(1), absl::Seconds(1));
  EXPECT_EQ(kLadder.At(2), absl::Seconds(2));
  EXPECT_EQ(kLadder.At(11), absl::Seconds(1024));
  EXPECT_EQ(kLadder.At(12), absl::Minutes(30));
  EXPECT_EQ(kLadder.At(65535), absl::Minutes(30));
}

TEST(Ladder, OfNothingIsNothing) {
  EXPECT_TRUE(Ladder{}.empty());
  EXPECT_EQ(Ladder{}.At(7), absl::ZeroDuration());
}

TEST(Ladder, NeverExceedsTheLongestCooldownAndIgnoresAFactorThatIsNoNumber) {
  const Ladder huge = {.first = absl::Hours(1), .factor = 1e300, .max = absl::InfiniteDuration()};
  EXPECT_EQ(huge.At(2), kMaxCooldown);
  EXPECT_EQ(huge.At(65535), kMaxCooldown);
  const Ladder nan = {.first = absl::Hours(1),
                      .factor = std::numeric_limits<double>::quiet_NaN(),
                      .max = absl::Hours(9)};
  EXPECT_EQ(nan.At(5), absl::Hours(1));
}

TEST(Ladder, WhoseTopWasForgottenStaysAtItsFirstStep) {
  EXPECT_EQ((Ladder{.first = absl::Seconds(3)}).At(4), absl::Seconds(3));
}

TEST(Inconclusive, WaitsAMinuteThenTwiceAsLongUpToFifteen) {
  const std::vector<int> seconds = {60, 120, 240, 480, 900, 900};
  for (size_t i = 0; i < seconds.size(); ++i) {
    EXPECT_EQ(InconclusiveDelay(static_cast<int>(i) + 1), absl::Seconds(seconds[i]));
  }
  EXPECT_EQ(InconclusiveDelay(1'000'000), absl::Seconds(900));
}

TEST_F(ScopeRecordsTest, IsOpenWithoutRecords) {
  EXPECT_EQ(records_.PhaseAt(kStart), Phase::kOpen);
  EXPECT_EQ(records_.LeadingCause(kStart), Cause::kNone);
  EXPECT_EQ(records_.NextEvent(kStart), absl::InfiniteFuture());
  EXPECT_EQ(records_.block_until(), absl::InfinitePast());
}

TEST_F(ScopeRecordsTest, AccountResetEarlyIsTriedAfterTheCapNotAfterSevenDays) {
  const absl::Duration week = absl::Hours(7 * 24);
  ASSERT_TRUE(records_.Fail(Hinted(week), kStart));
  EXPECT_EQ(records_.block_until(), kStart + absl::Minutes(15));
  EXPECT_EQ(records_.avoid_until(), kStart + week);
  const absl::Duration tick = absl::Nanoseconds(1);
  EXPECT_EQ(records_.PhaseAt(kStart + absl::Minutes(15) - tick), Phase::kBlocked);
  EXPECT_EQ(records_.PhaseAt(kStart + absl::Minutes(15)), Phase::kHalfOpen);
  EXPECT_EQ(records_.PhaseAt(kStart + week - tick), Phase::kHalfOpen);
  EXPECT_EQ(records_.PhaseAt(kStart + week), Phase::kOpen);
}

TEST_F(ScopeRecordsTest, ShortHintIsNotHalfOpenAtAll) {
  records_.Fail(Hinted(absl::Seconds(30)), kStart);
  EXPECT_EQ(records_.PhaseAt(kStart + absl::Seconds(29)), Phase::kBlocked);
  EXPECT_EQ(records_.PhaseAt(kStart + absl::Seconds(30)), Phase::kOpen);
}

TEST_F(ScopeRecordsTest, EventsAreTheEndsOfBlockAndAvoidanceAndTheSweep) {
  records_.Fail(Hinted(absl::Hours(1)), kStart);
  const absl::Time block = kStart + absl::Minutes(15), avoid = kStart + absl::Hours(1);
  EXPECT_EQ(records_.NextEvent(kStart), block);
  EXPECT_EQ(records_.NextEvent(block), avoid);
  EXPECT_EQ(records_.NextEvent(avoid), avoid + absl::Hours(24));
  EXPECT_FALSE(records_.Sweep(avoid + absl::Hours(24) - absl::Nanoseconds(1)));
  EXPECT_TRUE(records_.Sweep(avoid + absl::Hours(24)));
  EXPECT_TRUE(records_.empty());
}

TEST_F(ScopeRecordsTest, LaterFailureNeverShortensAClock) {
  records_.Fail(Hinted(absl::Hours(2)), kStart);
  const absl::Time later = kStart + absl::Minutes(1);
  EXPECT_TRUE(records_.Fail(Hinted(absl::Seconds(1), later), later));
  EXPECT_EQ(records_.block_until(), kStart + absl::Minutes(15));
  EXPECT_EQ(records_.avoid_until(), kStart + absl::Hours(2));
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->began, later);
}

TEST_F(ScopeRecordsTest, FiftyParallelFailuresAreOneStep) {
  for (int i = 0; i < 50; ++i) {
    records_.Fail(Unhinted(kStart - absl::Seconds(1)), kStart + absl::Milliseconds(i));
  }
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->level, 1);
  EXPECT_EQ(records_.block_until(), kStart + absl::Milliseconds(49) + absl::Seconds(1));
}

TEST_F(ScopeRecordsTest, LevelRisesOnlyForLeasesGrantedAfterTheBlock) {
  records_.Fail(Unhinted(kStart), kStart);
  const absl::Time block = records_.block_until();
  records_.Fail(Unhinted(block - absl::Nanoseconds(1)), block);
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->level, 1);
  const absl::Time second = records_.block_until();
  records_.Fail(Unhinted(second), second);
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->level, 2);
  EXPECT_EQ(records_.block_until(), second + absl::Seconds(2));
}

TEST_F(ScopeRecordsTest, CausesHaveTheirOwnLevels) {
  records_.Fail(Unhinted(kStart), kStart);
  records_.Fail(Unhinted(kStart + absl::Hours(1)), kStart + absl::Hours(1));
  records_.Fail(Unhinted(kStart, Cause::kTransient), kStart + absl::Hours(1));
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->level, 2);
  EXPECT_EQ(records_.Find(Cause::kTransient)->level, 1);
  EXPECT_EQ(records_.LeadingCause(kStart + absl::Hours(1)), Cause::kRateLimit);
}

TEST_F(ScopeRecordsTest, JitterMovesLadderDurationsOnlyAndAtMostByAFifth) {
  Failure f = Unhinted(kStart);
  f.jitter = 0.2;
  records_.Fail(f, kStart);
  EXPECT_EQ(records_.block_until(), kStart + absl::Milliseconds(1200));

  ScopeRecords hinted(kNoModel);
  Failure h = Hinted(absl::Seconds(10));
  h.jitter = 0.2;
  hinted.Fail(h, kStart);
  EXPECT_EQ(hinted.block_until(), kStart + absl::Seconds(10));

  for (const double wild : {-5.0, -1.0, -std::numeric_limits<double>::infinity()}) {
    ScopeRecords r(kNoModel);
    f.jitter = wild;
    r.Fail(f, kStart);
    EXPECT_GE(r.block_until(), kStart + absl::Milliseconds(800)) << wild;
  }
}

TEST_F(ScopeRecordsTest, FailedProbeWithoutHintBlocksWhatWasLeftUpToTheCap) {
  records_.Fail(Hinted(absl::Hours(7 * 24)), kStart);
  const absl::Time probe = kStart + absl::Minutes(20);
  Failure f = Unhinted(probe);
  f.failed_probe = true;
  records_.Fail(f, probe);
  EXPECT_EQ(records_.block_until(), probe + absl::Minutes(15));
  EXPECT_EQ(records_.avoid_until(), kStart + absl::Hours(7 * 24));

  const absl::Time last = records_.avoid_until() - absl::Minutes(1);
  f.lease_granted = last;
  records_.Fail(f, last);
  EXPECT_EQ(records_.block_until(), last + absl::Minutes(1));
}

TEST_F(ScopeRecordsTest, FailedProbeWithAnotherCauseBlocksTheScopeToo) {
  records_.Fail(Hinted(absl::Hours(2)), kStart);
  const absl::Time probe = kStart + absl::Minutes(20);
  Failure f = Unhinted(probe, Cause::kTransient);
  f.failed_probe = true;
  records_.Fail(f, probe);
  EXPECT_EQ(records_.block_until(), probe + absl::Minutes(15));
  EXPECT_EQ(records_.Find(Cause::kTransient)->avoid_until, probe + absl::Minutes(15));
  EXPECT_EQ(records_.avoid_until(), kStart + absl::Hours(2));
}

TEST_F(ScopeRecordsTest, FailedProbeWithAHintFollowsTheHint) {
  records_.Fail(Hinted(absl::Hours(2)), kStart);
  const absl::Time probe = kStart + absl::Minutes(20);
  Failure f = Hinted(absl::Seconds(5), probe);
  f.failed_probe = true;
  records_.Fail(f, probe);
  EXPECT_EQ(records_.block_until(), probe + absl::Seconds(5));
}

TEST_F(ScopeRecordsTest, RefreshAndExpiryAreNeverHalfOpen) {
  for (const Cause cause : {Cause::kRefresh, Cause::kExpired}) {
    ScopeRecords r(kNoModel);
    Failure f = Hinted(absl::Hours(1));
    f.cause = cause;
    r.Fail(f, kStart);
    EXPECT_EQ(r.PhaseAt(kStart + absl::Minutes(59)), Phase::kBlocked);
    EXPECT_EQ(r.PhaseAt(kStart + absl::Hours(1)), Phase::kOpen);
  }
}

TEST_F(ScopeRecordsTest, WaitingAlwaysEnds) {
  for (const absl::Duration hint : {absl::InfiniteDuration(), absl::Hours(24 * 10'000)}) {
    records_.Fail(Hinted(hint), kStart);
    EXPECT_EQ(records_.avoid_until(), kStart + kMaxCooldown);
  }
}

TEST_F(ScopeRecordsTest, FailureThatAsksForNoTimeLeavesNoRecord) {
  EXPECT_FALSE(records_.Fail(Hinted(absl::ZeroDuration()), kStart));
  EXPECT_FALSE(records_.Fail(Hinted(-absl::Seconds(5)), kStart));
  Failure bare;
  bare.cause = Cause::kPolicy;
  bare.lease_granted = kStart;
  EXPECT_FALSE(records_.Fail(bare, kStart));
  EXPECT_TRUE(records_.empty());
}

TEST_F(ScopeRecordsTest, SuccessClearsOnlyWhatBeganBeforeItsLease) {
  records_.Fail(Unhinted(kStart), kStart);
  records_.Fail(Unhinted(kStart, Cause::kTransient), kStart + absl::Seconds(5));
  EXPECT_FALSE(records_.Succeed(kStart));
  EXPECT_TRUE(records_.Succeed(kStart + absl::Seconds(5)));
  EXPECT_EQ(records_.Find(Cause::kRateLimit), nullptr);
  EXPECT_NE(records_.Find(Cause::kTransient), nullptr);
}

TEST_F(ScopeRecordsTest, EraseTakesTheNamedCauseOnly) {
  records_.Fail(Unhinted(kStart), kStart);
  records_.Fail(Unhinted(kStart, Cause::kTransient), kStart);
  EXPECT_TRUE(records_.Erase(Cause::kTransient, kStart + absl::Seconds(1)));
  EXPECT_FALSE(records_.Erase(Cause::kTransient, kStart + absl::Seconds(1)));
  EXPECT_EQ(records_.records().size(), 1);
}

TEST_F(ScopeRecordsTest, PutReplacesTheRecordOfItsCauseAndKeepsTheClocksInOrder) {
  records_.Fail(Hinted(absl::Hours(1)), kStart);
  records_.Put({.cause = Cause::kRateLimit, .level = 4, .block_until = kStart + absl::Hours(3)});
  ASSERT_EQ(records_.records().size(), 1);
  EXPECT_EQ(records_.avoid_until(), kStart + absl::Hours(3));
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->level, 4);
}

TEST_F(ScopeRecordsTest, ShowsTheHintThatDecided) {
  Failure f = Hinted(absl::Hours(1));
  f.raw_hint = "retry-after: 3600";
  records_.Fail(f, kStart);
  f = Hinted(absl::Seconds(1));
  f.raw_hint = "retry-after: 1";
  records_.Fail(f, kStart + absl::Seconds(1));
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->raw_hint, "retry-after: 3600");
  f = Hinted(absl::Hours(2));
  f.raw_hint = std::string(1000, 'x');
  records_.Fail(f, kStart);
  EXPECT_EQ(records_.Find(Cause::kRateLimit)->raw_hint.size(), kMaxRawHint);
}

TEST(ScopeRecordsDeath, RefusesAFailureWithoutACause) {
  ScopeRecords records(kNoModel);
  EXPECT_DEATH(records.Fail(Failure{}, kStart), "failure.cause != Cause::kNone");
}

}  // namespace
}  // namespace credbroker::core
