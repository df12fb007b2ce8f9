// Calls that wait for the credential their session is bound to.
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

// A pool of "a" (one lease at a time) and "b" whose sessions do not spill, and a session bound to
// "a", which is busy.
class WaitsForItsOwn : public ::testing::Test {
 protected:
  static Settings Of(bool failback) {
    Settings settings = WithStrategy(Strategy::kRoundRobin);
    settings.groups[0].session_spill = false;
    settings.groups[0].failback = failback;
    return settings;
  }
  explicit WaitsForItsOwn(bool failback = false) : f(Of(failback)) {
    auto a = PoolFixture::Doc("a");
    a->max_in_flight = 1;
    f.Add(a);
    f.Add("b");
    ask.session = "s";
    EXPECT_EQ(f.Pick(ask), "a");
    held = f.last.grant;
  }
  // Whom the one woken call got, or the refusal.
  std::string Woken() {
    if (f.effects.woken.size() != 1) return absl::StrCat(f.effects.woken.size(), " woken");
    const AcquireReply& reply = f.effects.woken[0].reply;
    return reply.kind == AcquireReply::Kind::kGranted ? reply.grant.document->id.str()
                                                      : std::string(Name(reply.refusal.reason));
  }
  void Park(const std::string& session = "s") {
    Ask waiting = ask;
    waiting.session = session;
    waiting.max_wait = absl::Seconds(30);
    EXPECT_EQ(f.Pick(waiting), "parked");
    f.effects.clear();
  }
  PoolFixture f;
  Ask ask;
  Grant held;
};

TEST_F(WaitsForItsOwn, ABusyBindingRefusesOrParksTheCallWhereSpillingIsOff) {
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kBusy));
  EXPECT_GT(f.last.refusal.earliest, f.now);
  EXPECT_EQ(f.Explain(ask).refusal.reason, Refusal::kBusy);
  Ask other;
  EXPECT_EQ(f.Pick(other), "b") << "no session: no waiting";
  Ask excluding = ask;
  excluding.excluded = {"a"};
  EXPECT_EQ(f.Pick(excluding), "b") << "what the call itself rules out it need not wait for";
  Park();
  f.Release(held);
  EXPECT_EQ(Woken(), "a");
  EXPECT_FALSE(f.effects.woken[0].reply.grant.rebound);
  f.pool->CheckInvariants(f.now);
}

TEST_F(WaitsForItsOwn, WhatIsBlockedOrGoneHoldsNoCallBack) {
  Park();
  f.ReportStatus(f.last.grant = held, 429, 60);
  EXPECT_EQ(Woken(), "b");
  EXPECT_TRUE(f.effects.woken[0].reply.grant.rebound);
}

TEST_F(WaitsForItsOwn, ADeletedOneHoldsNoCallBack) {
  Park();
  f.Delete("a");
  EXPECT_EQ(Woken(), "b");
}

TEST_F(WaitsForItsOwn, OneThatWasMovedHoldsNoCallBack) {
  Park();
  f.Edit("a", [](Document& d) { d.group = "elsewhere"; });
  EXPECT_EQ(Woken(), "b");
}

TEST_F(WaitsForItsOwn, OneSessionHoldsNoOtherBack) {
  auto c = PoolFixture::Doc("c");
  c->max_in_flight = 1;
  f.Add(c);
  std::map<std::string, std::pair<std::string, Grant>> bound;  // credential -> its session
  for (const char* session : {"t", "u"}) {
    ask.session = session;
    const std::string id = f.Pick(ask);
    bound[id] = {session, f.last.grant};
  }
  ASSERT_EQ(bound.count("c"), 1u);
  Park("s");
  Park(bound["c"].first);
  f.Release(bound["c"].second);
  EXPECT_EQ(Woken(), "c");
}

TEST_F(WaitsForItsOwn, NewSettingsFreeThoseThatWait) {
  Park();
  f.pool->Configure(WithStrategy(Strategy::kRoundRobin), f.now, f.effects);
  EXPECT_EQ(Woken(), "b");
}

TEST_F(WaitsForItsOwn, NewSettingsMayMakeSessionsWait) {
  f.pool->Configure(WithStrategy(Strategy::kRoundRobin), f.now, f.effects);
  EXPECT_EQ(f.Pick(ask), "b");
  f.pool->Configure(Of(false), f.now, f.effects);
  EXPECT_EQ(f.Pick(ask), Name(Refusal::kBusy));
}

class WaitsUnlessFailback : public WaitsForItsOwn {
 protected:
  WaitsUnlessFailback() : WaitsForItsOwn(/*failback=*/true) {}
};

TEST_F(WaitsUnlessFailback, AHigherTierTakesTheSessionInsteadOfWaiting) {
  Park();
  auto high = PoolFixture::Doc("high");
  high->priority = 1;
  f.Add(high);
  EXPECT_EQ(Woken(), "high");
  EXPECT_TRUE(f.effects.woken[0].reply.grant.rebound);
}

}  // namespace
}  // namespace credbroker::core
