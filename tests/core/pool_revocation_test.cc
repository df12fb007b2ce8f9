// What sessions are told to hand out no more, when, and which of their leases that covers.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace credbroker::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::SessionFixture;

struct Event {
  const char* name;
  void (*happen)(SessionFixture&);
  std::vector<std::string> revoked;
};

class Revoking : public ::testing::TestWithParam<Event> {};

TEST_P(Revoking, IsToldOnceWithTheNewestLease) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.Stock(session, 4, "m1");
  f.effects.clear();
  GetParam().happen(f);
  for (const Revoked& revoked : f.effects.revoked) {
    EXPECT_EQ(revoked.covers, LeaseSeq(4));
    EXPECT_EQ(revoked.uid, Uid(1));
  }
  EXPECT_EQ(f.Stats().revocations, GetParam().revoked.size());
  EXPECT_EQ(f.Revocations(), GetParam().revoked);
  f.Check();
}

INSTANTIATE_TEST_SUITE_P(
    By, Revoking,
    ::testing::Values(
        Event{"A429", [](SessionFixture& f) { f.ReportIn(f.leases[0], 429, 30); }, {"cooling"}},
        Event{"A404OfItsModel",
              [](SessionFixture& f) { f.ReportIn(f.leases[0], 404); },
              {"cooling:m1"}},
        Event{"A401OfAnApiKey",
              [](SessionFixture& f) {
                f.Edit("a", [](Document& d) { d.priority = 5; });
                f.effects.clear();
                f.ReportIn(f.leases[0], 401);
              },
              {"disabled"}},
        Event{"Disable", [](SessionFixture& f) { f.SetIntent("a", false); }, {"disabled"}},
        Event{"Delete", [](SessionFixture& f) { f.Delete("a"); }, {"deleted"}},
        Event{"MoveToAGroup",
              [](SessionFixture& f) { f.Edit("a", [](Document& d) { d.group = "g2"; }); },
              {"changed"}},
        Event{"OtherLabels",
              [](SessionFixture& f) { f.Edit("a", [](Document& d) {
                                        d.labels = {{"k", "v"}};
                                      }); },
              {"changed"}},
        Event{"OtherModels",
              [](SessionFixture& f) { f.Edit("a", [](Document& d) { d.models = {"m2"}; }); },
              {"changed"}},
        Event{"NoWeight",
              [](SessionFixture& f) { f.Edit("a", [](Document& d) { d.weight = 0; }); },
              {"changed"}},
        Event{"OtherPriority",
              [](SessionFixture& f) { f.Edit("a", [](Document& d) { d.priority = 7; }); },
              {}},
        Event{"NewSecret", [](SessionFixture& f) { f.NewSecret("a"); }, {}},
        Event{"Reset", [](SessionFixture& f) { f.Reset("a"); }, {}},
        Event{"ASuccess", [](SessionFixture& f) { f.ReportIn(f.leases[0], 200); }, {}},
        Event{"ARequestFault", [](SessionFixture& f) { f.ReportIn(f.leases[0], 400); }, {}},
        Event{
            "A503Of1Of2", [](SessionFixture& f) { f.ReportIn(f.leases[0], 503); }, {"cooling:m1"}},
        // Whoever waits for the disable is told again.
        Event{"A429ThenDisable",
              [](SessionFixture& f) {
                f.ReportIn(f.leases[0], 429, 30);
                f.SetIntent("a", false);
              },
              {"cooling", "disabled"}},
        // What the policy's disable told may be on its way still.
        Event{"A401OfAnApiKeyThenDisable",
              [](SessionFixture& f) {
                f.ReportIn(f.leases[0], 401);
                f.SetIntent("a", false);
              },
              {"disabled", "disabled"}},
        Event{"DisableTwice",
              [](SessionFixture& f) {
                f.SetIntent("a", false);
                f.SetIntent("a", false);
              },
              {"disabled", "disabled"}},
        Event{"A401OfAnApiKeyThenEnable",
              [](SessionFixture& f) {
                f.ReportIn(f.leases[0], 401);
                f.SetIntent("a", true);
              },
              {"disabled"}},
        Event{"TwoA429s",
              [](SessionFixture& f) {
                f.ReportIn(f.leases[0], 429, 30);
                f.ReportIn(f.leases[2], 429, 60);
              },
              {"cooling"}}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Revocation, SaysWhyAndUntilWhen) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Stock(session, 2);
  f.effects.clear();
  f.ReportIn(f.leases[0], 429, 30);
  ASSERT_EQ(f.effects.revoked.size(), 1u);
  EXPECT_EQ(f.effects.revoked[0].cause, Cause::kRateLimit);
  EXPECT_EQ(f.effects.revoked[0].until, f.now + absl::Seconds(30));
  f.effects.clear();
  f.SetIntent("a", false);
  EXPECT_EQ(f.effects.revoked[0].cause, Cause::kOperator);
  EXPECT_EQ(f.effects.revoked[0].until, absl::InfiniteFuture());
}

