#include "core/affinity.h"

#include <map>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
constexpr absl::Duration kTtl = absl::Minutes(10);

TEST(AffinityTable, BindsOnlyWhenTheVersionIsTheExpectedOne) {
  AffinityTable table(10);
  const uint64_t first = table.CompareAndSet("s", 0, Slot(1), Uid(11), kTtl, kNow);
  EXPECT_NE(first, 0u);
  EXPECT_EQ(table.CompareAndSet("s", 0, Slot(2), Uid(22), kTtl, kNow), 0u);
  const uint64_t second = table.CompareAndSet("s", first, Slot(3), Uid(33), kTtl, kNow);
  EXPECT_GT(second, first);
  EXPECT_EQ(table.CompareAndSet("s", first, Slot(4), Uid(44), kTtl, kNow), 0u);
  const auto binding = table.Find("s", kNow);
  ASSERT_TRUE(binding.has_value());
  EXPECT_EQ(binding->slot, Slot(3));
  EXPECT_EQ(binding->uid, Uid(33));
  EXPECT_EQ(binding->version, second);
}

TEST(AffinityTable, RenewsTheIdleClockOnFindButNotOnPeek) {
  AffinityTable table(10);
  table.CompareAndSet("s", 0, Slot(1), Uid(1), kTtl, kNow);
  EXPECT_TRUE(table.Find("s", kNow + 0.9 * kTtl).has_value());
  EXPECT_TRUE(table.Peek("s", kNow + 1.8 * kTtl).has_value());
  EXPECT_FALSE(table.Peek("s", kNow + 1.9 * kTtl).has_value());
  EXPECT_FALSE(table.Find("s", kNow + 1.9 * kTtl).has_value());
  EXPECT_EQ(table.size(), 0u);
}

TEST(AffinityTable, TreatsAnIdleBindingAsNone) {
  AffinityTable table(10);
  const uint64_t old = table.CompareAndSet("s", 0, Slot(1), Uid(1), kTtl, kNow);
  EXPECT_EQ(table.CompareAndSet("s", old, Slot(2), Uid(2), kTtl, kNow + kTtl), 0u);
  EXPECT_NE(table.CompareAndSet("s", 0, Slot(2), Uid(2), kTtl, kNow + kTtl), 0u);
}

TEST(AffinityTable, EvictsTheLeastRecentlyUsedOverAllTtls) {
  AffinityTable table(3);
  table.CompareAndSet("a", 0, Slot(1), Uid(1), absl::Hours(1), kNow);
  table.CompareAndSet("b", 0, Slot(1), Uid(1), absl::Minutes(1), kNow);
  table.CompareAndSet("c", 0, Slot(1), Uid(1), absl::Hours(1), kNow);
  table.Find("a", kNow);
  table.CompareAndSet("d", 0, Slot(1), Uid(1), absl::Hours(1), kNow);
  EXPECT_FALSE(table.Peek("b", kNow).has_value());
  EXPECT_EQ(table.evictions(), 1u);
  table.set_max_bindings(1);
  EXPECT_TRUE(table.Peek("d", kNow).has_value());
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.evictions(), 3u);
  table.set_max_bindings(0);
  EXPECT_EQ(table.size(), 0u);
}

TEST(AffinityTable, SweepsIdleOnesBehindLiveOnesWithinItsLimit) {
  AffinityTable table(100);
  table.CompareAndSet("long", 0, Slot(1), Uid(1), absl::Hours(9), kNow);
  for (const char* key : {"1", "2", "3", "4", "5"}) {
    table.CompareAndSet(key, 0, Slot(1), Uid(1), absl::Minutes(1), kNow);
  }
  EXPECT_EQ(table.Sweep(kNow, 10), 0);
  EXPECT_EQ(table.Sweep(kNow + absl::Minutes(1), 3), 3);
  EXPECT_EQ(table.Sweep(kNow + absl::Minutes(1), 3), 2);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.Sweep(kNow + absl::Hours(9), 3), 1);
  EXPECT_EQ(table.Sweep(kNow + absl::Hours(9), 3), 0);
}

// The naive twin keeps (use number, idle until) per key and searches.
TEST(AffinityTable, AgreesWithANaiveTable) {
  struct Row {
    uint64_t version, used;
    Uid uid;
    absl::Time idle_until;
    absl::Duration ttl;
  };
  Random random(21);
  AffinityTable table(20);
  std::map<std::string, Row> rows;
  uint64_t uses = 0;
  absl::Time now = kNow;
  for (int step = 0; step < 50'000; ++step) {
    now += absl::Seconds(random.Below(8));
    const std::string key = std::to_string(random.Below(40));
    const auto row = rows.find(key);
    const bool live = row != rows.end() && row->second.idle_until > now;
    if (random.OneIn(2)) {
      const auto found = table.Find(key, now);
      ASSERT_EQ(found.has_value(), live);
      if (live) {
        ASSERT_EQ(found->version, row->second.version);
        ASSERT_EQ(found->uid, row->second.uid);
        row->second.used = ++uses;
        row->second.idle_until = now + row->second.ttl;
      } else if (row != rows.end()) {
        rows.erase(row);
      }
    } else if (random.OneIn(10)) {
      const int swept = table.Sweep(now, 1'000);
      ASSERT_EQ(static_cast<size_t>(swept),
                std::erase_if(rows, [&](auto& r) { return r.second.idle_until <= now; }));
    } else {
      const uint64_t expected = random.OneIn(4) ? random.Below(50) : live ? row->second.version : 0;
      const absl::Duration ttl = absl::Seconds(random.OneIn(2) ? 30 : 200);
      const Uid uid(random.Next());
      const uint64_t version = table.CompareAndSet(key, expected, Slot(1), uid, ttl, now);
      ASSERT_EQ(version != 0, expected == (live ? row->second.version : 0));
      if (version == 0) continue;
      rows[key] = {version, ++uses, uid, now + ttl, ttl};
      if (rows.size() > 20) {
        rows.erase(std::min_element(rows.begin(), rows.end(), [](auto& a, auto& b) {
          return a.second.used < b.second.used;
        }));
      }
    }
    ASSERT_EQ(table.size(), rows.size());
  }
  EXPECT_GT(table.evictions(), 100u);
}

}  // namespace
}  // namespace credbroker::core
