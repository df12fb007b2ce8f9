// Selection: order, tiers, strategies, affinity, caps, models.
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using testing::PoolFixture;

Settings WithStrategy(Strategy strategy) {
  Settings settings;
  GroupSettings group;
  group.name = "default";
  group.strategy = strategy;
  settings.groups.push_back(group);
  return settings;
}

TEST(Select, RoundRobinGoesInIdOrderAndSurvivesAddAndRemove) {
  PoolFixture f;
  for (const char* id : {"b", "d", "a"}) f.Add(id);
  EXPECT_EQ(f.Pick(), "a");
  EXPECT_EQ(f.Pick(), "b");
  f.Add("c");
  EXPECT_EQ(f.Pick(), "c");
  f.Delete("c");
  EXPECT_EQ(f.Pick(), "d");
  EXPECT_EQ(f.Pick(), "a");
  f.pool->CheckInvariants(f.now);
}

TEST(Select, HigherTierFirstAndLowerWhenItIsGone) {
  PoolFixture f;
  auto high = PoolFixture::Doc("high");
  high->priority = 5;
  f.Add(high);
  f.Add("low");
  EXPECT_EQ(f.Pick(), "high");
  f.ReportStatus(f.last.grant, 429, 60);
  EXPECT_EQ(f.Pick(), "low");
}

TEST(Select, WeightedSharesAreExactAndABusyMemberEarnsNothing) {
  PoolFixture f(WithStrategy(Strategy::kWeighted));
  for (auto [id, weight] : std::map<std::string, int>{{"a", 5}, {"b", 3}, {"c", 2}, {"z", 0}}) {
    auto document = PoolFixture::Doc(id);
    document->weight = weight;
    f.Add(document);
  }
  std::map<std::string, int> counts;
  for (int i = 0; i < 100; ++i) ++counts[f.Pick()];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 50}, {"b", 30}, {"c", 20}}));
  Ask pin;
  pin.pin = "z";
  EXPECT_EQ(f.Pick(pin), "z");
}

TEST(Select, LeastInFlightPrefersTheIdle) {
  PoolFixture f(WithStrategy(Strategy::kLeastInFlight));
  f.Add("a");
  f.Add("b");
  EXPECT_EQ(f.Pick(), "a");
  const Grant first = f.last.grant;
  EXPECT_EQ(f.Pick(), "b");
  f.Release(first);
  EXPECT_EQ(f.Pick(), "a");
}

TEST(Select, CapsAreNeverExceededAndALoweredOneRevokesNothing) {
  PoolFixture f;
  auto document = PoolFixture::Doc("a");
  document->max_in_flight = 2;
  f.Add(document);
  EXPECT_EQ(f.Pick(), "a");
  const Grant one = f.last.grant;
  EXPECT_EQ(f.Pick(), "a");
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy));
  f.Edit("a", [](Document& d) { d.max_in_flight = 1; });
  EXPECT_EQ(f.Get("a").in_flight, 2u);
  f.Release(one);
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy));
  f.Pass(absl::Seconds(121));
  EXPECT_EQ(f.Get("a").in_flight, 0u);
  EXPECT_EQ(f.Pick(), "a");
  f.pool->CheckInvariants(f.now);
}

TEST(Select, PerModelCapHoldsForThatModelOnly) {
  PoolFixture f;
  auto document = PoolFixture::Doc("a");
  document->max_in_flight_per_model = 1;
  f.Add(document);
  Ask other;
  other.model = "n(high)";
  EXPECT_EQ(f.Pick(), "a");
  const Grant grant = f.last.grant;
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy));
  EXPECT_EQ(f.Pick(other), "a");
  other.model = "n";
  EXPECT_EQ(f.Pick(other), Name(Refusal::kBusy)) << "a suffix names the same model";
  f.Release(grant);
  EXPECT_EQ(f.Pick(), "a");
}

TEST(Select, PrefixAliasAndExclusionsShapeWhatIsServed) {
  PoolFixture f;
  auto a = PoolFixture::Doc("a");
  a->prefix = "team";
  a->excluded_models = {"haiku*"};
  f.Add(a);
  auto b = PoolFixture::Doc("b");
  b->model_aliases = {{"fast", "haiku-4"}};
  f.Add(b);
  Ask ask;
  ask.model = "team/opus";
  EXPECT_EQ(f.Pick(ask), "a");
  EXPECT_EQ(f.last.grant.model, "opus");
  ask.model = "fast";
  for (int i = 0; i < 4; ++i) {
    const std::string id = f.Pick(ask);
    EXPECT_EQ(f.last.grant.model, id == "b" ? "haiku-4" : "fast");
  }
  ask.model = "haiku-4";
  EXPECT_EQ(f.Pick(ask), "b");
  EXPECT_EQ(f.Pick(ask), "b");
}

TEST(Select, AModelNobodyListsIsNotFound) {
  PoolFixture f;
  auto a = PoolFixture::Doc("a");
  a->models = {"opus*"};
  f.Add(a);
  Ask ask;
  ask.model = "gpt";
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kNoSuchModel));
  ask.group = "none";
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kNoSuchGroup));
  ask.group = "";
  ask.providers = {"none"};
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kNoSuchProvider));
  ask.providers = {"claude"};
  ask.labels = {{"region", "eu"}};
  ask.model = "opus-4";
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kNoMatch));
}

