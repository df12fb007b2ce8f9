// Priority and stock: which tier stock is drawn from.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace credbroker::core {
namespace {

using ::testing::ElementsAre;
using testing::SessionFixture;

class TierOfStock : public ::testing::TestWithParam<Strategy> {};

TEST_P(TierOfStock, IsTheOneThatACallWouldBeServedFrom) {
  Settings settings;
  settings.groups.push_back({.name = "default", .strategy = GetParam()});
  SessionFixture f(settings);
  auto high = SessionFixture::Capped("a", 1);
  high->priority = 5;
  f.Add(high);
  f.Add("b");
  const SessionId session = f.Open();
  EXPECT_THAT(f.Stock(session, 2), ElementsAre(Name(Refusal::kNotForStock)))
      << "it would be handed out ahead of a";
  EXPECT_EQ(f.PickIn(session), "a");
  const SessionLease held = f.leases.back();
  EXPECT_THAT(f.Stock(session, 2), ElementsAre("b", "b")) << "a is busy: a call would get b too";
  EXPECT_TRUE(f.Release(held));
  EXPECT_THAT(f.Stock(session, 2), ElementsAre(Name(Refusal::kNotForStock)));
  EXPECT_EQ(f.PickIn(session), "a");
  f.ReportIn(f.leases.back(), 429, 600);
  EXPECT_THAT(f.Stock(session, 1), ElementsAre("b")) << "a waits";
  auto free = SessionFixture::Doc("c");
  free->priority = 5;
  f.Add(free);
  f.Reset("a");
  EXPECT_THAT(f.Stock(session, 2), ElementsAre("c", "c")) << "beside a, not below it";
  f.Check();
}

INSTANTIATE_TEST_SUITE_P(Every, TierOfStock,
                         ::testing::Values(Strategy::kRoundRobin, Strategy::kFillFirst,
                                           Strategy::kWeighted, Strategy::kLeastInFlight,
                                           Strategy::kEarliestReset));

TEST(TierOfStock, IsNotHeldBackByACappedOneThatACallCouldNotHave) {
  SessionFixture f;
  auto high = SessionFixture::Capped("a", 5);
  high->priority = 5;
  high->models = {"other"};
  f.Add(high);
  f.Add("b");
  const SessionId session = f.Open();
  EXPECT_THAT(f.Stock(session, 1), ElementsAre("b")) << "a does not serve the model";
  f.Edit("a", [](Document& d) { d.models = {}; });
  EXPECT_THAT(f.Stock(session, 1), ElementsAre(Name(Refusal::kNotForStock)));
  EXPECT_EQ(f.PickIn(session), "a");
  f.ReportIn(f.leases.back(), 404);
  EXPECT_THAT(f.Stock(session, 1), ElementsAre("b")) << "the model waits on a";
  EXPECT_THAT(f.Stock(session, 1, "m2"), ElementsAre(Name(Refusal::kNotForStock)));
  f.Check();
}

}  // namespace
}  // namespace credbroker::core
