#include "core/wait_queue.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
constexpr GroupId kGroup(1);

ParkedCall Call(uint64_t id, uint32_t principal, uint64_t demand = 1, GroupId group = kGroup,
                absl::Time deadline = kNow + absl::Seconds(30)) {
  ParkedCall call{AcquireCommand()};
  call.id = WaiterId(id);
  call.group = group;
  call.principal = PrincipalId(principal);
  call.parked = kNow;
  call.deadline = deadline;
  call.demand = demand;
  return call;
}

bool Add(WaitQueue& queue, ParkedCall call) { return queue.Add(std::move(call), 1'000, 1'000); }

std::vector<uint64_t> ServeAll(WaitQueue& queue, GroupId group = kGroup) {
  std::vector<uint64_t> order;
  while (const auto id = queue.ServeOne(group, [](const ParkedCall&) { return true; })) {
    order.push_back(id->number());
  }
  return order;
}

std::vector<uint64_t> Listed(const WaitQueue& queue, GroupId group = kGroup) {
  std::vector<uint64_t> order;
  queue.ForEach(group, [&](const ParkedCall& call) { order.push_back(call.id.number()); });
  return order;
}

TEST(ParkedCall, OwnsItsTextAndKeepsItWhenMoved) {
  AcquireCommand back;
  std::optional<ParkedCall> moved;
  {
    const std::string text[] = {"principal", "group", "model(high)", "session", "pin", "request"};
    const std::vector<std::string> names = {"p1", "a-provider-with-a-long-name-indeed", "k", "v"};
    const std::vector<absl::string_view> providers = {names[0], names[1]};
    const std::vector<absl::string_view> excluded = {names[1]};
    const std::vector<std::pair<absl::string_view, absl::string_view>> labels = {
        {names[2], names[3]}};
    AcquireCommand command;
    command.principal = text[0];
    command.group = text[1];
    command.providers = providers;
    command.model = text[2];
    command.session_key = text[3];
    command.credential_id = text[4];
    command.excluded = excluded;
    command.kind = Kind::kOAuth;
    command.labels = labels;
    command.request_id = text[5];
    command.ttl = absl::Seconds(7);
    command.max_wait = absl::Seconds(8);
    command.allow_probe = false;
    ParkedCall call(command);
    EXPECT_EQ(call.demand, DemandOf(command));
    moved.emplace(std::move(call));
  }
  back = moved->View();
  EXPECT_EQ(back.principal, "principal");
  EXPECT_EQ(back.group, "group");
  ASSERT_EQ(back.providers.size(), 2u);
  EXPECT_EQ(back.providers[0], "p1");
  EXPECT_EQ(back.providers[1], "a-provider-with-a-long-name-indeed");
  EXPECT_EQ(back.model, "model(high)");
  EXPECT_EQ(back.session_key, "session");
  EXPECT_EQ(back.credential_id, "pin");
  ASSERT_EQ(back.excluded.size(), 1u);
  EXPECT_EQ(back.excluded[0], "a-provider-with-a-long-name-indeed");
  EXPECT_EQ(back.kind, Kind::kOAuth);
  ASSERT_EQ(back.labels.size(), 1u);
  EXPECT_EQ(back.labels[0].first, "k");
  EXPECT_EQ(back.labels[0].second, "v");
  EXPECT_EQ(back.request_id, "request");
  EXPECT_EQ(back.ttl, absl::Seconds(7));
  EXPECT_EQ(back.max_wait, absl::Seconds(8));
  EXPECT_FALSE(back.allow_probe);
}

TEST(DemandOf, TellsApartWhatDecidesWhoCanServe) {
  const std::vector<absl::string_view> a = {"a"}, ab = {"a", "b"}, joined = {"ab"};
  const std::vector<std::pair<absl::string_view, absl::string_view>> label = {{"a", "b"}};
  std::vector<AcquireCommand> commands(12);
  commands[1].group = "g";
  commands[2].providers = a;
  commands[3].providers = ab;
  commands[4].providers = joined;
  commands[5].model = "a";
  commands[6].credential_id = "a";
  commands[7].excluded = a;
  commands[8].kind = Kind::kOAuth;
  commands[9].labels = label;
  commands[10].allow_probe = false;
  commands[11].session_key = "a";  // one with a session probes later than one without
  std::set<uint64_t> demands;
  for (const AcquireCommand& command : commands) demands.insert(DemandOf(command));
  EXPECT_EQ(demands.size(), commands.size());
}

TEST(DemandOf, LeavesOutWhichSessionPrincipalAndModelSuffix) {
  AcquireCommand one, two;
  one.model = "m";
  one.session_key = "another";
  two.model = "m(high)";
  two.group = "default";
  two.session_key = "s";
  two.principal = "p";
  two.request_id = "r";
  two.ttl = absl::Seconds(1);
  EXPECT_EQ(DemandOf(one), DemandOf(two));
}

