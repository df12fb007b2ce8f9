// The simulation over many seeds. CREDBROKER_SIM_EVENTS: how many events in all;
// CREDBROKER_SIM_SEED: the first seed. A failing run prints its shortest form, which belongs into
// kept/ as a file.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/sim/simulation.h"

namespace credbroker::sim {
namespace {

constexpr uint32_t kEventsEach = 1500;

uint64_t Number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string Story(const Plan& failing) {
  Plan small = Shrink(failing, 400);
  small.explain = true;
  const Outcome out = RunApart(small);
  return out.story + out.failure + "\nKeep this as tests/sim/kept/NAME.txt:\n" + ToText(small);
}

// What a run over the seeds must have met at least once.
const std::set<std::string>& Wanted() {
  static const auto* const wanted = new std::set<std::string>{
#include "tests/sim/wanted.inc"
  };
  return *wanted;
}

TEST(Simulation, ThePoolDoesWhatTheNaiveModelPermits) {
  const uint64_t total = Number("CREDBROKER_SIM_EVENTS", 300'000);
  uint64_t seed = Number("CREDBROKER_SIM_SEED", 1), done = 0;
  std::map<std::string, uint64_t> seen;
  const auto start = std::chrono::steady_clock::now();
  for (; done < total; ++seed) {
    const Plan plan = FirstEvents(seed, kEventsEach);
    const Outcome out = RunApart(plan);
    ASSERT_TRUE(out.ok) << "seed " << seed << ", event " << out.events << ": " << out.failure
                        << "\n"
                        << Story(plan);
    done += out.events;
    for (const auto& [what, times] : out.seen) seen[what] += times;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << done << " events, "
            << static_cast<uint64_t>(static_cast<double>(done) / took.count()) << " a second\n";
  if (total < 300'000) return;
  std::string missed;
  for (const std::string& what : Wanted()) {
    if (!seen.contains(what)) missed += what + "\n";
  }
  EXPECT_EQ(missed, "") << "never happened in " << done << " events";
}

TEST(Simulation, EverySeedRunsTwiceToTheSameHash) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Plan plan = FirstEvents(seed, 400);
    const Outcome one = RunApart(plan), two = RunApart(plan);
    EXPECT_EQ(one.hash, two.hash) << "seed " << seed;
    EXPECT_NE(one.hash, 0u);
  }
}

TEST(Simulation, LeavingAnEventOutChangesNoOtherChoice) {
  Plan plan = FirstEvents(3, 40);
  plan.explain = true;
  const std::string all = RunApart(plan).story;
  plan.events.pop_back();
  EXPECT_EQ(RunApart(plan).story.substr(0, 200), all.substr(0, 200));
}

TEST(Simulation, FailuresOfThePastDoNotComeBack) {
  const std::filesystem::path folder = std::string(CREDBROKER_TESTS_DIR) + "/sim/kept";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    const Plan plan = FromText(text.str());
    ASSERT_FALSE(plan.events.empty()) << entry.path();
    const Outcome out = RunApart(plan);
    EXPECT_TRUE(out.ok) << entry.path() << ": " << out.failure;
  }
}

}  // namespace
}  // namespace credbroker::sim
