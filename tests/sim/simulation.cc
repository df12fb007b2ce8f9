#include "tests/sim/simulation.h"

#include "tests/sim/run.h"

namespace credbroker::sim {

Outcome Run(const Plan& plan) {
  Outcome out;
#ifdef CREDBROKER_SEEDED_FAULTS
  core::SeededFaultOn() = plan.fault;
#endif
  try {
    Simulation simulation(plan);
    simulation.Run(&out);
  } catch (const std::exception& e) {
    out.ok = false;
    out.failure = e.what();
  }
  return out;
}

Plan FirstEvents(uint64_t seed, uint32_t count) {
  Plan plan;
  plan.seed = seed;
  for (uint32_t i = 1; i <= count; ++i) plan.events.push_back(i);
  return plan;
}

}  // namespace credbroker::sim
