#include "core/ready_set.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

bool Any(uint32_t) { return true; }

std::optional<uint32_t> Take(ReadySet& set, absl::Time now = kNow) {
  const std::optional<uint32_t> position = set.Pick(Any, now);
  if (position.has_value()) set.Granted(*position);
  return position;
}

std::map<uint32_t, int> Shares(ReadySet& set, int picks) {
  std::map<uint32_t, int> shares;
  for (int i = 0; i < picks; ++i) ++shares[Take(set).value_or(UINT32_MAX)];
  return shares;
}

MemberFacts Weight(int64_t weight) { return {.weight = weight}; }

class EveryStrategy : public testing::TestWithParam<Strategy> {};

TEST_P(EveryStrategy, PicksNobodyFromAnEmptySet) {
  const auto set = ReadySet::Create(GetParam());
  EXPECT_EQ(set->Pick(Any, kNow), std::nullopt);
  EXPECT_TRUE(set->empty());
  set->Erase(3);
  set->Update(3, {});
  EXPECT_FALSE(set->Contains(3));
}

TEST_P(EveryStrategy, TakesTheOnlyAdmissibleOneAndAsksEachOnce) {
  const auto set = ReadySet::Create(GetParam());
  for (const uint32_t position : {4u, 8u, 15u, 16u, 23u}) set->Insert(position, {});
  std::multiset<uint32_t> asked;
  EXPECT_EQ(set->Pick(
                [&](uint32_t position) {
                  asked.insert(position);
                  return position == 16;
                },
                kNow),
            16u);
  EXPECT_LE(asked.size(), 5u);
  asked.clear();
  EXPECT_EQ(set->Pick(
                [&](uint32_t position) {
                  asked.insert(position);
                  return false;
                },
                kNow),
            std::nullopt);
  EXPECT_EQ(asked, (std::multiset<uint32_t>{4, 8, 15, 16, 23}));
}

TEST_P(EveryStrategy, RepeatsAPickThatWasNotGranted) {
  const auto set = ReadySet::Create(GetParam());
  for (const uint32_t position : {4u, 8u, 15u}) set->Insert(position, {});
  Take(*set);
  const auto first = set->Pick(Any, kNow);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(set->Pick(Any, kNow), first);
}

// What is asked for early must be what is wanted, or it only costs.
TEST_P(EveryStrategy, KnowsThePickAfterTheNextOrSaysNothing) {
  const auto set = ReadySet::Create(GetParam());
  for (uint32_t position = 3; position < 400; position += 7) set->Insert(position, {});
  int known = 0;
  for (int i = 0; i < 200; ++i) {
    const std::optional<uint32_t> upcoming = set->Upcoming();
    Take(*set);
    if (!upcoming.has_value()) continue;
    ++known;
    EXPECT_EQ(set->Pick(Any, kNow), upcoming);
  }
  const bool goes_round =
      GetParam() != Strategy::kFillFirst && GetParam() != Strategy::kLeastInFlight;
  EXPECT_EQ(known, goes_round ? 200 : 0);
}

// Two sets of the same members: in one positions are relabelled now and then. Their picks must be
// of the same ids throughout.
TEST_P(EveryStrategy, PicksTheSameIdsWhateverTheRelabelling) {
  Random random(11);
  std::deque<std::string> ids;
  std::map<std::string, MemberFacts> members;
  IdOrder order;
  const auto set = ReadySet::Create(GetParam());
  const auto twin = ReadySet::Create(GetParam());
  // The twin's positions are fixed: texts of four digits as numbers.
  int relabellings = 0;
  for (int step = 0; step < 4'000; ++step) {
    const std::string id = random.Text("0123456789", 0) + std::to_string(1000 + random.Below(9000));
    const auto fixed = static_cast<uint32_t>(std::stoi(id));
    const MemberFacts facts = {.weight = 1 + static_cast<int64_t>(random.Below(9)),
                               .in_flight = static_cast<uint32_t>(random.Below(4)),
                               .last_grant = random.Below(50),
                               .reset_with_headroom = random.OneIn(2)
                                                          ? kNow + absl::Seconds(random.Below(900))
                                                          : absl::InfiniteFuture(),
                               .exhausted = random.OneIn(5)};
    if (!members.contains(id)) {
      const IdOrder::Placed placed = order.Insert(ids.emplace_back(id), Slot(fixed));
      if (placed.relabelled) {
        ++relabellings;
        set->Relabel(order);
      }
      set->Insert(placed.position, facts);
      twin->Insert(fixed, facts);
      members[id] = facts;
    } else if (random.OneIn(2)) {
      set->Update(order.PositionOf(id), facts);
      twin->Update(fixed, facts);
    } else {
      set->Erase(order.PositionOf(id));
      twin->Erase(fixed);
      order.Erase(id);
      members.erase(id);
    }
    const absl::Time now = kNow + absl::Milliseconds(100 * step);
    for (int i = 0; i < 2; ++i) {
      const auto position = set->Pick(Any, now);
      const auto expected = twin->Pick(Any, now);
      ASSERT_EQ(position.has_value(), expected.has_value());
      if (!position.has_value()) continue;
      ASSERT_EQ(order.SlotAt(*position), Slot(*expected)) << step;
      set->Granted(*position);
      twin->Granted(*expected);
    }
    ASSERT_EQ(set->size(), members.size());
  }
  EXPECT_GT(relabellings, 5);
}

