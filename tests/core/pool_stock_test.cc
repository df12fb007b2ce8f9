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
