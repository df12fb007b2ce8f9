// Reports: the two clocks, probes, the eight rules; timers and waits.
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using testing::PoolFixture;

TEST(Report, A429WithAHintWaitsAsLongAndComesBackByItself) {
  PoolFixture f;
  f.Add("a");
  EXPECT_EQ(f.Pick(), "a");
  const ReportReply reply = f.ReportStatus(f.last.grant, 429, 30);
  EXPECT_EQ(reply.disposition, Disposition::kAccepted);
  EXPECT_EQ(reply.advice, Advice::kRetryOther);
  EXPECT_EQ(reply.state, State::kWaiting);
  EXPECT_EQ(reply.next_recover, f.now + absl::Seconds(30));
  EXPECT_EQ(f.Pick(), Name(Refusal::kCooling));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(30));
  f.Pass(absl::Seconds(30));
  EXPECT_EQ(f.Pick(), "a");
}

// The reason to exist: an account the provider reset early is back in 15 minutes, not in seven
// days.
TEST(Report, ASevenDayHintIsProbedAfterFifteenMinutesWhileOthersAreHealthy) {
  PoolFixture f;
  for (const char* id : {"a", "b", "c"}) f.Add(id);
  EXPECT_EQ(f.Pick(), "a");
  f.ReportStatus(f.last.grant, 429, 7 * 86'400);
  int probes = 0;
  bool back = false;
  for (int second = 0; second < 17 * 60 && !back; ++second) {
    f.Pass(absl::Seconds(1));
    const std::string id = f.Pick();
    if (id == "probe:a") {
      ++probes;
      EXPECT_GE(second, 14 * 60);
    }
    EXPECT_NE(id, probes == 0 ? "a" : "");
    f.ReportStatus(f.last.grant, 200);
    back = probes > 0 && f.Get("a").state == State::kAvailable && !f.Get("a").half_open;
  }
  EXPECT_TRUE(back);
  EXPECT_EQ(probes, 1);
}

TEST(Report, AFailedProbeBlocksAgainForTheCapAndKeepsTheFarDeadline) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 7 * 86'400);
  const absl::Time far = f.Get("a").records[0].record.avoid_until;
  f.Pass(absl::Minutes(15));
  EXPECT_EQ(f.Pick(), "probe:a");
  f.ReportStatus(f.last.grant, 429);
  EXPECT_EQ(f.Get("a").next_recover, f.now + absl::Minutes(15));
  EXPECT_GE(f.Get("a").records[0].record.avoid_until, far);
}

TEST(Report, AnInconclusiveProbeBacksOffAndALateVerdictCounts) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 7 * 86'400);
  f.Pass(absl::Minutes(15));
  Ask ask;
  ask.ttl = absl::Minutes(30);
  EXPECT_EQ(f.Pick(ask), "probe:a");
  const Grant probe = f.last.grant;
  f.Pass(absl::Seconds(60));
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kCooling));
  f.Pass(absl::Seconds(60));
  EXPECT_EQ(f.Pick(ask), "probe:a") << "after 60 s more";
  f.ReportStatus(probe, 200);
  EXPECT_FALSE(f.Get("a").half_open) << "the first probe's late success counts";
}

TEST(Report, FiftyParallel429sAreOneStep) {
  PoolFixture f;
  f.Add("a");
  std::vector<Grant> grants;
  for (int i = 0; i < 50; ++i) {
    f.Pick();
    grants.push_back(f.last.grant);
  }
  for (const Grant& grant : grants) f.ReportStatus(grant, 429);
  EXPECT_EQ(f.Get("a").records[0].record.level, 1);
  EXPECT_LE(f.Get("a").next_recover - f.now, absl::Milliseconds(1201));
}

TEST(Report, ALaterShortHintNeverShortensTheDeadline) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant one = f.last.grant;
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 600);
  const absl::Time until = f.Get("a").next_recover;
  f.ReportStatus(one, 429, 1);
  EXPECT_EQ(f.Get("a").next_recover, until);
}

TEST(Report, ASuccessClearsOnlyWhatBeganBeforeItsLease) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant early = f.last.grant;
  f.Pass(absl::Seconds(1));
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 600);
  f.ReportStatus(early, 200);
  EXPECT_EQ(f.StateName("a"), "waiting");
}

TEST(Report, AnApiKey401DisablesAndOnlyASecretOrAResetReturnsIt) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  EXPECT_EQ(f.ReportStatus(grant, 401).state, State::kDisabled);
  EXPECT_EQ(f.Get("a").auth, AuthHealth::kDisabledByPolicy);
  EXPECT_EQ(f.Pick(), Name(Refusal::kAllDisabled));
  f.Pass(absl::Hours(100));
  f.SetIntent("a", true);
  EXPECT_EQ(f.StateName("a"), "disabled") << "enable sets intent only";
  f.NewSecret("a");
  EXPECT_EQ(f.Pick(), "a");
  f.Pass(absl::Seconds(1));
  f.ReportStatus(f.last.grant, 401);
  f.Pass(absl::Seconds(1));
  f.Reset("a");
  EXPECT_EQ(f.Pick(), "a");
}