INSTANTIATE_TEST_SUITE_P(Strategies, EveryStrategy,
                         testing::Values(Strategy::kRoundRobin, Strategy::kFillFirst,
                                         Strategy::kWeighted, Strategy::kLeastInFlight,
                                         Strategy::kEarliestReset));

TEST(FillFirst, StaysWithTheFirstAdmissible) {
  const auto set = ReadySet::Create(Strategy::kFillFirst);
  for (const uint32_t position : {9u, 2u, 5u}) set->Insert(position, {});
  EXPECT_EQ(Take(*set), 2u);
  EXPECT_EQ(Take(*set), 2u);
  set->Erase(2);
  EXPECT_EQ(Take(*set), 5u);
}

TEST(RoundRobin, NeitherSkipsNorRepeatsWhenMembersComeAndGo) {
  Random random(3);
  const auto set = ReadySet::Create(Strategy::kRoundRobin);
  std::set<uint32_t> members;
  std::optional<uint32_t> cursor;
  for (int step = 0; step < 50'000; ++step) {
    const auto position = static_cast<uint32_t>(random.Below(60));
    if (random.OneIn(3)) {
      if (members.insert(position).second) set->Insert(position, {});
    } else if (random.OneIn(3)) {
      members.erase(position);
      set->Erase(position);
    }
    // The naive successor.
    std::optional<uint32_t> expected;
    if (!members.empty()) {
      const auto next = cursor.has_value() ? members.upper_bound(*cursor) : members.begin();
      expected = next == members.end() ? *members.begin() : *next;
    }
    ASSERT_EQ(Take(*set), expected);
    if (expected.has_value()) cursor = expected;
  }
}

TEST(RoundRobin, InheritsTheCursor) {
  const auto before = ReadySet::Create(Strategy::kRoundRobin);
  const auto after = ReadySet::Create(Strategy::kRoundRobin);
  for (const uint32_t position : {1u, 2u, 3u}) {
    before->Insert(position, {});
    after->Insert(position, {});
  }
  Take(*before);
  Take(*before);
  after->Inherit(*before);
  EXPECT_EQ(Take(*after), 3u);
  after->Inherit(*ReadySet::Create(Strategy::kWeighted));  // another strategy: nothing to take
  EXPECT_EQ(Take(*after), 1u);
}

TEST(Weighted, SharesFiveThreeTwoExactly) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  set->Insert(10, Weight(5));
  set->Insert(20, Weight(3));
  set->Insert(30, Weight(2));
  for (int round = 0; round < 1'000; ++round) {
    ASSERT_EQ(Shares(*set, 100), (std::map<uint32_t, int>{{10, 50}, {20, 30}, {30, 20}}));
  }
}

