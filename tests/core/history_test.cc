// The packed history beside a plain list of the same lines.
#include "core/history.h"

#include <cstdint>
#include <deque>
#include <random>

#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

void ExpectSame(const Transition& a, const Transition& b) {
  EXPECT_EQ(a.at_ms, b.at_ms);
  EXPECT_EQ(a.until_ms, b.until_ms);
  EXPECT_EQ(a.number, b.number);
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.actor, b.actor);
  EXPECT_EQ(a.from, b.from);
  EXPECT_EQ(a.to, b.to);
  EXPECT_EQ(a.why, b.why);
  EXPECT_EQ(a.cause, b.cause);
}

TEST(History, KeepsTheNewestEightLinesWhateverTheyHold) {
  std::mt19937_64 random(7);
  // Of any size: from 0 to all bits.
  const auto number = [&] { return random() >> random() % 64; };
  for (int round = 0; round < 200; ++round) {
    History history;
    history.set_number(number() >> 9);
    std::deque<Transition> plain;
    for (int i = 0; i < 20; ++i) {
      Transition line;
      line.at_ms = static_cast<int64_t>(number() >> 2) - (1 << 20);
      if (random() % 2 == 0) line.until_ms = line.at_ms + static_cast<int64_t>(number() >> 3) - 99;
      line.model = ModelId(static_cast<uint32_t>(number()));
      line.actor = PrincipalId(static_cast<uint32_t>(number()));
      line.from = static_cast<State>(random() % kStateCount);
      line.to = static_cast<State>(random() % kStateCount);
      line.why = static_cast<Why>(random() % kWhyCount);
      line.cause = static_cast<Cause>(random() % kCauseCount);
      ModelId dropped;
      const uint64_t before = history.number();
      line = history.Push(line, &dropped);
      EXPECT_EQ(line.number, before + 1);
      plain.push_back(line);
      if (plain.size() > History::kLines) {
        EXPECT_EQ(dropped, plain.front().model);
        plain.pop_front();
      } else {
        EXPECT_EQ(dropped, kNoModel);
      }
      ExpectSame(history.Newest(), plain.back());
      auto want = plain.rbegin();
      history.ForEachNewestFirst([&](const Transition& kept) { ExpectSame(kept, *want++); });
      EXPECT_EQ(want, plain.rend());
    }
  }
}

TEST(History, IsEmptyAtFirst) {
  const History history;
  EXPECT_TRUE(history.empty());
  history.ForEachNewestFirst([](const Transition&) { FAIL(); });
}

}  // namespace
}  // namespace credbroker::core
