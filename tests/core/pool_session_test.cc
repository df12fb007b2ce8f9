// Sessions: whose leases are whose, what a lost one frees, and what comes back after a restart.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::SessionFixture;

TEST(Session, NumbersAreNeverGivenOutTwice) {
  SessionFixture f;
  const SessionId one = f.Open(), two = f.Open();
  EXPECT_NE(one, kNoSession);
  EXPECT_NE(one, two);
  EXPECT_TRUE(f.pool->CloseSession(one, f.now, f.effects));
  const SessionId three = f.Open();
  EXPECT_NE(three, one);
  EXPECT_FALSE(f.pool->ResumeSession(one, "p1", f.now)) << "its place belongs to another";
  EXPECT_FALSE(f.pool->CloseSession(one, f.now, f.effects));
  EXPECT_FALSE(f.pool->CloseSession(kNoSession, f.now, f.effects));
  f.Check();
}

TEST(Session, IsResumedBeforeItsDeadlineByItsPrincipalOnly) {
  SessionFixture f;
  const SessionId session = f.Open();
  EXPECT_TRUE(f.pool->ResumeSession(session, "p1", f.now)) << "an open one stays open";
  f.pool->DetachSession(session, f.now + absl::Seconds(30), f.now);
  EXPECT_EQ(f.Stats().sessions_detached, 1u);
  EXPECT_FALSE(f.pool->ResumeSession(session, "p2", f.now));
  f.Pass(absl::Seconds(29));
  EXPECT_TRUE(f.pool->ResumeSession(session, "p1", f.now));
  EXPECT_EQ(f.Stats().sessions_open, 1u);
  f.pool->DetachSession(session, f.now + absl::Seconds(30), f.now);
  f.now += absl::Seconds(30);  // nobody has looked at what is due
  EXPECT_FALSE(f.pool->ResumeSession(session, "p1", f.now));
  f.Pass(absl::ZeroDuration());
  EXPECT_EQ(f.Stats().sessions_lost, 1u);
  f.Check();
}

TEST(Session, AResumedOneIsNotLostByTheDeadlineOfBefore) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  EXPECT_EQ(f.PickIn(session), "a");
  f.pool->DetachSession(session, f.now + absl::Seconds(30), f.now);
  EXPECT_TRUE(f.pool->ResumeSession(session, "p1", f.now));
  f.Pass(absl::Seconds(60));
  EXPECT_EQ(f.InFlight("a"), 1u);
  EXPECT_EQ(f.Stats().sessions_lost, 0u);
}

class Caps : public ::testing::TestWithParam<int> {};

TEST_P(Caps, AreHeldWhileASessionIsDetachedAndExactAfterItIsLost) {
  SessionFixture f;
  f.Add(SessionFixture::Capped("a", GetParam()));
  const SessionId session = f.Open();
  for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(f.PickIn(session), "a");
  EXPECT_EQ(f.PickIn(session), Name(Refusal::kBusy));
  f.pool->DetachSession(session, f.now + absl::Seconds(30), f.now);
  f.Pass(absl::Seconds(29));
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy)) << "not before its deadline";
  f.Check();
  f.Pass(absl::Seconds(1));
  EXPECT_EQ(f.InFlight("a"), 0u);
  EXPECT_EQ(f.Stats().leases_freed, static_cast<uint64_t>(GetParam()));
  EXPECT_EQ(f.Stats().leases_expired, 0u) << "counted apart";
  EXPECT_EQ(f.Stats().session_leases, 0u);
  for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(f.Pick(), "a");
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy));
  f.Check();
}

TEST_P(Caps, ServeAWaitingCallWhenASessionIsLost) {
  SessionFixture f;
  f.Add(SessionFixture::Capped("a", GetParam()));
  const SessionId session = f.Open();
  for (int i = 0; i < GetParam(); ++i) f.PickIn(session);
  Ask ask;
  ask.max_wait = absl::Seconds(60);
  EXPECT_EQ(f.Pick(ask), "parked");
  f.pool->DetachSession(session, f.now + absl::Seconds(30), f.now);
  f.Pass(absl::Seconds(30));
  ASSERT_EQ(f.effects.woken.size(), 1u);
  EXPECT_EQ(f.effects.woken[0].reply.kind, AcquireReply::Kind::kGranted);
  f.Check();
}

