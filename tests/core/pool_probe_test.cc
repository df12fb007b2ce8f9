// Many credentials that come back at once: the probe budget holds and nobody else notices.
#include <algorithm>
#include <climits>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::core {
namespace {

using testing::PoolFixture;

constexpr int kRecovering = 5'000;
constexpr int kCallsASecond = 100;
constexpr int kMostAMinute = 30;

// `healthy` credentials that stay open, after kRecovering others that failed within one second with
// a long hint: all of those come half-open within one second.
class Recovering {
 public:
  explicit Recovering(int healthy) {
    for (int i = 0; i < kRecovering + healthy; ++i) f.Add(absl::StrFormat("c-%05d", i));
    for (int i = 0; i < kRecovering; ++i) {
      f.now += absl::Seconds(1) / kRecovering;
      EXPECT_EQ(f.Pick(), absl::StrFormat("c-%05d", i));
      f.ReportStatus(f.last.grant, 429, 3600);
    }
    const absl::Time begin = f.now;
    EXPECT_EQ(HalfOpen(), 0u);
    f.AdvanceTo(begin + absl::Minutes(15) - absl::Seconds(1) - absl::Milliseconds(1));
    EXPECT_EQ(HalfOpen(), 0u);
    f.AdvanceTo(begin + absl::Minutes(15));
    EXPECT_EQ(HalfOpen(), static_cast<uint64_t>(kRecovering));
  }

  uint64_t HalfOpen() {
    uint64_t half_open = 0;
    for (const GroupProviderStats& stats : f.pool->Stats(f.now).groups) {
      half_open += stats.half_open;
    }
    return half_open;
  }

  // A minute of calls. Probes get no verdict, so that none of them opens anything.
  void Minute() {
    for (int i = 0; i < 60 * kCallsASecond; ++i) {
      f.AdvanceTo(f.now + absl::Seconds(1) / kCallsASecond);
      const std::string id = f.Pick();
      if (f.last.kind != AcquireReply::Kind::kGranted) {
        ++refused;
      } else if (f.last.grant.probe) {
        probed.insert(f.last.grant.document->id);
        ++probes;
      } else {
        ++granted[id];
        f.ReportStatus(f.last.grant, 200);
      }
    }
  }

  PoolFixture f;
  std::map<std::string, int> granted;
  std::set<std::string> probed;
  int probes = 0, refused = 0;
};

TEST(ProbeBudget, FiveThousandRecoveringInOneSecondMoveNoCallBesides) {
  constexpr int kHealthy = 1'000;
  Recovering fleet(kHealthy);
  fleet.Minute();
  // One from the full bucket, then one percent of the calls of the last minute, of which there were
  // none at first: 30 s of rising to the limit, and 30 s at it.
  EXPECT_LE(fleet.probes, 1 + kMostAMinute / 4 + kMostAMinute / 2 + 1);
  const int first = fleet.probes;
  fleet.Minute();
  EXPECT_LE(fleet.probes - first, kMostAMinute + 1);
  EXPECT_GE(fleet.probes - first, kMostAMinute - 1) << "they are tried though others are open";
  EXPECT_EQ(fleet.probed.size(), static_cast<size_t>(fleet.probes)) << "each another one";
  EXPECT_EQ(fleet.refused, 0);
  // Everybody else got a healthy one, each of them as often as every other.
  int calls = 0, least = INT_MAX, most = 0;
  for (const auto& [id, count] : fleet.granted) {
    EXPECT_GE(id, absl::StrFormat("c-%05d", kRecovering));
    calls += count;
    least = std::min(least, count);
    most = std::max(most, count);
  }
  EXPECT_EQ(fleet.granted.size(), static_cast<size_t>(kHealthy));
  EXPECT_EQ(calls, 2 * 60 * kCallsASecond - fleet.probes);
  EXPECT_LE(most - least, 1);
}

TEST(ProbeBudget, FiveThousandRecoveringWithNothingElseOpenAreTriedThirtyAMinute) {
  Recovering fleet(0);
  fleet.Minute();
  EXPECT_LE(fleet.probes, kMostAMinute + 1);
  EXPECT_GE(fleet.probes, kMostAMinute - 1);
  EXPECT_EQ(fleet.refused, 60 * kCallsASecond - fleet.probes);
}

}  // namespace
}  // namespace credbroker::core