TEST(Select, MixedProvidersShareOneCursor) {
  PoolFixture f;
  f.Add("a");
  auto b = PoolFixture::Doc("b");
  b->provider = "codex";
  f.Add(b);
  f.Add("c");
  Ask ask;
  ask.providers = {"codex", "claude"};
  EXPECT_EQ(f.Pick(ask), "a");
  EXPECT_EQ(f.Pick(ask), "b");
  EXPECT_EQ(f.Pick(ask), "c");
  EXPECT_EQ(f.Pick(ask), "a");
}

TEST(Select, ASessionStaysSpillsWhenBusyAndMovesWhenBlocked) {
  PoolFixture f;
  auto a = PoolFixture::Doc("a");
  a->max_in_flight = 1;
  f.Add(a);
  f.Add("b");
  Ask ask;
  ask.session = "s";
  EXPECT_EQ(f.Pick(ask), "a");
  const Grant grant = f.last.grant;
  EXPECT_EQ(f.Pick(ask), "b") << "busy: spill";
  EXPECT_FALSE(f.last.grant.rebound);
  f.Release(grant);
  EXPECT_EQ(f.Pick(ask), "a") << "the binding stayed";
  f.ReportStatus(f.last.grant, 429, 60);
  EXPECT_EQ(f.Pick(ask), "b");
  EXPECT_TRUE(f.last.grant.rebound);
  f.Pass(absl::Minutes(2));
  EXPECT_EQ(f.Pick(ask), "b") << "warm sessions are not stolen back";
}

TEST(Select, FailbackTakesAWarmSessionToTheHigherTier) {
  Settings settings = WithStrategy(Strategy::kRoundRobin);
  settings.groups[0].failback = true;
  PoolFixture f(settings);
  auto high = PoolFixture::Doc("high");
  high->priority = 1;
  f.Add(high);
  f.Add("low");
  Ask ask;
  ask.session = "s";
  EXPECT_EQ(f.Pick(ask), "high");
  f.ReportStatus(f.last.grant, 429, 30);
  EXPECT_EQ(f.Pick(ask), "low");
  f.Pass(absl::Seconds(31));
  EXPECT_EQ(f.Pick(ask), "high");
}

TEST(Select, PinsRespectStateAndCapsAndProbeOutsideTheBudget) {
  PoolFixture f;
  f.Add("a");
  f.Add("b");
  Ask pin;
  pin.pin = "b";
  EXPECT_EQ(f.Pick(pin), "b");
  f.ReportStatus(f.last.grant, 429, 3600);
  EXPECT_EQ(f.Pick(pin), Name(Refusal::kCooling));
  f.Pass(absl::Minutes(15));
  EXPECT_EQ(f.Pick(pin), "probe:b");
  EXPECT_EQ(f.Pick(pin), Name(Refusal::kCooling)) << "one lease at a time";
  f.SetIntent("a", false);
  pin.pin = "a";
  EXPECT_EQ(f.Pick(pin), Name(Refusal::kPinUnavailable));
  pin.providers = {};
  EXPECT_EQ(f.Pick(pin), Name(Refusal::kPinUnavailable)) << "a pin needs no provider";
  pin.pin = "nobody";
  EXPECT_EQ(f.Pick(pin), Name(Refusal::kNoSuchCredential));
}

TEST(Select, ModelCooldownIsAnOverlayAndAlsoWorksForManyMembers) {
  PoolFixture f;
  constexpr int kMembers = 200;
  for (int i = 0; i < kMembers; ++i) f.Add("c" + std::to_string(1000 + i));
  Ask m, n;
  n.model = "n";
  std::set<std::string> blocked;
  for (int i = 0; i < kMembers - 1; ++i) {
    const std::string id = f.Pick(m);
    EXPECT_TRUE(blocked.insert(id).second) << id;
    f.ReportStatus(f.last.grant, 404);
  }
  const std::string rest = f.Pick(m);
  EXPECT_FALSE(blocked.contains(rest));
  EXPECT_EQ(f.Pick(m), rest);
  std::set<std::string> served;
  for (int i = 0; i < kMembers; ++i) served.insert(f.Pick(n));
  EXPECT_EQ(served.size(), static_cast<size_t>(kMembers)) << "another model is untouched";
  f.pool->CheckInvariants(f.now);
  f.Pass(absl::Hours(40));
  served.clear();
  for (int i = 0; i < kMembers; ++i) served.insert(f.Pick(m));
  EXPECT_EQ(served.size(), static_cast<size_t>(kMembers));
  f.pool->CheckInvariants(f.now);
}

TEST(Select, InventedModelNamesGrowNothing) {
  PoolFixture f;
  auto a = PoolFixture::Doc("a");
  a->excluded_models = {"haiku*"};
  f.Add(a);
  f.Add("b");
  Ask ask;
  for (int i = 0; i < 20'000; ++i) {
    ask.model = "invented-" + std::to_string(i);
    f.Pick(ask);
    f.Release(f.last.grant);
  }
  const PoolStats stats = f.pool->Stats(f.now);
  EXPECT_LE(stats.model_names, 2u);
  EXPECT_LE(stats.indexes, 4u);
}

