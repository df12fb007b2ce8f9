// Backoffs of the pool: of egresses, providers and models; what is stored of them.
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using testing::PoolFixture;

constexpr char kProxy[] = "http://u:p@proxy:3128";

std::shared_ptr<Document> Through(const std::string& id, const std::string& proxy) {
  auto document = PoolFixture::Doc(id);
  document->proxy_url = proxy;
  return document;
}

// As a configured row says it: {scope: egress, action: wait, duration}.
Verdict EgressWait(absl::Duration duration) {
  Verdict verdict;
  verdict.outcome = Outcome::kNetwork;
  verdict.scope = Scope::kEgress;
  verdict.action = Action::kWait;
  verdict.cause = Cause::kNetwork;
  verdict.hint = duration;
  return verdict;
}

Verdict Success() {
  Verdict verdict;
  verdict.outcome = Outcome::kSuccess;
  return verdict;
}

Ask Pin(const std::string& id) {
  Ask ask;
  ask.pin = id;
  return ask;
}

// The last backoff among the changes.
std::shared_ptr<const BackoffRecord> Stored(const PoolFixture& f) {
  std::shared_ptr<const BackoffRecord> last;
  for (const Change& change : f.effects.changes) {
    if (change.kind == RecordKind::kBackoff) last = change.backoff;
  }
  return last;
}

TEST(EgressBackoff, KeepsCallsOffTheProxyAndLeavesCredentialsAlone) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Add(Through("b", kProxy));
  f.Add("c");
  f.Pick(Pin("a"));
  f.Report(f.last.grant, EgressWait(absl::Seconds(30)));
  EXPECT_EQ(f.StateName("a"), "available");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(f.Pick(), "c");
  Ask without;
  without.excluded = {"c"};
  EXPECT_EQ(f.Pick(without), Name(Refusal::kProviderBackoff));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(30));
  EXPECT_EQ(f.Pick(Pin("b")), Name(Refusal::kProviderBackoff));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(30));
  EXPECT_EQ(f.Explain({}).candidates[0].candidacy, Candidacy::kProviderBackoff);
  f.Pass(absl::Seconds(30));
  EXPECT_EQ(f.Pick(without), "a");
  EXPECT_EQ(f.Pick(without), "b") << "open for everybody";
}

TEST(EgressBackoff, IsNoReasonForWhomItDoesNotHoldUp) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Add("c");
  f.Pick(Pin("a"));
  f.Report(f.last.grant, EgressWait(absl::Seconds(30)));
  Ask without;
  without.excluded = {"a", "c"};
  EXPECT_EQ(f.Pick(without), Name(Refusal::kNoMatch));
  EXPECT_EQ(f.last.refusal.earliest, absl::InfiniteFuture());
}

TEST(EgressBackoff, DelaysWhoComesBackBehindIt) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Add(Through("b", kProxy));
  f.Pick(Pin("a"));
  const Grant first = f.last.grant;
  f.Pick(Pin("b"));
  f.ReportStatus(first, 429, 10);
  f.Report(f.last.grant, EgressWait(absl::Seconds(30)));
  Ask without;
  without.excluded = {"b"};
  EXPECT_EQ(f.Pick(without), Name(Refusal::kNoMatch));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(30));
}

TEST(EgressBackoff, IsForgottenWithTheLastThatUsesTheProxy) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Pick();
  f.Report(f.last.grant, EgressWait(absl::Minutes(10)));
  f.effects.clear();
  f.Delete("a");
  const auto stored = Stored(f);
  ASSERT_NE(stored, nullptr) << "the row would come back with the proxy";
  EXPECT_EQ(stored->egress, kProxy);
  EXPECT_EQ(stored->record.cause, Cause::kNone);
}

TEST(Backoff, AProviderBehindTwoIsThereWhenBothAreOver) {
  PoolFixture f;
  f.Add("a");
  Ask ask;
  ask.model = "m";
  std::vector<Grant> grants;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(f.Pick(ask), "a");
    grants.push_back(f.last.grant);
  }
  Verdict verdict = EgressWait(absl::Seconds(10));
  verdict.scope = Scope::kProvider;
  verdict.cap = absl::Minutes(1);
  f.Report(grants[0], verdict);
  verdict.scope = Scope::kProviderModel;
  verdict.hint = absl::Seconds(40);
  f.Report(grants[1], verdict);
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kProviderBackoff));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(40));
}

