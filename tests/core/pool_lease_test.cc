// Leases: their ends, what is remembered of them, and what a report of one still counts.
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using testing::PoolFixture;

TEST(Lease, ReportIsTerminalOnceThenDuplicateLateAndUnknown) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  EXPECT_EQ(f.Report(grant, f.StatusVerdict(grant, 200), false, "p2").disposition,
            Disposition::kUnknown)
      << "a foreign principal";
  EXPECT_EQ(f.ReportStatus(grant, 429, 30).disposition, Disposition::kAccepted);
  const ReportReply again = f.ReportStatus(grant, 200);
  EXPECT_EQ(again.disposition, Disposition::kDuplicate);
  EXPECT_EQ(again.next_recover, f.now + absl::Seconds(30));
  f.Pass(absl::Minutes(1));
  f.Pick();
  const Grant expired = f.last.grant;
  f.Pass(absl::Seconds(121));
  EXPECT_EQ(f.ReportStatus(expired, 429, 30).disposition, Disposition::kLate);
  EXPECT_EQ(f.StateName("a"), "waiting") << "health rules still apply";
  EXPECT_EQ(f.ReportStatus(expired, 429, 30).disposition, Disposition::kDuplicate);
  f.Pass(absl::Minutes(20));
  EXPECT_EQ(f.ReportStatus(expired, 200).disposition, Disposition::kUnknown);
  f.Pick();
  const Grant released = f.last.grant;
  EXPECT_TRUE(f.Release(released));
  EXPECT_FALSE(f.Release(released));
  EXPECT_EQ(f.ReportStatus(released, 200).disposition, Disposition::kLate);
  f.Pick();
  f.Delete("a");
  EXPECT_EQ(f.ReportStatus(f.last.grant, 200).disposition, Disposition::kUnknown);
}

TEST(Lease, AReportCountsOnceThoughTheLeaseWasForgottenLongBeforeItsExpiry) {
  PoolFixture f;
  f.Add("a");
  Ask ask;
  ask.ttl = absl::Minutes(30);
  f.Pick(ask);
  const Grant reported = f.last.grant;
  EXPECT_EQ(f.ReportStatus(reported, 429, 30).disposition, Disposition::kAccepted);
  f.Pass(absl::Minutes(11));
  const int level = f.Get("a").records.at(0).record.level;
  const ReportReply again = f.ReportStatus(reported, 429, 30);
  EXPECT_EQ(again.disposition, Disposition::kLate);
  EXPECT_EQ(again.state, core::State::kAvailable);
  EXPECT_EQ(f.StateName("a"), "available");
  EXPECT_EQ(f.Get("a").records.at(0).record.level, level);
}

TEST(Lease, AReportOfALeaseOfBeforeARestartCountsOnce) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  LeaseClaims claims = f.Claims(f.last.grant);
  claims.epoch = 77;
  const core::Verdict verdict = f.StatusVerdict(f.last.grant, 429, 30);
  core::ReportCommand command;
  command.principal = "p1";
  command.claims = &claims;
  command.verdict = &verdict;
  EXPECT_EQ(f.pool->Report(command, f.now, f.effects).disposition, Disposition::kLate);
  EXPECT_EQ(f.StateName("a"), "waiting") << "health rules apply";
  f.Pass(absl::Minutes(1));
  EXPECT_EQ(f.pool->Report(command, f.now, f.effects).disposition, Disposition::kLate);
  EXPECT_EQ(f.StateName("a"), "available") << "but not twice";
}

TEST(Lease, RenewExtendsUpToAnHourAndStopsWhenDisabled) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const LeaseClaims claims = f.Claims(f.last.grant);
  f.ReportStatus(f.Acquire().grant, 429, 3000);
  auto renew = [&](absl::Duration ttl) {
    return f.pool->Renew("p1", claims, ttl, f.now, f.effects);
  };
  EXPECT_EQ(renew(absl::Minutes(30)).expires, f.now + absl::Minutes(30)) << "while WAITING too";
  f.Pass(absl::Minutes(29));
  const RenewReply most = renew(absl::Hours(1));
  EXPECT_EQ(most.expires, f.now + absl::Minutes(31)) << "an hour from the grant";
  EXPECT_FALSE(most.at_max) << "it was good for something";
  EXPECT_TRUE(renew(absl::Hours(1)).at_max);
  EXPECT_FALSE(renew(absl::Minutes(1)).at_max) << "it lives that long anyway";
  f.SetIntent("a", false);
  EXPECT_EQ(renew(absl::Minutes(1)).result, RenewResult::kDisabled);
  f.Pass(absl::Minutes(32));
  EXPECT_EQ(renew(absl::Minutes(1)).result, RenewResult::kNotFound);
}

