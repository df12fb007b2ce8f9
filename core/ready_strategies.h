// The strategies behind ReadySet::Create. See ready_set.h for the contract.
#ifndef CREDBROKER_CORE_READY_STRATEGIES_H_
#define CREDBROKER_CORE_READY_STRATEGIES_H_

#include <memory>

#include "core/ready_set.h"

namespace credbroker::core {

// The successor of the cursor, in a circle.
std::unique_ptr<ReadySet> NewRoundRobin();

// Always the first.
std::unique_ptr<ReadySet> NewFillFirst();

// Shares in proportion to weights, exact over each period: stride scheduling. A member with weight
// <= 0 is not kept at all (Contains is false). Who is absent, or turned down again and again, earns
// at most one pick of credit.
std::unique_ptr<ReadySet> NewWeighted();

// Fewest calls in flight, then the longest without a grant, then the first.
std::unique_ptr<ReadySet> NewLeastInFlight();

// Members with headroom in a known window by the reset of that window, soonest first; then the
// unknown ones and then the exhausted ones, both round-robin with one cursor.
std::unique_ptr<ReadySet> NewEarliestReset();

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_READY_STRATEGIES_H_