TEST(EgressBackoff, LetsOneThroughWhileItIsHalfOpen) {
  for (const bool good : {true, false}) {
    PoolFixture f;
    f.Add(Through("a", kProxy));
    f.Add(Through("b", kProxy));
    f.Pick();
    f.Report(f.last.grant, EgressWait(absl::Hours(3)));
    f.Pass(absl::Minutes(14));
    EXPECT_EQ(f.Pick(), Name(Refusal::kProviderBackoff));
    f.Pass(absl::Minutes(1));
    Ask cautious;
    cautious.allow_probe = false;
    EXPECT_EQ(f.Pick(cautious), Name(Refusal::kProviderBackoff));
    ASSERT_EQ(f.Pick(), "b");
    const Grant probe = f.last.grant;
    EXPECT_EQ(f.Pick(), Name(Refusal::kProviderBackoff)) << "its probe is out";
    f.Report(probe, good ? Success() : EgressWait(absl::Hours(3)));
    if (good) {
      EXPECT_EQ(f.Pick(), "a");
      EXPECT_EQ(f.Pick(), "b");
    } else {
      EXPECT_EQ(f.Pick(), Name(Refusal::kProviderBackoff));
      EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Minutes(15));
    }
  }
}

TEST(EgressBackoff, AParkedCallIsServedWhenItEnds) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Pick();
  f.Report(f.last.grant, EgressWait(absl::Seconds(20)));
  Ask patient;
  patient.max_wait = absl::Seconds(30);
  EXPECT_EQ(f.Pick(patient), "parked");
  f.effects.clear();
  f.Pass(absl::Seconds(20));
  ASSERT_EQ(f.effects.woken.size(), 1u);
  EXPECT_EQ(f.effects.woken[0].reply.kind, AcquireReply::Kind::kGranted);
}

TEST(EgressBackoff, AParkedCallIsServedWhenItEndsThoughItsProbeIsStillOut) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Pick();
  Verdict verdict = EgressWait(absl::Seconds(30));
  verdict.cap = absl::Seconds(10);
  f.Report(f.last.grant, verdict);
  f.Pass(absl::Seconds(10));
  ASSERT_EQ(f.Pick(), "a");
  Ask patient;
  patient.max_wait = absl::Seconds(30);
  EXPECT_EQ(f.Pick(patient), "parked");
  f.effects.clear();
  f.Pass(absl::Seconds(20));
  ASSERT_EQ(f.effects.woken.size(), 1u);
  EXPECT_EQ(f.effects.woken[0].reply.kind, AcquireReply::Kind::kGranted);
}

TEST(EgressBackoff, AParkedCallThatMayNotProbeIsServedWhenItIsFullyOpen) {
  for (const char* proxy : {kProxy, ""}) {
    PoolFixture f;
    f.Add(Through("a", proxy));
    f.Pick();
    Verdict verdict = EgressWait(absl::Seconds(30));
    verdict.cap = absl::Seconds(10);
    f.Report(f.last.grant, verdict);
    Ask patient;
    patient.max_wait = absl::Seconds(60);
    patient.allow_probe = false;
    EXPECT_EQ(f.Pick(patient), "parked");
    f.Pass(absl::Seconds(29));
    f.effects.clear();
    f.Pass(absl::Seconds(1));
    ASSERT_EQ(f.effects.woken.size(), 1u) << proxy;
    EXPECT_EQ(f.effects.woken[0].reply.kind, AcquireReply::Kind::kGranted);
  }
}

TEST(EgressBackoff, OfACredentialWithoutProxyIsItsProviders) {
  for (const char* proxy : {"", "direct"}) {
    PoolFixture f;
    f.Add(Through("a", proxy));
    f.Add("b");
    f.Add(Through("c", kProxy));
    f.Pick(Pin("a"));
    f.Report(f.last.grant, EgressWait(absl::Seconds(30)));
    for (const char* id : {"a", "b", "c"}) {
      EXPECT_EQ(f.Pick(Pin(id)), Name(Refusal::kProviderBackoff)) << id;
    }
    ASSERT_NE(Stored(f), nullptr);
    EXPECT_EQ(Stored(f)->provider, "claude");
    EXPECT_EQ(Stored(f)->egress, "");
  }
}