TEST_P(Caps, AreFreedByAClose) {
  SessionFixture f;
  f.Add(SessionFixture::Capped("a", GetParam()));
  const SessionId session = f.Open(), other = f.Open();
  for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(f.PickIn(i == 0 ? other : session), "a");
  EXPECT_TRUE(f.pool->CloseSession(session, f.now, f.effects));
  EXPECT_EQ(f.InFlight("a"), 1u) << "the other session's lives on";
  EXPECT_EQ(f.PickIn(session), Name(Refusal::kCancelled));
  EXPECT_EQ(f.Stats().leases_freed, 0u) << "it was not lost";
  f.Check();
}

INSTANTIATE_TEST_SUITE_P(Of, Caps, ::testing::Values(1, 2, 5));

TEST(Session, ALostOneThatHoldsManyIsFreedInSteps) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open(), other = f.Open();
  f.Stock(session, 300);
  f.Stock(other, 7);
  f.pool->DetachSession(session, f.now + absl::Seconds(1), f.now);
  f.now += absl::Seconds(1);
  EXPECT_TRUE(f.pool->Advance(f.now, 100, f.effects));
  EXPECT_EQ(f.InFlight("a"), 207u);
  EXPECT_LE(f.pool->NextEvent(), f.now) << "more is due";
  EXPECT_FALSE(f.pool->ResumeSession(session, "p1", f.now)) << "half of it is gone";
  EXPECT_TRUE(f.Held(session).empty());
  f.Check();
  while (f.pool->Advance(f.now, 100, f.effects)) f.Check();
  EXPECT_EQ(f.InFlight("a"), 7u);
  EXPECT_EQ(f.Stats().leases_freed, 300u);
  EXPECT_EQ(f.Held(other).size(), 7u);
  f.Check();
}

TEST(Session, AClosedOneThatHoldsManyIsFreedInSteps) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Stock(session, 300);
  EXPECT_TRUE(f.pool->CloseSession(session, f.now, f.effects));
  EXPECT_EQ(f.InFlight("a"), 236u) << "64 at once";
  f.Check();
  f.Pass(absl::ZeroDuration());
  EXPECT_EQ(f.InFlight("a"), 0u);
  EXPECT_EQ(f.Stats().sessions_open + f.Stats().sessions_detached, 0u);
  f.Check();
}

TEST(Session, ItsLeasesExpireAsOthersDo) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.PickIn(session);
  f.Pass(absl::Seconds(120));
  EXPECT_EQ(f.InFlight("a"), 0u);
  EXPECT_EQ(f.Stats().leases_expired, 1u);
  EXPECT_TRUE(f.Held(session).empty());
  f.pool->CountExpired(2);
  EXPECT_EQ(f.Stats().leases_expired, 3u);
  f.Check();
}

TEST(Session, TellsTheLeasesItHoldsTheNewestFirst) {
  SessionFixture f;
  const Uid a = f.Add("a");
  const SessionId session = f.Open();
  f.PickIn(session, "m1");
  const absl::Time first = f.now;
  f.Pass(absl::Seconds(5));
  f.PickIn(session, "m2");
  f.Pick();  // unary
  const auto held = f.Held(session);
  ASSERT_EQ(held.size(), 2u);
  EXPECT_EQ(held[0].model, "m2");
  EXPECT_EQ(held[1].model, "m1");
  EXPECT_EQ(held[1].uid, a);
  EXPECT_EQ(held[1].granted, first);
  EXPECT_EQ(held[1].expires, first + absl::Seconds(120));
  EXPECT_EQ(held[1].cell, f.leases[0].cell);
  EXPECT_TRUE(f.Held(kNoSession).empty());
}

// --- whose lease it is ---

TEST(SessionLease, IsReportedOnceAndTheSameAnswerIsGivenAgain) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.PickIn(session);
  const ReportReply first = f.ReportIn(f.leases[0], 429, 30);
  EXPECT_EQ(first.disposition, Disposition::kAccepted);
  EXPECT_EQ(first.state, State::kWaiting);
  EXPECT_EQ(f.InFlight("a"), 0u);
  const ReportReply again = f.ReportIn(f.leases[0], 200);
  EXPECT_EQ(again.disposition, Disposition::kDuplicate);
  EXPECT_EQ(again.next_recover, first.next_recover);
  EXPECT_EQ(again.advice, first.advice);
  f.Check();
}

