// Sessions after a restart: what is adopted, and what waits for that.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace credbroker::core {
namespace {

using testing::Ask;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::SessionFixture;

TEST(Adoption, TakesASlotAndIsRefusedAboveTheCap) {
  SessionFixture f;
  const Uid a = f.Add(SessionFixture::Capped("a", 2));
  const SessionId session = f.Open();
  EXPECT_EQ(f.Adopt(session, a), AdoptResult::kAdopted);
  EXPECT_EQ(f.adopted.granted, f.now - absl::Seconds(10));
  EXPECT_EQ(f.adopted.expires, f.now + absl::Seconds(60));
  EXPECT_EQ(f.Adopt(session, a), AdoptResult::kAdopted);
  EXPECT_EQ(f.Adopt(session, a), AdoptResult::kOverCap);
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy));
  EXPECT_EQ(f.InFlight("a"), 2u);
  EXPECT_EQ(f.Stats().leases_adopted, 2u);
  EXPECT_EQ(f.Stats().adoptions_refused, 1u);
  EXPECT_EQ(f.ReportIn(f.leases[0], 200).disposition, Disposition::kAccepted);
  EXPECT_EQ(f.Pick(), "a");
  f.Check();
}

TEST(Adoption, MindsACapPerModel) {
  SessionFixture f;
  const Uid a = f.Add(SessionFixture::Capped("a", 0, 1));
  const SessionId session = f.Open();
  EXPECT_EQ(f.Adopt(session, a, "m1"), AdoptResult::kAdopted);
  EXPECT_EQ(f.Adopt(session, a, "m1"), AdoptResult::kOverCap);
  EXPECT_EQ(f.Adopt(session, a, "m2"), AdoptResult::kAdopted);
  EXPECT_EQ(f.PickIn(session, "m1"), Name(Refusal::kBusy));
  EXPECT_TRUE(f.Release(f.leases[0]));
  EXPECT_EQ(f.PickIn(session, "m1"), "a");
  f.Check();
}

TEST(Adoption, IsRefusedWhereNothingIsLeftToAdopt) {
  SessionFixture f;
  const Uid a = f.Add("a"), b = f.Add("b"), c = f.Add(SessionFixture::Doc("c"), false);
  const SessionId session = f.Open();
  EXPECT_EQ(f.Adopt(kNoSession, a), AdoptResult::kNotOpen);
  EXPECT_EQ(f.Adopt(session, c), AdoptResult::kNotFound);
  EXPECT_EQ(f.Adopt(session, Uid(99)), AdoptResult::kNotFound);
  EXPECT_EQ(f.Adopt(session, a, "m", absl::Seconds(10), absl::ZeroDuration()),
            AdoptResult::kExpired);
  EXPECT_EQ(f.Adopt(session, a, "m", absl::Minutes(60), absl::Seconds(60)), AdoptResult::kExpired)
      << "no lease lives longer than an hour";
  f.SetIntent("b", false);
  EXPECT_EQ(f.Adopt(session, b), AdoptResult::kDisabled);
  f.pool->DetachSession(session, f.now + absl::Seconds(9), f.now);
  EXPECT_EQ(f.Adopt(session, a), AdoptResult::kNotOpen);
  EXPECT_TRUE(f.Held(session).empty());
  f.Check();
}

TEST(Adoption, OfALeaseOfAWaitingCredentialIsFine) {
  SessionFixture f;
  const Uid a = f.Add("a");
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 600);
  EXPECT_EQ(f.Adopt(f.Open(), a), AdoptResult::kAdopted);
}

// Rule 3: what began after the grant is not cleared, what began before is.
TEST(Adoption, CountsAsGrantedWhenItWas) {
  SessionFixture f;
  const Uid a = f.Add("a");
  f.Add("b");
  const SessionId session = f.Open();
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 600);
  f.Pass(absl::Seconds(5));
  EXPECT_EQ(f.Adopt(session, a, "m", absl::Seconds(10)), AdoptResult::kAdopted);
  f.ReportIn(f.leases.back(), 200);
  EXPECT_EQ(f.StateName("a"), Name(State::kWaiting)) << "granted before the failure";
  EXPECT_EQ(f.Adopt(session, a, "m", absl::Seconds(1)), AdoptResult::kAdopted);
  f.ReportIn(f.leases.back(), 200);
  EXPECT_EQ(f.StateName("a"), Name(State::kAvailable));
}

class ResumeOnly : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(ResumeOnly, GivesCappedOnesToAdoptionAlone) {
  SessionFixture f({}, absl::Seconds(30));
  const Uid a = f.Add(SessionFixture::Capped("a", GetParam().first, GetParam().second));
  const SessionId session = f.Open();
  EXPECT_EQ(f.Pick(), Name(Refusal::kResumeOnly));
  EXPECT_EQ(f.last.refusal.earliest, f.now + absl::Seconds(30));
  EXPECT_EQ(f.PickIn(session), Name(Refusal::kResumeOnly));
  Ask pin;
  pin.pin = "a";
  EXPECT_EQ(f.Pick(pin), Name(Refusal::kResumeOnly));
  EXPECT_EQ(f.Adopt(session, a), AdoptResult::kAdopted);
  EXPECT_EQ(f.PickIn(session, "m", absl::Seconds(60)), "parked");
  f.Check();
  f.Pass(absl::Seconds(29));
  EXPECT_TRUE(f.effects.woken.empty());
  EXPECT_TRUE(f.Release(f.leases[0]));
  EXPECT_TRUE(f.effects.woken.empty()) << "others may still come back";
  f.Pass(absl::Seconds(1));
  ASSERT_EQ(f.effects.woken.size(), 1u);
  EXPECT_EQ(f.effects.woken[0].reply.kind, AcquireReply::Kind::kGranted);
  EXPECT_EQ(f.Pick(), Name(Refusal::kBusy));
  f.Check();
}

INSTANTIATE_TEST_SUITE_P(Cap, ResumeOnly,
                         ::testing::Values(std::make_pair(1, 0), std::make_pair(0, 1)));

TEST(Adoption, WaitLeavesUncappedOnesAlone) {
  SessionFixture f({}, absl::Seconds(30));
  f.Add(SessionFixture::Capped("a", 5));
  f.Add("b");
  const SessionId session = f.Open();
  EXPECT_EQ(f.Pick(), "b");
  EXPECT_THAT(f.Stock(session, 2), ElementsAre("b", "b"));
}

}  // namespace
}  // namespace credbroker::core