TEST(Weighted, SharesExactlyForAnyWeights) {
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    const auto set = ReadySet::Create(Strategy::kWeighted);
    std::map<uint32_t, int> expected;
    int total = 0;
    for (uint32_t position = 0; position < 1 + random.Below(12); ++position) {
      const int weight = 1 + static_cast<int>(random.Below(round % 2 ? 1'000 : 20));
      set->Insert(position, Weight(weight));
      expected[position] = 3 * weight;
      total += weight;
    }
    ASSERT_EQ(Shares(*set, 3 * total), expected);
  }
}

TEST(Weighted, NeverKeepsAMemberWithoutWeight) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  set->Insert(1, Weight(0));
  set->Insert(2, Weight(-5));
  set->Insert(3, Weight(1));
  EXPECT_EQ(set->size(), 1u);
  EXPECT_FALSE(set->Contains(1));
  EXPECT_EQ(Shares(*set, 10), (std::map<uint32_t, int>{{3, 10}}));
  set->Update(3, Weight(0));
  EXPECT_EQ(Take(*set), std::nullopt);
}

TEST(Weighted, GivesNoCreditForAbsence) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  for (const uint32_t position : {1u, 2u}) set->Insert(position, Weight(1));
  Shares(*set, 10);
  set->Erase(1);
  Shares(*set, 1'000);
  set->Insert(1, Weight(1));
  set->Insert(3, Weight(1));
  // The one that stayed has paid for the pick under way; the others start at it.
  for (const auto& [position, picks] : Shares(*set, 30)) EXPECT_NEAR(picks, 10, 1) << position;
}

TEST(Weighted, RemembersTheDebtOfAnAbsentMember) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  set->Insert(1, Weight(1));
  set->Insert(2, Weight(9));
  EXPECT_EQ(Take(*set), 1u);
  // Out and in again at once: it must not be the first again.
  for (int i = 0; i < 9; ++i) {
    set->Erase(1);
    set->Insert(1, Weight(1));
    EXPECT_EQ(Take(*set), 2u);
  }
  EXPECT_EQ(Take(*set), 1u);
}

TEST(Weighted, GivesOnePickOfCreditToThoseTurnedDown) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  for (const uint32_t position : {1u, 2u}) set->Insert(position, Weight(1));
  for (int i = 0; i < 1'000; ++i) {
    const auto picked = set->Pick([](uint32_t position) { return position != 1; }, kNow);
    ASSERT_EQ(picked, 2u);
    set->Granted(2);
  }
  const std::map<uint32_t, int> shares = Shares(*set, 20);
  EXPECT_GE(shares.at(1), 10);
  EXPECT_LE(shares.at(1), 11);
}

TEST(Weighted, KeepsTheTurnOfAMemberThatIsExcludedNowAndThen) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  for (const uint32_t position : {1u, 2u, 3u, 4u}) set->Insert(position, Weight(1));
  std::map<uint32_t, int> shares;
  for (int i = 0; i < 4'000; ++i) {
    const uint32_t excluded = i % 8 == 0 ? 1 : 0;
    const auto picked = set->Pick([&](uint32_t position) { return position != excluded; }, kNow);
    set->Granted(*picked);
    ++shares[*picked];
  }
  EXPECT_NEAR(shares[1], 1'000, 1);
}

TEST(Weighted, ScalesTheRestOfAStrideWithTheWeight) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  set->Insert(1, Weight(1));
  set->Insert(2, Weight(8));
  EXPECT_EQ(Take(*set), 1u);  // waits for eight of the other
  set->Update(1, Weight(2));  // now for four
  EXPECT_EQ(Shares(*set, 4), (std::map<uint32_t, int>{{2, 4}}));
  EXPECT_EQ(Take(*set), 1u);
}

TEST(Weighted, InheritsShares) {
  const auto before = ReadySet::Create(Strategy::kWeighted);
  const auto after = ReadySet::Create(Strategy::kWeighted);
  for (const auto& set : {before.get(), after.get()}) {
    set->Insert(1, Weight(1));
    set->Insert(2, Weight(4));
  }
  EXPECT_EQ(Take(*before), 1u);
  after->Inherit(*before);
  EXPECT_EQ(Shares(*after, 4), (std::map<uint32_t, int>{{2, 4}}));
}

TEST(Weighted, CapsWeightsAtAMillion) {
  const auto set = ReadySet::Create(Strategy::kWeighted);
  set->Insert(1, Weight(INT64_MAX));
  set->Insert(2, Weight(1'000'000));
  EXPECT_EQ(Shares(*set, 10), (std::map<uint32_t, int>{{1, 5}, {2, 5}}));
}