TEST(SessionLease, IsLateAfterItsReleaseAndKnowsItsModelStill) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.PickIn(session, "m1");
  EXPECT_TRUE(f.Release(f.leases[0]));
  EXPECT_FALSE(f.Release(f.leases[0]));
  const auto facts = f.pool->FactsOf(f.leases[0]);
  ASSERT_TRUE(facts.has_value());
  EXPECT_FALSE(facts->live);
  EXPECT_EQ(facts->model, "m1");
  const ReportReply late = f.ReportIn(f.leases[0], 404);
  EXPECT_EQ(late.disposition, Disposition::kLate);
  EXPECT_THAT(f.Get("a").waiting_models, ElementsAre("m1"));
  EXPECT_EQ(f.ReportIn(f.leases[0], 404).disposition, Disposition::kDuplicate);
  f.Check();
}

TEST(SessionLease, IsUnknownOnceItIsForgottenAndItsModelNameIsGivenBack) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.PickIn(session, "a-model-of-its-own");
  EXPECT_EQ(f.Stats().model_names, 1u);
  f.Pass(absl::Seconds(120));
  EXPECT_EQ(f.Stats().model_names, 1u) << "a late report may come";
  f.Pass(absl::Minutes(11));
  EXPECT_EQ(f.Stats().model_names, 0u);
  EXPECT_EQ(f.ReportIn(f.leases[0], 200).disposition, Disposition::kUnknown);
  EXPECT_FALSE(f.pool->FactsOf(f.leases[0]).has_value());
  f.Check();
}

struct Forgery {
  const char* name;
  void (*forge)(SessionLease&, SessionId other);
};

class Forged : public ::testing::TestWithParam<Forgery> {};

TEST_P(Forged, NumbersReachNothing) {
  SessionFixture f;
  f.Add(SessionFixture::Capped("a", 3));
  const SessionId session = f.Open(), other = f.Open("p2");
  f.PickIn(session);
  f.Pick();  // a unary lease in the next cell
  SessionLease name = f.leases[0];
  GetParam().forge(name, other);
  EXPECT_FALSE(f.pool->FactsOf(name).has_value());
  EXPECT_EQ(f.ReportIn(name, 401).disposition, Disposition::kUnknown);
  EXPECT_EQ(f.pool->Renew(name, absl::Seconds(600), f.now, f.effects).result,
            RenewResult::kNotFound);
  EXPECT_FALSE(f.Release(name));
  EXPECT_EQ(f.InFlight("a"), 2u);
  EXPECT_EQ(f.StateName("a"), Name(State::kAvailable));
  EXPECT_EQ(f.Stats().reports_unknown, 1u);
  EXPECT_EQ(f.ReportIn(f.leases[0], 200).disposition, Disposition::kAccepted);
  f.Check();
}

INSTANTIATE_TEST_SUITE_P(
    Lease, Forged,
    ::testing::Values(
        Forgery{"OtherSession", [](SessionLease& l, SessionId other) { l.session = other; }},
        Forgery{"NoSession", [](SessionLease& l, SessionId) { l.session = kNoSession; }},
        Forgery{"SessionNeverOpened",
                [](SessionLease& l, SessionId) { l.session = SessionId(UINT64_MAX); }},
        Forgery{"OtherCell", [](SessionLease& l, SessionId) { ++l.cell; }},
        Forgery{"CellFarAway", [](SessionLease& l, SessionId) { l.cell = UINT32_MAX; }},
        Forgery{"OtherNumber", [](SessionLease& l, SessionId) { ++l.seq_low; }},
        Forgery{"UnaryCellAndNumber", [](SessionLease& l, SessionId) { ++l.cell, ++l.seq_low; }}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(SessionLease, IsRenewedUpToItsHardMaximum) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.PickIn(session);
  const absl::Time granted = f.now;
  RenewReply reply = f.pool->Renew(f.leases[0], absl::Minutes(30), f.now, f.effects);
  EXPECT_EQ(reply.result, RenewResult::kRenewed);
  EXPECT_EQ(reply.expires, granted + absl::Minutes(30));
  f.Pass(absl::Minutes(29));
  reply = f.pool->Renew(f.leases[0], absl::Hours(1), f.now, f.effects);
  EXPECT_EQ(reply.expires, granted + absl::Hours(1));
  f.SetIntent("a", false);
  reply = f.pool->Renew(f.leases[0], absl::Minutes(1), f.now, f.effects);
  EXPECT_EQ(reply.result, RenewResult::kDisabled);
}

TEST(SessionLease, EndsWithItsCredential) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.Stock(session, 4);
  f.Delete("a");
  EXPECT_EQ(f.Held(session).size(), 2u);
  EXPECT_EQ(f.ReportIn(f.leases[0], 200).disposition, Disposition::kUnknown);
  f.Check();
}

