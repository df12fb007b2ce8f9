// Reports that say when it happened and which secret was used.
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::PoolFixture;

TEST(LateReport, A429WaitsFromWhenItHappened) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  f.Pass(absl::Seconds(25));
  const absl::Time happened = f.now - absl::Seconds(20);
  const ReportReply reply = f.ReportLate(grant, f.StatusVerdict(grant, 429, 30), happened);
  EXPECT_EQ(reply.state, State::kWaiting);
  EXPECT_EQ(reply.next_recover, f.now + absl::Seconds(10));
  EXPECT_EQ(f.Get("a").records[0].record.began, happened);
}

TEST(LateReport, WhatIsOverBlocksNothingButIsAStepOfTheLadder) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant first = f.last.grant;
  const size_t told = f.Get("a").history.size();
  f.Pass(absl::Seconds(10));
  EXPECT_EQ(f.ReportLate(first, f.StatusVerdict(first, 429), first.granted).state,
            State::kAvailable);
  EXPECT_EQ(f.Get("a").history.size(), told) << "nothing changed that anybody could see";
  EXPECT_EQ(f.Pick(), "a");
  f.ReportStatus(f.last.grant, 429);
  EXPECT_EQ(f.Get("a").records[0].record.level, 2);
}

TEST(LateReport, OfAModelThatIsOverTellsNoTransition) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  const size_t told = f.Get("a").history.size();
  f.Pass(absl::Minutes(1));
  f.effects.clear();
  f.ReportLate(grant, f.StatusVerdict(grant, 503), grant.granted);
  EXPECT_EQ(f.Get("a").history.size(), told);
  for (const Change& change : f.effects.changes) EXPECT_FALSE(change.transition.has_value());
}

TEST(LateReport, NothingHappensBeforeTheGrantOrInTheFuture) {
  PoolFixture f;
  f.Add("a");
  f.Add("b");
  f.Pick();
  const Grant a = f.last.grant;
  f.Pick();
  const Grant b = f.last.grant;
  f.Pass(absl::Seconds(5));
  EXPECT_EQ(f.ReportLate(a, f.StatusVerdict(a, 429, 30), absl::InfinitePast()).next_recover,
            a.granted + absl::Seconds(30));
  EXPECT_EQ(f.ReportLate(b, f.StatusVerdict(b, 429, 30), f.now + absl::Hours(1)).next_recover,
            f.now + absl::Seconds(30));
}

TEST(LateReport, NeverShortensWhatIsThere) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant late = f.last.grant;
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 60);
  const absl::Time until = f.Get("a").next_recover;
  const absl::Time began = f.Get("a").records[0].record.began;
  f.Pass(absl::Seconds(5));
  f.ReportLate(late, f.StatusVerdict(late, 429, 30), late.granted);
  EXPECT_EQ(f.Get("a").next_recover, until);
  EXPECT_EQ(f.Get("a").records[0].record.began, began);
}

TEST(LateReport, A401AboutAnOlderSecretThanTheLeasesChangesNothing) {
  PoolFixture f;
  f.Add("a");
  f.NewSecret("a");
  f.Pick();
  const Grant grant = f.last.grant;
  ASSERT_EQ(grant.material->version, 2u);
  const ReportReply reply =
      f.ReportLate(grant, f.StatusVerdict(grant, 401), absl::InfiniteFuture(), 1);
  EXPECT_EQ(reply.disposition, Disposition::kStale);
  EXPECT_EQ(reply.advice, Advice::kRetrySame);
  EXPECT_EQ(f.Pick(), "a");
}

TEST(LateReport, A401AboutANewerSecretThanTheLeasesCounts) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  f.NewSecret("a");
  EXPECT_EQ(f.ReportLate(grant, f.StatusVerdict(grant, 401), absl::InfiniteFuture(), 2).state,
            State::kDisabled);
}

TEST(LateReport, ASecretThatDoesNotExistYetIsTheLeases) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  f.NewSecret("a");
  EXPECT_EQ(f.ReportLate(grant, f.StatusVerdict(grant, 401), absl::InfiniteFuture(), 3).disposition,
            Disposition::kStale);
}

}  // namespace
}  // namespace credbroker::core
