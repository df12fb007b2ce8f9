// Leases for stock: what may be had for it, and when what was had is void.
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::SessionFixture;

// --- what is granted ---

TEST(Stock, ComesByTheStrategyAndIsOrderedByTheNewestLease) {
  SessionFixture f;
  for (const char* id : {"a", "b", "c"}) f.Add(id);
  const SessionId session = f.Open();
  EXPECT_THAT(f.Stock(session, 5), ElementsAre("a", "b", "c", "a", "b"));
  EXPECT_EQ(f.stock.granted, 5);
  EXPECT_EQ(f.stock.order, LeaseSeq(5));
  EXPECT_EQ(f.stock.expires, f.now + absl::Seconds(120));
  EXPECT_FALSE(f.stock.refusal.has_value());
  EXPECT_EQ(f.Pick(), "c") << "the cursor went on";
  EXPECT_EQ(f.InFlight("a"), 2u);
  EXPECT_EQ(f.Stats().groups[0].granted, 6u);
  f.Check();
}

TEST(Stock, NamesTheModelAsTheUpstreamKnowsIt) {
  SessionFixture f;
  auto document = SessionFixture::Doc("a");
  document->model_aliases = {{"fast", "claude-3-haiku"}};
  f.Add(document);
  const SessionId session = f.Open();
  f.Stock(session, 1, "fast(high)");
  EXPECT_THAT(f.models, ElementsAre("claude-3-haiku"));
  const auto facts = f.pool->FactsOf(f.leases[0]);
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->model, "claude-3-haiku");
  EXPECT_EQ(facts->document->id, "a");
  EXPECT_EQ(facts->material_version, 1u);
  EXPECT_EQ(facts->granted, f.now);
  EXPECT_TRUE(facts->live);
}

TEST(Stock, IsReportedAsEveryLease) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Stock(session, 3);
  EXPECT_EQ(f.ReportIn(f.leases[1], 200).disposition, Disposition::kAccepted);
  EXPECT_EQ(f.ReportIn(f.leases[0], 429, 30).disposition, Disposition::kAccepted);
  EXPECT_EQ(f.StateName("a"), Name(State::kWaiting));
  EXPECT_TRUE(f.Release(f.leases[2]));
  EXPECT_EQ(f.InFlight("a"), 0u);
  f.Check();
}

enum class By { kOwn, kGroup, kProvider };
class CapOf : public ::testing::TestWithParam<std::tuple<By, bool>> {
 protected:
  // A credential `id` that is capped.
  void Make(SessionFixture& f, const std::string& id) const {
    const auto [by, per_model] = GetParam();
    auto document = SessionFixture::Doc(id);
    if (by == By::kOwn) {
      (per_model ? document->max_in_flight_per_model : document->max_in_flight) = 5;
    }
    f.Add(document);
  }
  Settings Given() const {
    const auto [by, per_model] = GetParam();
    Settings settings;
    GroupSettings group{.name = "default"};
    ProviderSettings provider;
    provider.name = "claude";
    if (by == By::kGroup) (per_model ? group.max_in_flight_per_model : group.max_in_flight) = 5;
    if (by == By::kProvider) {
      (per_model ? provider.max_in_flight_per_model : provider.max_in_flight) = 5;
    }
    settings.groups.push_back(group);
    settings.providers.push_back(provider);
    return settings;
  }
};

TEST_P(CapOf, AnyKindKeepsACredentialOutOfStock) {
  SessionFixture f(Given());
  Make(f, "a");
  auto free = SessionFixture::Doc("b");
  free->max_in_flight = free->max_in_flight_per_model = 0;
  const SessionId session = f.Open();
  EXPECT_THAT(f.Stock(session, 2), ElementsAre(Name(Refusal::kNotForStock)));
  EXPECT_EQ(f.PickIn(session), "a") << "a call may have it";
  EXPECT_TRUE(f.pool->IssuedOf(f.last.grant.material->uid)->capped);
  f.Add(free);
  EXPECT_THAT(f.Stock(session, 3), ElementsAre("b", "b", "b"));
  EXPECT_FALSE(f.pool->IssuedOf(f.pool->Get("b", f.now)->uid)->capped);
  f.Check();
}

TEST_P(CapOf, AnyKindThatIsIntroducedRevokesStock) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Stock(session, 2);
  f.effects.clear();
  const auto [by, per_model] = GetParam();
  if (by == By::kOwn) {
    f.Edit("a", [per_model = per_model](Document& d) {
      (per_model ? d.max_in_flight_per_model : d.max_in_flight) = 5;
    });
  } else {
    f.pool->Configure(Given(), f.now, f.effects);
  }
  ASSERT_EQ(f.effects.revoked.size(), 1u);
  EXPECT_EQ(f.effects.revoked[0].covers, LeaseSeq(2));
  EXPECT_THAT(f.Revocations(), ElementsAre("changed"));
  f.Edit("a", [](Document& d) { d.max_in_flight = 2; });
  EXPECT_THAT(f.Revocations(), IsEmpty()) << "there is no stock of it that could be void";
  f.Check();
}

INSTANTIATE_TEST_SUITE_P(Wherever, CapOf,
                         ::testing::Combine(::testing::Values(By::kOwn, By::kGroup, By::kProvider),
                                            ::testing::Bool()));