TEST(WaitQueue, LetsPrincipalsTakeTurnsEachOldestFirst) {
  WaitQueue queue;
  for (const uint64_t id : {1, 2, 3, 4}) Add(queue, Call(id, 100));
  for (const uint64_t id : {5, 6}) Add(queue, Call(id, 200));
  Add(queue, Call(7, 300));
  const std::vector<uint64_t> fair = {1, 5, 7, 2, 6, 3, 4};
  EXPECT_EQ(Listed(queue), fair);
  EXPECT_EQ(ServeAll(queue), fair);
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_TRUE(queue.groups().empty());
}

TEST(WaitQueue, KeepsTheTurnOfAPrincipalWhoCouldNotBeServed) {
  WaitQueue queue;
  Add(queue, Call(1, 100, 1));
  Add(queue, Call(2, 200, 2));
  Add(queue, Call(3, 200, 2));
  const auto serve_two = [](const ParkedCall& call) { return call.demand == 2; };
  EXPECT_EQ(queue.ServeOne(kGroup, serve_two), WaiterId(2));
  EXPECT_EQ(ServeAll(queue), (std::vector<uint64_t>{1, 3}));
}

TEST(WaitQueue, OffersEachDemandOnceAPass) {
  WaitQueue queue;
  for (uint64_t id = 1; id <= 900; ++id) {
    Add(queue, Call(id, static_cast<uint32_t>(id % 30), id % 30 / 10));
  }
  int offered = 0;
  EXPECT_EQ(queue.ServeOne(kGroup,
                           [&](const ParkedCall&) {
                             ++offered;
                             return false;
                           }),
            std::nullopt);
  EXPECT_EQ(offered, 3);
}

TEST(WaitQueue, KeepsGroupsApart) {
  WaitQueue queue;
  Add(queue, Call(1, 100, 1, GroupId(2)));
  Add(queue, Call(2, 100, 1, GroupId(1)));
  EXPECT_EQ(queue.groups(), (std::vector<GroupId>{GroupId(1), GroupId(2)}));
  EXPECT_EQ(queue.size(GroupId(1)), 1u);
  EXPECT_EQ(queue.size(GroupId(3)), 0u);
  EXPECT_EQ(ServeAll(queue, GroupId(2)), (std::vector<uint64_t>{1}));
  EXPECT_EQ(queue.size(), 1u);
}

TEST(WaitQueue, RefusesBeyondItsLimits) {
  WaitQueue queue;
  EXPECT_TRUE(queue.Add(Call(1, 100), 3, 2));
  EXPECT_TRUE(queue.Add(Call(2, 100, 1, GroupId(9)), 3, 2));
  EXPECT_FALSE(queue.Add(Call(3, 100), 3, 2));
  EXPECT_TRUE(queue.Add(Call(4, 200), 3, 2));
  EXPECT_FALSE(queue.Add(Call(5, 300), 3, 2));
  EXPECT_EQ(queue.Find(WaiterId(5)), nullptr);
  EXPECT_TRUE(queue.Remove(WaiterId(1)));
  EXPECT_FALSE(queue.Remove(WaiterId(1)));
  EXPECT_TRUE(queue.Add(Call(6, 100), 3, 2));
}

TEST(WaitQueue, PutsADuplicateInTheOldPlace) {
  WaitQueue queue;
  Add(queue, Call(1, 100));
  Add(queue, Call(2, 200));
  Add(queue, Call(3, 200, 5));
  EXPECT_TRUE(queue.Replace(WaiterId(1), Call(11, 100, 7)));  // the only one of its principal
  EXPECT_TRUE(queue.Replace(WaiterId(2), Call(12, 200)));
  EXPECT_FALSE(queue.Replace(WaiterId(2), Call(13, 200)));
  EXPECT_EQ(queue.Find(WaiterId(1)), nullptr);
  EXPECT_NE(queue.Find(WaiterId(11)), nullptr);
  EXPECT_EQ(ServeAll(queue), (std::vector<uint64_t>{11, 12, 3}));
  Add(queue, Call(20, 100));
  EXPECT_TRUE(queue.Replace(WaiterId(20), Call(21, 100, 1, GroupId(8))));
  EXPECT_EQ(queue.groups(), (std::vector<GroupId>{GroupId(8)}));
}