TEST(LeastInFlight, OrdersByLoadThenByLatestGrantThenByPosition) {
  const auto set = ReadySet::Create(Strategy::kLeastInFlight);
  set->Insert(1, {.in_flight = 1, .last_grant = 1});
  set->Insert(2, {.in_flight = 0, .last_grant = 9});
  set->Insert(3, {.in_flight = 0, .last_grant = 4});
  set->Insert(4, {.in_flight = 0, .last_grant = 4});
  std::vector<uint32_t> order;
  while (const auto position = Take(*set)) {
    order.push_back(*position);
    set->Erase(*position);
  }
  EXPECT_EQ(order, (std::vector<uint32_t>{3, 4, 2, 1}));
}

TEST(LeastInFlight, AgreesWithASort) {
  Random random(9);
  const auto set = ReadySet::Create(Strategy::kLeastInFlight);
  std::map<uint32_t, MemberFacts> members;
  for (int step = 0; step < 20'000; ++step) {
    const auto position = static_cast<uint32_t>(random.Below(40));
    const MemberFacts facts = {.in_flight = static_cast<uint32_t>(random.Below(3)),
                               .last_grant = random.Below(5) << (random.OneIn(2) ? 0 : 40)};
    if (!members.contains(position)) {
      set->Insert(position, facts);
      members[position] = facts;
    } else if (random.OneIn(3)) {
      set->Erase(position);
      members.erase(position);
    } else {
      set->Update(position, facts);
      members[position] = facts;
    }
    const auto least = std::min_element(members.begin(), members.end(), [](auto& a, auto& b) {
      return std::tie(a.second.in_flight, a.second.last_grant, a.first) <
             std::tie(b.second.in_flight, b.second.last_grant, b.first);
    });
    ASSERT_EQ(set->Pick(Any, kNow),
              least == members.end() ? std::nullopt : std::optional(least->first));
  }
}

TEST(EarliestReset, SpendsWhatResetsFirstThenUnknownThenExhausted) {
  const auto set = ReadySet::Create(Strategy::kEarliestReset);
  set->Insert(1, {.exhausted = true});
  set->Insert(2, {});
  set->Insert(3, {.reset_with_headroom = kNow + absl::Hours(2)});
  set->Insert(4, {.reset_with_headroom = kNow + absl::Hours(1)});
  set->Insert(5, {.reset_with_headroom = kNow + absl::Minutes(1), .exhausted = true});
  EXPECT_EQ(Take(*set), 4u);
  EXPECT_EQ(Take(*set), 4u);
  set->Erase(4);
  EXPECT_EQ(Take(*set), 3u);
  set->Erase(3);
  EXPECT_EQ(Take(*set), 2u);
  set->Erase(2);
  EXPECT_EQ(Take(*set), 5u);  // behind the cursor
  EXPECT_EQ(Take(*set), 1u);
  EXPECT_EQ(Take(*set), 5u);
}

TEST(EarliestReset, ForgetsAWindowWhoseResetIsPast) {
  const auto set = ReadySet::Create(Strategy::kEarliestReset);
  set->Insert(1, {.reset_with_headroom = kNow + absl::Seconds(10)});
  set->Insert(2, {.reset_with_headroom = kNow + absl::Seconds(20)});
  set->Insert(3, {});
  EXPECT_EQ(Take(*set, kNow + absl::Nanoseconds(9'999'999'999)), 1u);
  EXPECT_EQ(Take(*set, kNow + absl::Seconds(10)), 2u);
  EXPECT_EQ(Take(*set, kNow + absl::Seconds(20)), 1u);  // all unknown: round-robin
  EXPECT_EQ(Take(*set, kNow + absl::Seconds(20)), 2u);
  EXPECT_EQ(Take(*set, kNow + absl::Seconds(20)), 3u);
  EXPECT_EQ(Take(*set, kNow + absl::Seconds(20)), 1u);
  set->Update(2, {.reset_with_headroom = kNow + absl::Hours(1)});
  EXPECT_EQ(Take(*set, kNow + absl::Seconds(20)), 2u);
  EXPECT_EQ(set->size(), 3u);
}

}  // namespace
}  // namespace credbroker::core
