#include "core/bitmap.h"

#include <set>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

std::optional<uint32_t> NaiveNext(const std::set<uint32_t>& set, uint64_t from) {
  if (from > UINT32_MAX) return std::nullopt;
  const auto found = set.lower_bound(static_cast<uint32_t>(from));
  return found == set.end() ? std::nullopt : std::optional(*found);
}

std::optional<uint32_t> NaiveNextCyclic(const std::set<uint32_t>& set,
                                        std::optional<uint32_t> after) {
  if (set.empty()) return std::nullopt;
  const auto next = NaiveNext(set, after.has_value() ? uint64_t{*after} + 1 : 0);
  return next.has_value() ? next : *set.begin();
}

TEST(SuccessorBitmap, WrapsAroundAndStandsAloneOnItsOnlyMember) {
  SuccessorBitmap bits;
  EXPECT_EQ(bits.NextCyclic(5), std::nullopt);
  bits.Set(70);
  EXPECT_EQ(bits.NextCyclic(std::nullopt), 70u);
  EXPECT_EQ(bits.NextCyclic(70), 70u);
  EXPECT_EQ(bits.NextCyclic(UINT32_MAX), 70u);
  EXPECT_EQ(bits.Next(71), std::nullopt);
}

TEST(SuccessorBitmap, KeepsItsMembersWhenItGrowsByLevels) {
  SuccessorBitmap bits;
  bits.Set(0);
  bits.Set(63);
  for (const uint32_t i : {64u, 4'095u, 4'096u, 262'143u, 262'144u, 20'000'000u}) {
    bits.Set(i);
    EXPECT_EQ(bits.Next(0), 0u);
    EXPECT_EQ(bits.Next(1), 63u);
    EXPECT_EQ(bits.NextCyclic(i), 0u);
    EXPECT_TRUE(bits.Test(i));
    EXPECT_FALSE(bits.Test(i + 1));
  }
  EXPECT_EQ(bits.Next(262'145), 20'000'000u);
  EXPECT_EQ(bits.count(), 8u);
  bits.Reset();
  EXPECT_TRUE(bits.empty());
  EXPECT_EQ(bits.Next(0), std::nullopt);
}

TEST(SuccessorBitmap, AsksEachMemberOnceWhenNoneIsAccepted) {
  SuccessorBitmap bits;
  for (const uint32_t i : {3u, 900u, 77u}) bits.Set(i);
  std::vector<uint32_t> asked;
  const auto found = bits.FindCyclic(77, [&](uint32_t i) {
    asked.push_back(i);
    return false;
  });
  EXPECT_EQ(found, std::nullopt);
  EXPECT_EQ(asked, (std::vector<uint32_t>{900, 3, 77}));
}

class BitmapSeed : public testing::TestWithParam<uint64_t> {};

TEST_P(BitmapSeed, AgreesWithASet) {
  Random random(GetParam());
  SuccessorBitmap bits;
  std::set<uint32_t> set;
  static constexpr uint64_t kSizes[] = {1, 63, 64, 65, 700, 4'096, 5'000, 300'000};
  const uint64_t size = kSizes[random.Below(8)];
  for (int step = 0; step < 20'000; ++step) {
    const auto i = static_cast<uint32_t>(random.Below(size));
    switch (random.Below(8)) {
      case 0:
      case 1:
      case 2:
        bits.Set(i);
        set.insert(i);
        break;
      case 3:
      case 4:
        bits.Clear(i);
        set.erase(i);
        break;
      case 5:
        // What is there, so that sets become empty now and then.
        if (const auto next = NaiveNextCyclic(set, i)) {
          bits.Clear(*next);
          set.erase(*next);
        }
        break;
      case 6:
        if (random.OneIn(100)) bits.Grow(static_cast<uint32_t>(random.Below(2 * size)));
        break;
      default:
        break;
    }
    ASSERT_EQ(bits.Test(i), set.contains(i));
    ASSERT_EQ(bits.Next(i), NaiveNext(set, i));
    ASSERT_EQ(bits.NextCyclic(i), NaiveNextCyclic(set, i));
    ASSERT_EQ(bits.NextCyclic(std::nullopt), NaiveNextCyclic(set, std::nullopt));
    ASSERT_EQ(bits.count(), set.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, BitmapSeed, testing::Range<uint64_t>(1, 25));

}  // namespace
}  // namespace credbroker::core