TEST(EgressBackoff, DirectIsNoProxyForABreakerEither) {
  PoolFixture f;
  for (const char* id : {"a", "b", "c"}) f.Add(Through(id, "direct"));
  f.Add("d");
  Verdict unreachable;
  unreachable.outcome = Outcome::kNetwork;
  for (const char* id : {"a", "b", "c"}) {
    f.Pick(Pin(id));
    f.Report(f.last.grant, unreachable);
  }
  EXPECT_EQ(f.Pick(Pin("d")), Name(Refusal::kBreakerOpen)) << "it is the provider's";
}

TEST(EgressBackoff, IsStoredAndComesBackAfterARestart) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Pick();
  f.Report(f.last.grant, EgressWait(absl::Minutes(10)));
  const auto stored = Stored(f);
  ASSERT_NE(stored, nullptr);
  EXPECT_EQ(stored->egress, kProxy);
  EXPECT_EQ(stored->provider, "");

  PoolFixture again;
  again.now = f.now + absl::Minutes(1);
  again.Add(Through("a", kProxy));
  EXPECT_TRUE(again.pool->LoadBackoff(*stored, again.now));
  EXPECT_EQ(again.Pick(), Name(Refusal::kProviderBackoff));
  EXPECT_EQ(again.last.refusal.earliest, f.now + absl::Minutes(10));

  PoolFixture nobody;
  nobody.now = f.now;
  nobody.Add("b");
  EXPECT_FALSE(nobody.pool->LoadBackoff(*stored, nobody.now)) << "no credential goes through it";
  PoolFixture later;
  later.Add(Through("a", kProxy));
  later.now = f.now + absl::Minutes(10) + absl::Hours(24);
  EXPECT_FALSE(later.pool->LoadBackoff(*stored, later.now)) << "it is over";
}

TEST(Backoff, ThatASuccessEndsIsStoredAsOver) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 529);
  ASSERT_NE(Stored(f), nullptr);
  EXPECT_EQ(Stored(f)->record.cause, Cause::kOverloaded);
  f.Pass(absl::Minutes(1));
  f.effects.clear();
  f.Pick();
  f.ReportStatus(f.last.grant, 200);
  ASSERT_NE(Stored(f), nullptr);
  EXPECT_EQ(Stored(f)->provider, "claude");
  EXPECT_EQ(Stored(f)->model, "m");
  EXPECT_EQ(Stored(f)->record.cause, Cause::kNone);
}

TEST(Backoff, OfTheSixtyFifthModelOneIsStoredAsOver) {
  PoolFixture f;
  f.Add("a");
  Ask ask;
  std::vector<Grant> grants;
  for (int i = 0; i < kMaxModelScopes + 1; ++i) {
    ask.model = absl::StrCat("m", i);
    f.Pick(ask);
    grants.push_back(f.last.grant);
  }
  int over = 0;
  for (const Grant& grant : grants) f.ReportStatus(grant, 529);
  for (const Change& change : f.effects.changes) {
    over += change.kind == RecordKind::kBackoff && change.backoff->record.cause == Cause::kNone;
  }
  EXPECT_EQ(over, 1);
  EXPECT_EQ(f.pool->Stats(f.now).backoffs.size(), static_cast<size_t>(kMaxModelScopes));
}

TEST(Backoff, ADayAfterItItsLevelIsForgotten) {
  PoolFixture f;
  f.Add("a");
  const auto fail = [&f] {
    f.Pick();
    f.ReportStatus(f.last.grant, 529);
    return Stored(f)->record.level;
  };
  EXPECT_EQ(fail(), 1);
  f.Pass(absl::Hours(1));
  EXPECT_EQ(fail(), 2);
  f.Pass(absl::Hours(25));
  EXPECT_EQ(fail(), 1);
}

