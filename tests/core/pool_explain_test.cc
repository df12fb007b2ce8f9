// Explain says what Acquire would do, and why, without doing it.
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using testing::PoolFixture;

TEST(Explain, NamesTheSessionsCredentialAndWhoStandsBackForIt) {
  PoolFixture f;
  for (const char* id : {"a", "b"}) f.Add(id);
  Ask ask;
  ask.session = "s";
  EXPECT_EQ(f.Explain(ask).bound, "");
  ASSERT_EQ(f.Pick(ask), "a");
  const Explanation answer = f.Explain(ask);
  EXPECT_EQ(answer.bound, "a");
  EXPECT_EQ(answer.would_choose, "a");
  EXPECT_EQ(answer.candidates[0].candidacy, Candidacy::kChosen);
  EXPECT_EQ(answer.candidates[1].candidacy, Candidacy::kBoundElsewhere);
  f.SetIntent("a", false);
  const Explanation moved = f.Explain(ask);
  EXPECT_EQ(moved.would_choose, "b");
  EXPECT_EQ(moved.bound, "a") << "until somebody acquires";
}

TEST(Explain, SaysThatASessionWaitsForItsBusyCredential) {
  Settings settings;
  settings.groups.emplace_back();
  settings.groups.back().name = "default";
  settings.groups.back().session_spill = false;
  PoolFixture f(settings);
  for (const char* id : {"a", "b"}) {
    auto document = PoolFixture::Doc(id);
    document->max_in_flight = 1;
    f.Add(document);
  }
  Ask ask;
  ask.session = "s";
  ASSERT_EQ(f.Pick(ask), "a");
  const Explanation answer = f.Explain(ask);
  EXPECT_EQ(answer.would, AcquireReply::Kind::kRefused);
  EXPECT_EQ(answer.refusal.reason, Refusal::kBusy);
  EXPECT_EQ(answer.candidates[0].candidacy, Candidacy::kBusy);
  EXPECT_EQ(answer.candidates[1].candidacy, Candidacy::kBoundElsewhere);
}

TEST(Explain, CountsTheKeyAlsoWhereItWouldGrant) {
  PoolFixture f;
  for (const char* id : {"a", "b", "c"}) f.Add(id);
  f.SetIntent("a", false);
  const Explanation answer = f.Explain({});
  EXPECT_EQ(answer.would, AcquireReply::Kind::kGranted);
  EXPECT_EQ(answer.strategy, Strategy::kRoundRobin);
  EXPECT_EQ(answer.refusal.members, 3u);
  EXPECT_EQ(answer.refusal.counts[static_cast<size_t>(Cause::kOperator)], 1u);
}

TEST(Explain, ShowsTheStateForTheModelAskedFor) {
  PoolFixture f;
  f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 404);
  Ask ask;
  EXPECT_EQ(f.Explain(ask).candidates[0].state, State::kWaiting);
  EXPECT_EQ(f.Explain(ask).candidates[0].candidacy, Candidacy::kModelWaiting);
  ask.model = "other";
  EXPECT_EQ(f.Explain(ask).candidates[0].state, State::kAvailable);
  ask.excluded = {"a"};
  ask.model = "m";
  EXPECT_EQ(f.Explain(ask).candidates[0].state, State::kWaiting)
      << "whatever else speaks against it";
}

}  // namespace
}  // namespace credbroker::core