TEST(SessionLease, ARepeatedRequestGetsItInItsOwnSessionOnly) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open(), other = f.Open();
  EXPECT_EQ(f.PickIn(session, "m", absl::ZeroDuration(), "r1"), "a");
  const LeaseSeq seq = f.last.grant.seq;
  EXPECT_EQ(f.PickIn(session, "m", absl::ZeroDuration(), "r1"), "a");
  EXPECT_EQ(f.last.grant.seq, seq);
  EXPECT_TRUE(f.last.grant.repeated);
  EXPECT_EQ(f.PickIn(other, "m", absl::ZeroDuration(), "r1"), Name(Refusal::kRequestIdMismatch));
  Ask ask;
  ask.request_id = "r1";
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kRequestIdMismatch));
  f.pool->CloseSession(session, f.now, f.effects);
  EXPECT_EQ(f.PickIn(other, "m", absl::ZeroDuration(), "r1"), Name(Refusal::kRequestEnded));
}

TEST(SessionLease, ARepeatedRequestGetsNoLeaseThatWasTakenOutsideOfTheSession) {
  SessionFixture f;
  f.Add("a");
  Ask ask;
  ask.request_id = "r1";
  EXPECT_EQ(f.Pick(ask), "a");
  EXPECT_EQ(f.PickIn(f.Open(), "m", absl::ZeroDuration(), "r1"), Name(Refusal::kRequestIdMismatch));
}

TEST(SessionLease, OfAParkedCallBelongsToTheSession) {
  SessionFixture f;
  f.Add(SessionFixture::Capped("a", 1));
  const SessionId session = f.Open();
  f.PickIn(session);
  EXPECT_EQ(f.PickIn(session, "m", absl::Seconds(30)), "parked");
  f.ReportIn(f.leases[0], 200);
  ASSERT_EQ(f.effects.woken.size(), 1u);
  ASSERT_EQ(f.Held(session).size(), 1u);
  EXPECT_EQ(f.Held(session)[0].seq, f.effects.woken[0].reply.grant.seq);
  f.Check();
}

TEST(Session, ParkedCallsOfALostOneHoldUpNobody) {
  SessionFixture f;
  f.Add(SessionFixture::Capped("a", 1));
  const SessionId lost = f.Open(), other = f.Open();
  EXPECT_EQ(f.PickIn(other), "a");
  EXPECT_EQ(f.PickIn(lost, "m", absl::Seconds(60)), "parked");
  EXPECT_EQ(f.PickIn(other, "m", absl::Seconds(60)), "parked");
  f.pool->DetachSession(lost, f.now + absl::Seconds(5), f.now);
  f.ReportIn(f.leases[0], 200);
  ASSERT_EQ(f.effects.woken.size(), 2u);
  EXPECT_EQ(f.effects.woken[0].reply.refusal.reason, Refusal::kCancelled);
  EXPECT_EQ(f.effects.woken[1].reply.kind, AcquireReply::Kind::kGranted);
  EXPECT_EQ(f.Held(other).size(), 1u);
  f.Check();
}

// --- after a restart ---

TEST(Session, AreCounted) {
  SessionFixture f;
  const Uid a = f.Add("a");
  const SessionId one = f.Open(), two = f.Open(), three = f.Open();
  f.Stock(one, 3);
  f.PickIn(two);
  f.Adopt(three, a);
  EXPECT_EQ(f.Stats().session_leases, 5u);
  f.pool->DetachSession(one, f.now + absl::Seconds(1), f.now);
  EXPECT_EQ(f.Stats().sessions_open, 2u);
  EXPECT_EQ(f.Stats().sessions_detached, 1u);
  f.Pass(absl::Seconds(1));
  f.pool->CloseSession(two, f.now, f.effects);
  const PoolStats stats = f.Stats();
  EXPECT_EQ(stats.sessions_opened, 3u);
  EXPECT_EQ(stats.sessions_open, 1u);
  EXPECT_EQ(stats.sessions_detached, 0u);
  EXPECT_EQ(stats.sessions_lost, 1u);
  EXPECT_EQ(stats.leases_freed, 3u);
  EXPECT_EQ(stats.session_leases, 1u);
}

}  // namespace
}  // namespace credbroker::core
