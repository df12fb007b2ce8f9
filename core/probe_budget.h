// How many half-open credentials of a provider may be tried: a bucket of one token. It refills at
// min(30/min, max(1/min, 1 % of the Acquire calls of the last 60 s)); for a key that has no fully open
// credential ("dry") at 30/min, doubling with each probe success up to 480/min and back to 30/min on a
// failed or inconclusive one. 5,000 half-open credentials are not 5,000 probes. Thread-compatible.
#ifndef CREDBROKER_CORE_PROBE_BUDGET_H_
#define CREDBROKER_CORE_PROBE_BUDGET_H_

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace credbroker::core {

class ProbeBudget {
 public:
  enum class Result : uint8_t { kSuccess, kFailed, kInconclusive };
  void CountAcquire(absl::Time now);  // every Acquire that names the provider, refusals included
  // Takes the token if it is there. The first call ever finds the bucket full. The fill is one number:
  // time since the last take or refill is credited at the rate of the asking key.
  bool TryTake(absl::Time now, bool dry);
  // When TryTake would succeed with no further Acquire calls; `now` if at once.
  absl::Time NextToken(absl::Time now, bool dry) const;
  void OnResult(Result result);
  double RatePerMinute(absl::Time now, bool dry) const;

 private:
  int64_t CallsInLastMinute(absl::Time now) const;
  static constexpr int kSeconds = 60;
  std::array<int64_t, kSeconds> second_{};  // which second a cell counts
  std::array<uint32_t, kSeconds> calls_{};
  double tokens_ = 1.0;
  absl::Time filled_ = absl::InfinitePast();
  double dry_rate_ = 30.0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_PROBE_BUDGET_H_