TEST(Stock, IsNeverAProbe) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  EXPECT_EQ(f.Pick(), "a");
  f.ReportStatus(f.last.grant, 429, 7 * 86'400);
  f.Pass(absl::Minutes(15));
  ASSERT_TRUE(f.Get("a").half_open);
  EXPECT_THAT(f.Stock(session, 3), ElementsAre("b", "b", "b"));
  f.SetIntent("b", false);
  EXPECT_THAT(f.Stock(session, 3), ElementsAre(Name(Refusal::kNotForStock)));
  EXPECT_EQ(f.PickIn(session), "probe:a");
  EXPECT_THAT(f.Stock(session, 3), ElementsAre(Name(Refusal::kCooling)))
      << "now nobody could have it";
  f.Check();
}

TEST(Stock, IsNeverTheProbeOfABreaker) {
  SessionFixture f;
  for (const char* id : {"a", "b", "c"}) f.Add(id);
  const SessionId session = f.Open();
  for (int i = 0; i < 3; ++i) f.Pick();
  for (int i = 0; i < 3; ++i) {
    f.Pick();
    f.ReportStatus(f.last.grant, 503);
  }
  ASSERT_TRUE(f.Stats().providers[0].breaker_open);
  EXPECT_THAT(f.Stock(session, 1), ElementsAre(Name(Refusal::kBreakerOpen)));
  f.Pass(absl::Seconds(10));
  EXPECT_THAT(f.Stock(session, 1), ElementsAre(Name(Refusal::kNotForStock)));
  EXPECT_EQ(f.PickIn(session), "a") << "a call may be its probe";
  f.Check();
}

TEST(Stock, LooksAtNoBindingAndNoPin) {
  SessionFixture f;
  f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  Ask bound;
  bound.session = "s";
  EXPECT_EQ(f.Pick(bound), "a");
  AcquireCommand command;
  const absl::string_view providers[] = {"claude"};
  command.principal = "p1";
  command.providers = providers;
  command.session = session;
  command.session_key = "s";
  command.credential_id = "a";
  command.request_id = "r";
  command.max_wait = absl::Seconds(60);
  std::vector<StockLease> leases;
  f.pool->AcquireStock(command, 1, f.now, leases, f.effects);
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(f.pool->IdOf(leases[0].uid), "b") << "its turn";
  command.for_stock = true;
  const AcquireReply reply = f.pool->Acquire(command, f.now, f.effects);
  EXPECT_EQ(reply.grant.document->id, "a") << "its turn";
  EXPECT_FALSE(f.pool->Acquire(command, f.now, f.effects).grant.repeated);
  EXPECT_EQ(f.Held(session).size(), 3u);
  f.SetIntent("a", false);
  f.SetIntent("b", false);
  EXPECT_EQ(f.pool->Acquire(command, f.now, f.effects).kind, AcquireReply::Kind::kRefused)
      << "it does not wait";
}

TEST(Stock, SaysWhyThereIsNone) {
  SessionFixture f;
  f.Add("a");
  const SessionId session = f.Open();
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 600);
  EXPECT_THAT(f.Stock(session, 4), ElementsAre(Name(Refusal::kCooling)));
  EXPECT_EQ(f.stock.refusal->earliest, f.now + absl::Seconds(600));
  EXPECT_EQ(f.stock.refusal->members, 1u);
  f.group = "nowhere";
  EXPECT_THAT(f.Stock(session, 4), ElementsAre(Name(Refusal::kNoSuchGroup)));
  f.group = "";
  EXPECT_THAT(f.Stock(kNoSession, 4), ElementsAre(Name(Refusal::kCancelled)));
  f.pool->DetachSession(session, f.now + absl::Seconds(9), f.now);
  EXPECT_THAT(f.Stock(session, 4), ElementsAre(Name(Refusal::kCancelled)));
}

TEST(Stock, OfAFleetThatIsAllCappedIsGivenUpSoon) {
  SessionFixture f;
  for (int i = 0; i < 1500; ++i) {
    f.Add(SessionFixture::Capped("c" + std::to_string(1000 + i), 5));
  }
  f.Add("d");  // beyond what is looked at
  const SessionId session = f.Open();
  EXPECT_THAT(f.Stock(session, 2), ElementsAre(Name(Refusal::kNotForStock)));
  f.Check();
}

// --- what is revoked ---

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

TEST(Stock, CountsTowardsWhatItsPrincipalMayHold) {
  Settings settings;
  settings.limits.max_leases_per_principal = 3;
  SessionFixture f(settings);
  const Uid uid = f.Add("a");
  const SessionId session = f.Open();
  EXPECT_EQ(f.Pick(), "a");
  EXPECT_THAT(f.Stock(session, 5), ElementsAre("a", "a", Name(Refusal::kTooManyLeases)));
  EXPECT_THAT(f.Stock(session, 1), ElementsAre(Name(Refusal::kTooManyLeases)));
  EXPECT_EQ(f.Adopt(session, uid), AdoptResult::kOverCap);
  EXPECT_EQ(f.PickIn(session), Name(Refusal::kTooManyLeases));
  EXPECT_TRUE(f.Release(f.leases[0]));
  EXPECT_EQ(f.Adopt(session, uid), AdoptResult::kAdopted);
  EXPECT_THAT(f.Stock(session, 1), ElementsAre(Name(Refusal::kTooManyLeases)));
}

}  // namespace
}  // namespace credbroker::core
