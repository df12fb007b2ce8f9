#include "core/breaker.h"

#include <map>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// `bad` and then `good` credentials report once each; whether the breaker opened.
bool Opens(int bad, int good) {
  Breaker breaker;
  std::vector<BreakerMember> members(static_cast<size_t>(bad + good));
  for (int i = 0; i < good; ++i) breaker.Report(members[static_cast<size_t>(bad + i)], false, kNow);
  bool opened = false;
  for (int i = 0; i < bad; ++i)
    opened |= breaker.Report(members[static_cast<size_t>(i)], true, kNow);
  EXPECT_EQ(opened, !breaker.closed());
  return opened;
}

Breaker Opened(absl::Time now) {
  Breaker breaker;
  std::vector<BreakerMember> members(3);
  for (BreakerMember& member : members) breaker.Report(member, true, now);
  EXPECT_FALSE(breaker.closed());
  return breaker;
}

TEST(Breaker, NeedsThreeCredentialsAndHalfOfThoseReporting) {
  static constexpr struct {
    int bad, good;
    bool opens;
  } kCases[] = {{2, 0, false}, {3, 0, true},    {3, 3, true},        {3, 4, false},
                {4, 4, true},  {49, 50, false}, {1'000, 1'000, true}};
  for (const auto& row : kCases) EXPECT_EQ(Opens(row.bad, row.good), row.opens) << row.bad;
}

TEST(Breaker, CountsACredentialOnceHoweverOftenItFails) {
  Breaker breaker;
  std::vector<BreakerMember> members(2);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(breaker.Report(members[i % 2], true, kNow + absl::Milliseconds(50 * i)));
  }
}

TEST(Breaker, ForgetsReportsAfterTenWholeSeconds) {
  for (const bool late : {false, true}) {
    Breaker breaker;
    std::vector<BreakerMember> members(3);
    breaker.Report(members[0], true, kNow + absl::Milliseconds(999));
    breaker.Report(members[1], true, kNow + absl::Seconds(3));
    const absl::Time third = kNow + (late ? absl::Seconds(10) : absl::Milliseconds(9'999));
    EXPECT_EQ(breaker.Report(members[2], true, third), !late);
  }
}

TEST(Breaker, OpensTenSecondsThenDoublesToFiveMinutes) {
  Breaker breaker = Opened(kNow);
  absl::Time now = kNow;
  uint64_t lease = 1;
  for (const int seconds : {10, 20, 40, 80, 160, 300, 300}) {
    EXPECT_EQ(breaker.StateAt(now), Breaker::State::kOpen);
    EXPECT_EQ(breaker.probe_at(), now + absl::Seconds(seconds));
    now += absl::Seconds(seconds);
    EXPECT_FALSE(breaker.TryProbe(LeaseSeq(lease), now - absl::Nanoseconds(1)));
    EXPECT_TRUE(breaker.TryProbe(LeaseSeq(lease), now));
    EXPECT_EQ(breaker.probe(), LeaseSeq(lease));
    EXPECT_FALSE(breaker.CanProbe(now));
    EXPECT_FALSE(breaker.TryProbe(LeaseSeq(++lease), now));
    EXPECT_EQ(breaker.StateAt(now), Breaker::State::kProbing);
    breaker.ProbeFailed(now);
  }
  EXPECT_EQ(breaker.times_opened(), 1u);
}

TEST(Breaker, WaitsTheSameSpanAfterAnInconclusiveProbe) {
  Breaker breaker = Opened(kNow);
  absl::Time now = kNow + absl::Seconds(15);
  EXPECT_TRUE(breaker.TryProbe(LeaseSeq(1), now));
  breaker.ProbeInconclusive(now);
  EXPECT_EQ(breaker.probe(), kNoLease);
  EXPECT_EQ(breaker.probe_at(), now + absl::Seconds(10));
}

TEST(Breaker, StartsAfreshAfterASuccessfulProbe) {
  Breaker breaker;
  std::vector<BreakerMember> members(3);
  for (BreakerMember& member : members) breaker.Report(member, true, kNow);
  const absl::Time later = kNow + absl::Seconds(10);
  // Reports of calls that were under way count, but open nothing that is open.
  EXPECT_FALSE(breaker.Report(members[0], true, later));
  EXPECT_FALSE(breaker.Report(members[1], true, later));
  EXPECT_TRUE(breaker.TryProbe(LeaseSeq(1), later));
  breaker.ProbeSucceeded(later);
  EXPECT_TRUE(breaker.closed());
  EXPECT_EQ(breaker.StateAt(later), Breaker::State::kClosed);
  // In the same second: the marks of before are forgotten, each must fail anew.
  EXPECT_FALSE(breaker.Report(members[0], true, later));
  EXPECT_FALSE(breaker.Report(members[0], true, later));
  EXPECT_FALSE(breaker.Report(members[1], true, later));
  EXPECT_TRUE(breaker.Report(members[2], true, later));
  EXPECT_EQ(breaker.probe_at(), later + absl::Seconds(10));
  EXPECT_EQ(breaker.times_opened(), 2u);
}

class BreakerSeed : public testing::TestWithParam<uint64_t> {};

// The naive twin keeps every report and counts distinct credentials over whole seconds.
TEST_P(BreakerSeed, AgreesWithANaiveWindow) {
  struct Report {
    int64_t second;
    size_t credential;
    bool bad;
  };
  Random random(GetParam());
  const size_t credentials = 3 + random.Below(20);
  const uint64_t bad_in = 1 + random.Below(6);
  std::vector<BreakerMember> members(credentials);
  std::vector<Report> reports;
  Breaker breaker;
  // Around the epoch, where seconds change their sign, and now.
  absl::Time now = GetParam() % 2 ? kNow : absl::FromUnixSeconds(-50);
  int opened = 0;
  for (int step = 0; step < 20'000; ++step) {
    now += absl::Milliseconds(random.Below(random.OneIn(100) ? 15'000 : 600));
    const int64_t second = absl::ToUnixSeconds(now);
    const size_t credential = random.Below(credentials);
    const bool bad = random.OneIn(bad_in);
    reports.push_back({second, credential, bad});
    std::erase_if(reports, [&](const Report& r) { return r.second <= second - 10; });
    std::map<size_t, bool> distinct;
    for (const Report& r : reports) distinct[r.credential] |= r.bad;
    size_t failing = 0;
    for (const auto& [id, is_bad] : distinct) failing += is_bad;
    const bool expected = bad && breaker.closed() && failing >= 3 && 2 * failing >= distinct.size();
    ASSERT_EQ(breaker.Report(members[credential], bad, now), expected) << step;
    opened += expected;
    if (!breaker.closed() && breaker.TryProbe(LeaseSeq(1), now)) {
      if (random.OneIn(2)) {
        breaker.ProbeSucceeded(now);
        reports.clear();
      } else {
        breaker.ProbeFailed(now);
      }
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_EQ(breaker.times_opened(), static_cast<uint64_t>(opened));
}

INSTANTIATE_TEST_SUITE_P(Seeds, BreakerSeed, testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace credbroker::core