TEST(Report, AStale401ChangesNothing) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant old = f.last.grant;
  f.NewSecret("a");
  const ReportReply reply = f.ReportStatus(old, 401);
  EXPECT_EQ(reply.disposition, Disposition::kStale);
  EXPECT_EQ(reply.advice, Advice::kRetrySame);
  EXPECT_EQ(f.Pick(), "a");
}

TEST(Report, AnOAuth401WithoutARefresherWaitsThirtyMinutes) {
  PoolFixture f;
  auto document = PoolFixture::Doc("a");
  document->kind = Kind::kOAuth;
  f.Add(document);
  f.Pick();
  f.ReportStatus(f.last.grant, 401);
  EXPECT_EQ(f.Get("a").cause, Cause::kTokenRejected);
  EXPECT_EQ(f.Get("a").records[0].record.avoid_until, f.now + absl::Minutes(30));
}

TEST(Report, TheThird403InARowDisables) {
  PoolFixture f;
  auto document = PoolFixture::Doc("a");
  document->kind = Kind::kOAuth;
  f.Add(document);
  Ask pin;
  pin.pin = "a";
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(f.StateName("a"), i == 0 ? "available" : "available");
    ASSERT_EQ(f.Acquire(pin).kind, AcquireReply::Kind::kGranted) << i;
    f.Release(f.Acquire(pin).grant);
    f.Pick(pin);
    f.Pass(absl::Hours(1));
    f.Pick(pin);
    f.ReportStatus(f.last.grant, 403);
    if (i < 2) {
      EXPECT_EQ(f.StateName("a"), "waiting");
      f.Pass(absl::Hours(1));
    }
  }
  EXPECT_EQ(f.StateName("a"), "disabled");
}

TEST(Report, ATransientNeverBenchesTheLastOne) {
  PoolFixture f;
  f.Add("a");
  f.Add("b");
  f.Pick();
  f.ReportStatus(f.last.grant, 503);
  EXPECT_EQ(f.Get("a").waiting_models, std::vector<std::string>{"m"});
  EXPECT_EQ(f.Pick(), "b");
  f.ReportStatus(f.last.grant, 503);
  EXPECT_TRUE(f.Get("b").waiting_models.empty());
  EXPECT_EQ(f.Pick(), "b");
}

TEST(Report, RequestFaultsAndCancelsPenaliseNobody) {
  PoolFixture f;
  f.Add("a");
  for (int status : {400, 413, 422}) {
    f.Pick();
    EXPECT_EQ(f.ReportStatus(f.last.grant, status).advice, Advice::kGiveUp);
    EXPECT_EQ(f.StateName("a"), "available");
  }
  f.Pick();
  Verdict cancelled;
  cancelled.outcome = Outcome::kCancelled;
  f.Report(f.last.grant, cancelled);
  EXPECT_TRUE(f.Get("a").records.empty());
}

TEST(Report, DisableCoolingSuppresses429ButNot402) {
  PoolFixture f;
  auto document = PoolFixture::Doc("a");
  document->disable_cooling = true;
  f.Add(document);
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 600);
  EXPECT_EQ(f.StateName("a"), "available");
  f.Pick();
  f.ReportStatus(f.last.grant, 402);
  EXPECT_EQ(f.StateName("a"), "waiting");
}

TEST(Report, CorrelatedFailuresOpenTheBreakerAndGiveTheMarksBack) {
  PoolFixture f;
  for (const char* id : {"a", "b", "c", "d", "e"}) f.Add(id);
  for (int i = 0; i < 3; ++i) {
    f.Pick();
    f.ReportStatus(f.last.grant, 401);
  }
  for (const char* id : {"a", "b", "c"}) EXPECT_EQ(f.StateName(id), "available") << id;
  EXPECT_EQ(f.Pick(), Name(Refusal::kBreakerOpen));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(10));
  f.Pass(absl::Seconds(10));
  EXPECT_NE(f.Pick(), Name(Refusal::kBreakerOpen));
  const Grant probe = f.last.grant;
  EXPECT_EQ(f.Pick(), Name(Refusal::kBreakerOpen)) << "one probe";
  f.ReportStatus(probe, 200);
  EXPECT_EQ(f.Pick().size(), 1u);
  f.pool->CheckInvariants(f.now);
}