TEST(WaitQueue, ExpiresEarliestDeadlinesFirstWithinItsLimit) {
  WaitQueue queue;
  EXPECT_EQ(queue.NextDeadline(), absl::InfiniteFuture());
  for (const uint64_t id : {3, 1, 4, 2}) {
    Add(queue, Call(id, 100, 1, kGroup, kNow + absl::Seconds(id)));
  }
  EXPECT_EQ(queue.NextDeadline(), kNow + absl::Seconds(1));
  EXPECT_TRUE(queue.Expire(kNow, 10).empty());
  std::vector<ParkedCall> expired = queue.Expire(kNow + absl::Seconds(3), 2);
  ASSERT_EQ(expired.size(), 2u);
  EXPECT_EQ(expired[0].id, WaiterId(1));
  EXPECT_EQ(expired[1].id, WaiterId(2));
  EXPECT_EQ(queue.Expire(kNow + absl::Seconds(3), 2).size(), 1u);
  EXPECT_EQ(ServeAll(queue), (std::vector<uint64_t>{4}));
}

// The naive twin: a list of turns, each with a list of calls, searched from the front.
struct NaiveLane {
  struct Turn {
    uint32_t principal;
    std::vector<std::pair<uint64_t, uint64_t>> calls;  // id, demand
  };
  std::vector<Turn> turns;

  void Add(uint64_t id, uint32_t principal, uint64_t demand) {
    auto turn = std::find_if(turns.begin(), turns.end(),
                             [&](const Turn& t) { return t.principal == principal; });
    if (turn == turns.end()) turn = turns.insert(turns.end(), {principal, {}});
    turn->calls.emplace_back(id, demand);
  }
  void Remove(uint64_t id) {
    for (Turn& turn : turns) std::erase_if(turn.calls, [&](auto& c) { return c.first == id; });
    std::erase_if(turns, [](const Turn& turn) { return turn.calls.empty(); });
  }
  std::optional<uint64_t> Serve(const std::set<uint64_t>& servable) {
    for (size_t at = 0; at < turns.size(); ++at) {
      for (const auto& [id, demand] : turns[at].calls) {
        if (!servable.contains(demand)) continue;
        const uint64_t served = id;
        std::rotate(turns.begin() + static_cast<ptrdiff_t>(at),
                    turns.begin() + static_cast<ptrdiff_t>(at) + 1, turns.end());
        Remove(served);
        return served;
      }
    }
    return std::nullopt;
  }
};

class WaitQueueSeed : public testing::TestWithParam<uint64_t> {};

TEST_P(WaitQueueSeed, AgreesWithANaiveFairQueue) {
  Random random(GetParam());
  WaitQueue queue;
  std::map<uint32_t, NaiveLane> lanes;
  std::map<uint64_t, uint32_t> groups;  // of the parked ids
  uint64_t next_id = 1;
  int served = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto group = static_cast<uint32_t>(random.Below(2));
    const uint64_t what = random.Below(10);
    if (what < 5 && queue.size() < 200) {
      const uint64_t id = next_id++;
      const auto principal = static_cast<uint32_t>(random.Below(6));
      const uint64_t demand = random.Below(5);
      ASSERT_TRUE(Add(queue, Call(id, principal, demand, GroupId(group),
                                  kNow + absl::Seconds(random.Below(1'000)))));
      lanes[group].Add(id, principal, demand);
      groups[id] = group;
    } else if (what < 8) {
      std::set<uint64_t> servable;
      while (!random.OneIn(3)) servable.insert(random.Below(5));
      const auto got = queue.ServeOne(
          GroupId(group), [&](const ParkedCall& call) { return servable.contains(call.demand); });
      const auto expected = lanes[group].Serve(servable);
      ASSERT_EQ(got.has_value(), expected.has_value());
      if (got.has_value()) {
        ASSERT_EQ(got->number(), *expected);
        groups.erase(*expected);
        ++served;
      }
    } else if (what == 8 && !groups.empty()) {
      auto parked = groups.lower_bound(random.Below(next_id));
      if (parked == groups.end()) parked = groups.begin();
      ASSERT_TRUE(queue.Remove(WaiterId(parked->first)));
      lanes[parked->second].Remove(parked->first);
      groups.erase(parked);
    } else if (what == 9) {
      for (const ParkedCall& call : queue.Expire(kNow + absl::Seconds(random.Below(20)),
                                                 static_cast<int>(random.Below(3)))) {
        lanes[groups[call.id.number()]].Remove(call.id.number());
        groups.erase(call.id.number());
      }
    }
    ASSERT_EQ(queue.size(), groups.size());
    if (step % 50 == 0) {
      NaiveLane copy = lanes[group];
      std::vector<uint64_t> expected;
      while (const auto id = copy.Serve({0, 1, 2, 3, 4})) expected.push_back(*id);
      ASSERT_EQ(Listed(queue, GroupId(group)), expected);
    }
  }
  EXPECT_GT(served, 1'000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, WaitQueueSeed, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace credbroker::core
