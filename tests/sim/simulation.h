// A seeded run of the pool in virtual time beside the naive model. Every choice is a hash of (seed,
// event number, purpose), so that leaving an event out changes no other: a failing run shrinks to a
// short list of event numbers, which is kept under tests/sim/kept and replayed for ever.
#ifndef CREDBROKER_TESTS_SIM_SIMULATION_H_
#define CREDBROKER_TESTS_SIM_SIMULATION_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace credbroker::sim {

struct Plan {
  uint64_t seed = 1;
  std::vector<uint32_t> events;  // ascending
  std::string fault;             // a seeded one; only in builds that have them
  bool explain = false;          // describe each event in Outcome::story
};

struct Outcome {
  bool ok = true;
  std::string failure;
  uint64_t events = 0;  // done, the failing one included
  uint64_t hash = 0;    // of everything that was answered
  std::string story;
  std::map<std::string, uint64_t> seen;  // coverage: "refusal cooling" -> times
};

// In this process: a violated CB_CHECK aborts it.
Outcome Run(const Plan& plan);
// In a child process, so that an abort or a hang is an outcome too.
Outcome RunApart(const Plan& plan);
// The same failure with as few events as some hundred tries can find.
Plan Shrink(const Plan& failing, int tries);

// "seed 7\nevents 1 2 3\n", with lines that begin with # left out.
std::string ToText(const Plan& plan);
Plan FromText(const std::string& text);
Plan FirstEvents(uint64_t seed, uint32_t count);

}  // namespace credbroker::sim

#endif  // CREDBROKER_TESTS_SIM_SIMULATION_H_
