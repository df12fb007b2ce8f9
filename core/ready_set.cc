#include "core/ready_set.h"

#include "core/ready_strategies.h"

namespace credbroker::core {

std::optional<uint32_t> ReadySet::Upcoming() const { return std::nullopt; }
void ReadySet::Inherit(const ReadySet& /*other*/) {}

std::unique_ptr<ReadySet> ReadySet::Create(Strategy strategy) {
  switch (strategy) {
    case Strategy::kRoundRobin:
      return NewRoundRobin();
    case Strategy::kFillFirst:
      return NewFillFirst();
    case Strategy::kWeighted:
      return NewWeighted();
    case Strategy::kLeastInFlight:
      return NewLeastInFlight();
    case Strategy::kEarliestReset:
      return NewEarliestReset();
  }
  return NewRoundRobin();
}

}  // namespace credbroker::core