TEST(Select, RequestIdRepeatsTheLeaseAndRefusesOtherArguments) {
  PoolFixture f;
  f.Add("a");
  f.Add("b");
  Ask ask;
  ask.request_id = "r";
  EXPECT_EQ(f.Pick(ask), "a");
  const Grant grant = f.last.grant;
  EXPECT_EQ(f.Pick(ask), "a");
  EXPECT_TRUE(f.last.grant.repeated);
  EXPECT_EQ(f.last.grant.seq, grant.seq);
  Ask other = ask;
  other.model = "n";
  EXPECT_EQ(f.Pick(other), Name(Refusal::kRequestIdMismatch));
  other = ask;
  other.principal = "p2";
  EXPECT_EQ(f.Pick(other), "b") << "ids are per principal";
  f.ReportStatus(grant, 200);
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kRequestEnded));
  f.Pass(absl::Minutes(11));
  f.Pick();
  f.pool->Advance(f.now, 256, f.effects);
  EXPECT_NE(f.Pick(ask), Name(Refusal::kRequestEnded)) << "forgotten after ten minutes";
}

TEST(Select, APrincipalHoldsAtMostItsShareOfLeases) {
  Settings settings;
  settings.limits.max_leases_per_principal = 2;
  PoolFixture f(settings);
  f.Add("a");
  Ask other;
  other.principal = "p2";
  EXPECT_EQ(f.Pick(), "a");
  const Grant first = f.last.grant;
  Ask again;
  again.request_id = "r";
  EXPECT_EQ(f.Pick(again), "a");
  EXPECT_EQ(f.Pick(), Name(Refusal::kTooManyLeases));
  EXPECT_EQ(f.Pick(again), "a") << "a repeated request takes no lease";
  EXPECT_TRUE(f.last.grant.repeated);
  EXPECT_EQ(f.Pick(other), "a") << "another principal has a share of its own";
  f.Release(first);
  EXPECT_EQ(f.Pick(), "a");
  EXPECT_EQ(f.Pick(), Name(Refusal::kTooManyLeases));
  f.Pass(absl::Seconds(121));
  EXPECT_EQ(f.Pick(), "a") << "those that ran out count no more";
}

TEST(Select, AParkedCallOfAPrincipalAtItsLimitHoldsNobodyBack) {
  Settings settings;
  settings.limits.max_leases_per_principal = 1;
  PoolFixture f(settings);
  auto a = PoolFixture::Doc("a");
  a->max_in_flight = 1;
  f.Add(a);
  Ask ask;
  ask.max_wait = absl::Seconds(30);
  ask.principal = "p3";
  EXPECT_EQ(f.Pick(ask), "a");
  const Grant held = f.last.grant;
  for (const char* principal : {"p1", "p2"}) {
    ask.principal = principal;
    EXPECT_EQ(f.Pick(ask), "parked");
  }
  Ask elsewhere;  // p1 gets its only lease while its call waits
  elsewhere.providers = {"codex"};
  auto codex = PoolFixture::Doc("x");
  codex->provider = "codex";
  f.Add(codex);
  EXPECT_EQ(f.Pick(elsewhere), "x");
  f.effects.clear();
  EXPECT_TRUE(f.pool->Release("p3", f.Claims(held, "p3"), f.now, f.effects));
  ASSERT_EQ(f.effects.woken.size(), 2u);
  EXPECT_EQ(f.effects.woken[0].reply.refusal.reason, Refusal::kTooManyLeases);
  EXPECT_EQ(f.effects.woken[1].reply.grant.document->id, "a");
}

TEST(Explain, NamesTheReasonOfEachCandidate) {
  PoolFixture f;
  for (const char* id : {"cool", "dead", "free", "off"}) f.Add(id);
  auto low = PoolFixture::Doc("low");
  low->priority = -1;
  f.Add(low);
  Ask pin;
  pin.pin = "cool";
  f.Pick(pin);
  f.ReportStatus(f.last.grant, 429, 60);
  pin.pin = "dead";
  f.Pick(pin);
  f.ReportStatus(f.last.grant, 401);
  f.SetIntent("off", false);
  const Explanation explained = f.Explain({});
  EXPECT_EQ(explained.would_choose, "free");
  std::map<std::string, Candidacy> by_id;
  for (const Candidate& c : explained.candidates) by_id[c.id] = c.candidacy;
  EXPECT_EQ(by_id["cool"], Candidacy::kWaiting);
  EXPECT_EQ(by_id["dead"], Candidacy::kDisabled);
  EXPECT_EQ(by_id["off"], Candidacy::kDisabled);
  EXPECT_EQ(by_id["free"], Candidacy::kChosen);
  EXPECT_EQ(by_id["low"], Candidacy::kLowerTier);
  EXPECT_EQ(f.Pick(), "free") << "and Acquire agrees";
}

}  // namespace
}  // namespace credbroker::core