TEST(Report, An529BacksTheModelOffAndLeavesCredentialsAlone) {
  PoolFixture f;
  f.Add("a");
  f.Add("b");
  f.Pick();
  EXPECT_EQ(f.ReportStatus(f.last.grant, 529).advice, Advice::kGiveUp);
  EXPECT_EQ(f.Pick(), Name(Refusal::kProviderBackoff));
  Ask other;
  other.model = "n";
  EXPECT_EQ(f.Pick(other), "b");
  f.Pass(absl::Seconds(2));
  EXPECT_EQ(f.Pick().size(), 1u);
}

TEST(Timer, DisableUntilEndsByItselfAndIsSaidToBeTheSchedules) {
  PoolFixture f;
  f.Add("a");
  f.SetIntent("a", false, f.now + absl::Hours(1));
  EXPECT_EQ(f.Pick(), Name(Refusal::kAllDisabled));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Hours(1));
  f.Pass(absl::Hours(1));
  EXPECT_EQ(f.Pick(), "a");
  EXPECT_EQ(f.Get("a").intent.actor, "schedule");
}

TEST(Timer, ExpiredMaterialWaitsAndIsLookedAtEveryMinute) {
  PoolFixture f;
  f.Add(PoolFixture::Doc("a"), true, f.now + absl::Minutes(5));
  EXPECT_EQ(f.Pick(), "a");
  f.Pass(absl::Minutes(5));
  EXPECT_EQ(f.Get("a").cause, Cause::kExpired);
  EXPECT_EQ(f.Get("a").next_recover, f.now + absl::Seconds(60));
  f.Pass(absl::Minutes(10));
  EXPECT_EQ(f.Get("a").next_recover, f.now + absl::Seconds(60));
  f.NewSecret("a");
  EXPECT_EQ(f.Pick(), "a");
}

TEST(Probe, AProviderWithEverythingHalfOpenStillProbesWithinTheBudget) {
  PoolFixture f;
  constexpr int kMembers = 500;
  std::vector<Grant> grants;
  for (int i = 0; i < kMembers; ++i) f.Add("c" + std::to_string(1000 + i));
  for (int i = 0; i < kMembers; ++i) {
    f.Pick();
    grants.push_back(f.last.grant);
  }
  for (const Grant& grant : grants) f.ReportStatus(grant, 429, 7 * 86'400);
  f.Pass(absl::Minutes(15));
  int probes = 0;
  for (int tick = 0; tick < 600;
       ++tick) {  // a minute of ten calls a second, upstream still limited
    const std::string id = f.Pick();
    if (id.starts_with("probe:")) {
      ++probes;
      f.ReportStatus(f.last.grant, 429, 86'400);
    }
    f.Pass(absl::Milliseconds(100));
  }
  EXPECT_GE(probes, 30);
  EXPECT_LE(probes, 32);
  f.pool->CheckInvariants(f.now);
}

TEST(Wait, AParkedCallGetsTheFreedCredentialAndPrincipalsTakeTurns) {
  PoolFixture f;
  auto document = PoolFixture::Doc("a");
  document->max_in_flight = 1;
  f.Add(document);
  f.Pick();
  Grant held = f.last.grant;
  Ask ask;
  ask.max_wait = absl::Seconds(30);
  std::vector<WaiterId> waiters;
  for (const char* principal : {"p1", "p1", "p2"}) {
    ask.principal = principal;
    ASSERT_EQ(f.Pick(ask), "parked");
    waiters.push_back(f.last.waiter);
  }
  const std::vector<std::pair<WaiterId, std::string>> order = {
      {waiters[0], "p1"}, {waiters[2], "p2"}, {waiters[1], "p1"}};
  std::string holder = "p1";
  for (const auto& [waiter, principal] : order) {
    f.effects.clear();
    f.Release(held, holder);
    ASSERT_EQ(f.effects.woken.size(), 1u);
    EXPECT_EQ(f.effects.woken[0].waiter, waiter);
    held = f.effects.woken[0].reply.grant;
    holder = principal;
  }
}

TEST(Wait, EndsAtItsDeadlineWithTheCountsAndOnCancel) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 20);
  Ask ask;
  ask.max_wait = absl::Seconds(5);
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kCooling)) << "it would not recover in time";
  ask.max_wait = absl::Seconds(25);
  EXPECT_EQ(f.Pick(ask), "parked");
  f.pool->CancelWait(f.last.waiter, f.now, f.effects);
  EXPECT_EQ(f.effects.woken.back().reply.refusal.reason, Refusal::kCancelled);
  EXPECT_EQ(f.Pick(ask), "parked");
  f.effects.clear();
  f.Pass(absl::Seconds(20));
  ASSERT_EQ(f.effects.woken.size(), 1u);
  EXPECT_EQ(f.effects.woken[0].reply.kind, AcquireReply::Kind::kGranted);
  EXPECT_EQ(f.effects.woken[0].reply.waited, absl::Seconds(20));
}

}  // namespace
}  // namespace credbroker::core
