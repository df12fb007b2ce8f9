// Deliberate mistakes in the core, each of which the simulation (or a scenario here) must find. A
// mistake that survives means that a promise is not tested.
#include <cstdio>
#include <map>
#include <string>

#include "core/fault.h"
#include "gtest/gtest.h"
#include "tests/sim/simulation.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::sim {
namespace {

// A member that was away gets no more than its share when it is back.
bool AbsenceEarnsNothing() {
  core::Settings settings;
  settings.groups.push_back({.name = "default", .strategy = core::Strategy::kWeighted});
  testing::PoolFixture f(settings);
  f.Add("a");
  f.Add("b");
  for (int i = 0; i < 4; ++i) f.Release((f.Pick(), f.last.grant));
  f.SetIntent("b", false);
  for (int i = 0; i < 100; ++i) f.Release((f.Pick(), f.last.grant));
  f.SetIntent("b", true);
  int b = 0;
  for (int i = 0; i < 20; ++i) {
    b += f.Pick() == "b" ? 1 : 0;
    f.Release(f.last.grant);
  }
  return b <= 11;
}

// Calls of one principal do not come before the first of another.
bool PrincipalsTakeTurns() {
  testing::PoolFixture f;
  auto document = testing::PoolFixture::Doc("a");
  document->max_in_flight = 1;
  f.Add(document);
  f.Pick();
  const core::Grant held = f.last.grant;
  testing::Ask ask;
  ask.max_wait = absl::Seconds(30);
  for (const char* principal : {"p1", "p1", "p2"}) {
    ask.principal = principal;
    f.Pick(ask);
  }
  f.effects.clear();
  f.Release(held);
  const core::Grant first = f.effects.woken.at(0).reply.grant;
  f.effects.clear();
  f.Release(first);
  return f.effects.woken.at(0).waiter == core::WaiterId(3);
}

// Where nothing is fully open, a good probe makes the next one come sooner.
bool AGoodProbeHastensTheNext() {
  testing::PoolFixture f;
  for (const char* id : {"a", "b", "c", "d"}) f.Add(id);
  for (int i = 0; i < 4; ++i) {
    f.Pick();
    f.ReportStatus(f.last.grant, 429, 7 * 86'400);
  }
  f.Pass(absl::Minutes(15));
  f.Pick();
  f.ReportStatus(f.last.grant, 200);
  f.Pick();
  f.ReportStatus(f.last.grant, 429, 7 * 86'400);
  f.Pass(absl::Milliseconds(1100));
  return f.Pick().starts_with("probe:");
}

struct Scenario {
  const char* name;
  bool (*holds)();
};

// What seeds meet too seldom, or what the model leaves open.
const std::map<std::string, Scenario>& Scenarios() {
  static const auto* const all = new std::map<std::string, Scenario>{
      {"weighted_credit", {"AbsenceEarnsNothing", AbsenceEarnsNothing}},
      {"waiter_overtaken", {"PrincipalsTakeTurns", PrincipalsTakeTurns}},
      {"budget_not_raised", {"AGoodProbeHastensTheNext", AGoodProbeHastensTheNext}},
  };
  return *all;
}

class FaultBank : public ::testing::TestWithParam<const char*> {};

TEST_P(FaultBank, IsFoundOut) {
  const std::string fault = GetParam();
  if (const auto it = Scenarios().find(fault); it != Scenarios().end()) {
    core::SeededFaultOn() = "";
    ASSERT_TRUE(it->second.holds());
    core::SeededFaultOn() = fault;
    const bool holds = it->second.holds();
    core::SeededFaultOn() = "";
    EXPECT_FALSE(holds) << fault << " survives " << it->second.name;
    std::printf("fault | %-24s | scenario %s\n", fault.c_str(), it->second.name);
    return;
  }
  uint64_t events = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Plan plan = FirstEvents(seed, 600);
    plan.fault = fault;
    const Outcome out = RunApart(plan);
    events += out.events;
    if (out.ok) continue;
    std::string why = out.failure;
    for (char& c : why) c = c == '\n' ? ' ' : c;
    std::printf("fault | %-24s | killed by seed %llu: %.90s | after %llu events\n", fault.c_str(),
                static_cast<unsigned long long>(seed), why.c_str(),
                static_cast<unsigned long long>(events));
    // The same run without the mistake is fine, so it was the mistake that was found.
    plan.fault.clear();
    EXPECT_TRUE(RunApart(plan).ok);
    return;
  }
  ADD_FAILURE() << fault << " survives " << events << " events";
}

INSTANTIATE_TEST_SUITE_P(
    Every, FaultBank,
    ::testing::Values("cap_off_by_one", "cap_ignored", "clears_newer", "shortens_deadline",
                      "level_per_report", "half_open_not_exclusive", "probe_unlimited",
                      "budget_not_raised", "stale_accepted", "foreign_accepted", "benches_last",
                      "breaker_never_opens", "breaker_keeps_marks", "waiter_overtaken",
                      "waiter_lost_on_cancel", "expired_keeps_slot", "session_moves_when_busy",
                      "session_spills_always", "principal_unlimited", "reset_clears_reauth",
                      "enable_clears_policy", "weighted_credit", "timer_lost", "model_hits_whole",
                      "old_epoch_accepted", "round_robin_stands", "lost_session_keeps_slots",
                      "adoption_above_cap", "stock_of_capped", "stock_of_lower_tier",
                      "stock_probes", "covers_too_low", "foreign_session_accepted",
                      "cap_keeps_stock", "forgotten_counts_again", "disable_tells_once"),
    [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace credbroker::sim