Settings RemembersOnly(int leases) {
  Settings settings;
  settings.limits.max_ended_leases = leases;
  return settings;
}

TEST(Lease, OfTooManyThoseNobodyReportedAreForgottenLast) {
  PoolFixture f(RemembersOnly(3));
  f.Add("a");
  f.Pick();
  const Grant expired = f.last.grant;
  f.Pick();
  const Grant released = f.last.grant;
  EXPECT_TRUE(f.Release(released));
  f.Pass(absl::Seconds(121));
  for (int i = 0; i < 10; ++i) {
    f.Pick();
    EXPECT_EQ(f.ReportStatus(f.last.grant, 200).disposition, Disposition::kAccepted);
  }
  EXPECT_EQ(f.ReportStatus(f.last.grant, 200).disposition, Disposition::kDuplicate);
  f.Pass(absl::Seconds(1));
  const ReportReply late = f.ReportStatus(expired, 429, 30);
  EXPECT_EQ(late.disposition, Disposition::kLate);
  EXPECT_EQ(late.state, State::kWaiting) << "health rules apply";
  EXPECT_EQ(f.ReportStatus(expired, 429, 30).disposition, Disposition::kDuplicate);
  EXPECT_EQ(f.ReportStatus(released, 402).disposition, Disposition::kLate);
  EXPECT_EQ(f.Get("a").cause, Cause::kQuota) << "so they do after a release";
}

TEST(Lease, OfTooManyThatNobodyReportedTheOldestAreForgottenAndCountNoMore) {
  PoolFixture f(RemembersOnly(2));
  f.Add("a");
  std::vector<Grant> grants;
  for (int i = 0; i < 3; ++i) {
    f.Pick();
    grants.push_back(f.last.grant);
    EXPECT_TRUE(f.Release(f.last.grant));
  }
  f.Pass(absl::Seconds(1));
  EXPECT_EQ(f.pool->Stats(f.now).remembered, 2u);
  EXPECT_EQ(f.ReportStatus(grants[0], 429, 30).disposition, Disposition::kLate);
  EXPECT_EQ(f.StateName("a"), "available") << "it may be a repetition";
  EXPECT_EQ(f.ReportStatus(grants[1], 429, 30).state, State::kWaiting);
}

TEST(Lease, OneThatWasJustReportedIsKnownAgainHoweverManyNobodyReported) {
  PoolFixture f(RemembersOnly(4));
  f.Add("a");
  for (int i = 0; i < 10; ++i) {
    f.Pick();
    EXPECT_TRUE(f.Release(f.last.grant));
  }
  for (int i = 0; i < 3; ++i) {
    f.Pick();
    EXPECT_EQ(f.ReportStatus(f.last.grant, 200).disposition, Disposition::kAccepted);
    f.Pass(absl::Seconds(1));
    EXPECT_EQ(f.ReportStatus(f.last.grant, 200).disposition, Disposition::kDuplicate);
  }
  EXPECT_EQ(f.pool->Stats(f.now).remembered, 4u);
}

TEST(Lease, EveryEndedOneIsForgottenInItsTime) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 200);
  f.Pass(absl::Minutes(5));
  f.Pick();
  f.Release(f.last.grant);
  EXPECT_EQ(f.pool->Stats(f.now).remembered, 2u);
  f.Pass(absl::Minutes(5));
  EXPECT_EQ(f.pool->Stats(f.now).remembered, 1u);
  f.Pass(absl::Minutes(5));
  EXPECT_EQ(f.pool->Stats(f.now).remembered, 0u);
}

}  // namespace
}  // namespace credbroker::core