TEST(Revocation, IsToldOfWhatNoSessionHoldsAsOneMayRememberIt) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  f.Open();
  EXPECT_EQ(f.Pick(), "a");
  f.effects.clear();
  f.SetIntent("a", false);
  EXPECT_THAT(f.Revocations(), ElementsAre("disabled"));
  f.Delete("a");
  EXPECT_THAT(f.Revocations(), ElementsAre("deleted"));
  EXPECT_EQ(f.Pick(), "b");
  f.ReportStatus(f.last.grant, 429, 30);
  EXPECT_THAT(f.Revocations(), ElementsAre("cooling"));
}

TEST(Revocation, IsToldNobodyWhereNoSessionIsOpen) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.Stock(session, 1);
  EXPECT_TRUE(f.Release(f.leases[0]));
  f.pool->DetachSession(session, f.now + absl::Seconds(30), f.now);
  f.effects.clear();
  f.SetIntent("a", false);
  f.Delete("b");
  EXPECT_THAT(f.Revocations(), IsEmpty()) << "who comes back hears of all anew";
}

TEST(Revocation, CoversNoLeaseThatIsGrantedLater) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Stock(session, 3);
  f.effects.clear();
  f.ReportIn(f.leases[0], 429, 30);
  const LeaseSeq covers = f.effects.revoked.at(0).covers;
  EXPECT_GE(covers, f.stock.order);
  f.Pass(absl::Seconds(30));
  EXPECT_THAT(f.Stock(session, 1), ElementsAre("a"));
  EXPECT_GT(f.stock.order, covers);
  EXPECT_EQ(f.PickIn(session), "a");
  EXPECT_GT(f.last.grant.seq, f.stock.order);
}

TEST(Revocation, ComesWhenAModelBecomesHalfOpenWithoutHavingWaited) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.Stock(session, 2, "m1");
  f.Pass(absl::Minutes(5));
  f.Stock(session, 2, "m1");
  const SessionLease late = f.leases[0];
  f.effects.clear();
  Verdict verdict;
  verdict.outcome = Outcome::kRateLimited;
  verdict.action = Action::kWait;
  verdict.scope = Scope::kModel;
  verdict.cause = Cause::kRateLimit;
  verdict.hint = absl::Minutes(60);
  verdict.cap = absl::Minutes(1);
  ReportCommand command;
  command.session_lease = &late;
  command.verdict = &verdict;
  command.happened = f.now - absl::Minutes(4);  // the block is over, the hint is not
  EXPECT_EQ(f.pool->Report(command, f.now, f.effects).disposition, Disposition::kLate);
  EXPECT_THAT(f.Get("a").waiting_models, IsEmpty());
  EXPECT_THAT(f.Revocations(), ElementsAre("cooling:m1"));
  EXPECT_THAT(f.Stock(session, 2, "m1"), ElementsAre("b", "b"));
}

TEST(Revocation, ComesWhenItsMaterialExpires) {
  SessionFixture f;
  f.Add(SessionFixture::Doc("a"), true, f.now + absl::Seconds(60));
  const SessionId session = f.Open();
  f.Stock(session, 2);
  f.effects.clear();
  f.Pass(absl::Seconds(60));
  EXPECT_THAT(f.Revocations(), ElementsAre("cooling"));
}

TEST(Revocation, OfALostSessionIsToldNoMore) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Stock(session, 2);
  f.pool->DetachSession(session, f.now + absl::Seconds(5), f.now);
  f.effects.clear();
  f.SetIntent("a", false);
  EXPECT_THAT(f.Revocations(), ElementsAre("disabled")) << "a detached one may come back";
  f.SetIntent("a", true);
  f.Pass(absl::Seconds(5));
  f.SetIntent("a", false);
  EXPECT_THAT(f.Revocations(), IsEmpty());
  f.Check();
}

}  // namespace
}  // namespace credbroker::core
