#include "core/id_order.h"

#include <deque>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

// The ids live as long as the test; IdOrder only borrows them.
class Ids {
 public:
  absl::string_view Keep(std::string id) { return ids_.emplace_back(std::move(id)); }

 private:
  std::deque<std::string> ids_;
};

TEST(IdOrder, OrdersBytesAsUnsigned) {
  IdOrder order;
  order.Insert("\xc3\xa9", Slot(1));
  order.Insert("z", Slot(2));
  order.Insert("", Slot(3));
  EXPECT_LT(order.PositionOf(""), order.PositionOf("z"));
  EXPECT_LT(order.PositionOf("z"), order.PositionOf("\xc3\xa9"));
}

TEST(IdOrder, GivesAFormerMemberItsOldPosition) {
  IdOrder order;
  order.Insert("a", Slot(1));
  const uint32_t position = order.Insert("b", Slot(2)).position;
  order.Insert("c", Slot(3));
  order.Erase("b");
  EXPECT_EQ(order.SlotAt(position), kNoSlot);
  EXPECT_EQ(order.size(), 2u);
  // Neither takes the place of the former one, so a cursor there stays between them.
  EXPECT_LT(order.Insert("ab", Slot(4)).position, position);
  EXPECT_GT(order.Insert("bb", Slot(5)).position, position);
  EXPECT_EQ(order.Insert("b", Slot(6)).position, position);
}

struct RunCase {
  const char* name;
  std::string (*id)(int number);
};

class IdOrderRun : public testing::TestWithParam<RunCase> {};

// Without care each halving of a gap would be a relabelling of everything.
TEST_P(IdOrderRun, RelabelsRarelyForSortedRunsInTheMiddle) {
  Ids ids;
  IdOrder order;
  for (int i = 0; i < 2'000; ++i) order.Insert(ids.Keep(absl::StrFormat("a%06d", i)), Slot(1));
  for (int i = 0; i < 2'000; ++i) order.Insert(ids.Keep(absl::StrFormat("z%06d", i)), Slot(1));
  uint64_t moves = 0;
  for (int i = 0; i < 20'000; ++i) {
    const IdOrder::Placed placed = order.Insert(ids.Keep(GetParam().id(i)), Slot(1));
    if (placed.relabelled) moves += order.size();
  }
  EXPECT_LT(moves, 100 * order.size());
  // Gaps widen for ids that fall into many of them at once.
  const std::string name = GetParam().name;
  const size_t most = name == "Unpadded" || name == "Random" ? 20 : 10;
  EXPECT_LT(order.limit(), most * order.size());
}

INSTANTIATE_TEST_SUITE_P(
    Runs, IdOrderRun,
    testing::Values(
        RunCase{"Ascending", [](int i) { return absl::StrFormat("m%06d", i); }},
        RunCase{"Descending", [](int i) { return absl::StrFormat("m%06d", 999999 - i); }},
        RunCase{"BeforeAll", [](int i) { return absl::StrFormat("A%06d", 999999 - i); }},
        RunCase{"BehindAll", [](int i) { return absl::StrFormat("~%06d", i); }},
        RunCase{"TwoInTurn", [](int i) { return absl::StrFormat("%c%06d", i % 2 ? 'm' : 'p', i); }},
        RunCase{"Unpadded", [](int i) { return absl::StrFormat("m-%d", i); }},
        RunCase{"Random",
                [](int i) {
                  return absl::StrFormat("%016x", Random(static_cast<uint64_t>(i)).Next());
                }}),
    [](const testing::TestParamInfo<RunCase>& row) { return row.param.name; });

TEST(IdOrder, ClosesTheGapsOfThoseWhoLeft) {
  Ids ids;
  IdOrder order;
  std::deque<absl::string_view> members;
  for (int i = 0; i < 100'000; ++i) {
    members.push_back(ids.Keep(absl::StrFormat("%08d", i)));
    order.Insert(members.back(), Slot(1));
    if (members.size() > 10) {
      order.Erase(members.front());
      members.pop_front();
    }
  }
  EXPECT_LT(order.limit(), 100'000u);
}

class IdOrderSeed : public testing::TestWithParam<uint64_t> {};

// The naive twin is a sorted map; cursors are checked by what follows them.
TEST_P(IdOrderSeed, KeepsPositionsInIdOrderAndCursorsInPlace) {
  Random random(GetParam());
  Ids ids;
  IdOrder order;
  std::map<std::string, uint32_t> slots;      // id -> slot number
  std::map<std::string, uint32_t> positions;  // id -> position
  std::optional<uint32_t> cursor;
  std::string cursor_id;
  const uint64_t length = 1 + random.Below(4);
  for (uint32_t step = 1; step < 3'000; ++step) {
    const std::string id = random.Text("abcdef", length);
    if (!slots.contains(id)) {
      const IdOrder::Placed placed = order.Insert(ids.Keep(id), Slot(step));
      if (placed.relabelled) {
        for (auto& [member, position] : positions) {
          ASSERT_EQ(order.moved()[position], order.PositionOf(member));
          ASSERT_EQ(order.NewCursor(position), order.PositionOf(member));
          position = order.PositionOf(member);
        }
        cursor = order.NewCursor(cursor);
      } else {
        ASSERT_TRUE(order.moved().empty());
      }
      slots[id] = step;
      positions[id] = placed.position;
    } else if (random.OneIn(2)) {
      order.Erase(id);
      slots.erase(id);
      positions.erase(id);
    } else {
      cursor = order.PositionOf(id);
      cursor_id = id;
    }
    ASSERT_EQ(order.size(), slots.size());
    std::optional<uint32_t> last;
    for (const auto& [member, position] : positions) {
      if (last.has_value()) {
        ASSERT_LT(*last, position) << member;
      }
      last = position;
      ASSERT_EQ(order.PositionOf(member), position);
      ASSERT_EQ(order.SlotAt(position), Slot(slots[member]));
      ASSERT_LT(position, order.limit());
      if (cursor.has_value()) {
        ASSERT_EQ(position > *cursor, member > cursor_id) << member;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, IdOrderSeed, testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace credbroker::core