TEST(Statistics, ShowWhatHoldsBackAndWhatIsTried) {
  PoolFixture f;
  f.Add(Through("a", kProxy));
  f.Add("b");
  f.Pick(Pin("b"));
  f.ReportStatus(f.last.grant, 529);
  f.Pick(Pin("a"));
  PoolStats stats = f.pool->Stats(f.now);
  ASSERT_EQ(stats.backoffs.size(), 1u);
  EXPECT_EQ(stats.backoffs[0].provider, "claude");
  EXPECT_EQ(stats.backoffs[0].model, "m");
  EXPECT_EQ(stats.backoffs[0].cause, Cause::kOverloaded);
  EXPECT_GT(stats.backoffs[0].block_until, f.now);
  EXPECT_EQ(stats.providers.back().backoffs, 1u);
  EXPECT_EQ(stats.providers.back().backoffs_started, 1u);
  f.Pass(absl::Minutes(2));
  f.Pick(Pin("a"));
  f.Report(f.last.grant, EgressWait(absl::Minutes(1)));
  stats = f.pool->Stats(f.now);
  ASSERT_EQ(stats.backoffs.size(), 1u);
  EXPECT_EQ(stats.backoffs[0].egress, kProxy);
  EXPECT_EQ(stats.backoffs[0].provider, "");
  EXPECT_EQ(stats.egress_backoffs, 1u);
  EXPECT_EQ(stats.egress_breakers_open, 0u);
  EXPECT_EQ(stats.providers.back().backoffs_started, 1u) << "not the provider's";
}

TEST(Statistics, ShowAnOpenBreakerAndItsLevel) {
  PoolFixture f;
  Verdict unreachable;
  unreachable.outcome = Outcome::kNetwork;
  for (const char* id : {"a", "b", "c"}) {
    f.Add(id);
    f.Pick(Pin(id));
    f.Report(f.last.grant, unreachable);
  }
  PoolStats stats = f.pool->Stats(f.now);
  ASSERT_EQ(stats.breakers.size(), 1u);
  EXPECT_EQ(stats.breakers[0].provider, "claude");
  EXPECT_EQ(stats.breakers[0].open_until, f.now + absl::Seconds(10));
  EXPECT_EQ(stats.breakers[0].level, 1);
  EXPECT_FALSE(stats.providers.back().breaker_half_open);
  f.Pass(absl::Seconds(10));
  EXPECT_TRUE(f.pool->Stats(f.now).providers.back().breaker_half_open);
  f.Pick();
  f.Report(f.last.grant, unreachable);
  stats = f.pool->Stats(f.now);
  EXPECT_EQ(stats.breakers[0].open_until, f.now + absl::Seconds(20));
  EXPECT_EQ(stats.breakers[0].level, 2);
}

TEST(Statistics, CountReportsByWhatBecameOfThem) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  const Grant grant = f.last.grant;
  f.Report(grant, Success(), /*early=*/true);
  f.ReportStatus(grant, 200);
  f.ReportStatus(grant, 200);
  f.Pick();
  f.Release(f.last.grant);
  f.ReportStatus(f.last.grant, 200);
  const PoolStats stats = f.pool->Stats(f.now);
  const auto& reports = stats.groups[0].reports;
  for (const Disposition each :
       {Disposition::kNoted, Disposition::kAccepted, Disposition::kDuplicate, Disposition::kLate}) {
    EXPECT_EQ(reports[static_cast<size_t>(each)][static_cast<size_t>(Outcome::kSuccess)], 1u)
        << Name(each);
  }
}

TEST(Statistics, CountParkedCallsForTheProviderTheyName) {
  PoolFixture f;
  auto capped = PoolFixture::Doc("a");
  capped->max_in_flight = 1;
  f.Add(capped);
  f.Pick();
  Ask patient;
  patient.max_wait = absl::Seconds(30);
  EXPECT_EQ(f.Pick(patient), "parked");
  EXPECT_EQ(f.pool->Stats(f.now).groups[0].parked, 1u);
}

TEST(Statistics, CountProbesThatAreOut) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 7200);
  f.Pass(absl::Minutes(15));
  ASSERT_EQ(f.Pick(), "probe:a");
  const auto out = [&f] { return f.pool->Stats(f.now).providers.back().probes_out; };
  EXPECT_EQ(out(), 1u);
  EXPECT_GT(f.pool->Stats(f.now).providers.back().next_probe, f.now) << "its token is spent";
  f.ReportStatus(f.last.grant, 200);
  EXPECT_EQ(out(), 0u);
}

}  // namespace
}  // namespace credbroker::core
