// How many half-open credentials of a provider may be tried: a bucket of one token. It refills at
// min(30/min, max(1/min, 1 % of the Acquire calls of the last 60 s)); for a key that has no fully
// open credential ("dry") at 30/min, doubling with each probe success up to 480/min and back to
// 30/min on a failed or inconclusive one. 5,000 half-open credentials are not 5,000 probes. "The
// last 60 s" are sixty whole seconds, the present one included. All arithmetic is exact.
// Thread-compatible.
#ifndef CREDBROKER_CORE_PROBE_BUDGET_H_
#define CREDBROKER_CORE_PROBE_BUDGET_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace credbroker::core {

class ProbeBudget {
 public:
  enum class Result : uint8_t { kSuccess, kFailed, kInconclusive };
  void CountAcquire(absl::Time now);  // every Acquire that names the provider, refusals included
  // Takes the token if it is there. The first call ever finds the bucket full. The fill is one
  // number: time since the last take or refill is credited at the rate of the asking key.
  bool TryTake(absl::Time now, bool dry);
  // When TryTake would succeed with no further Acquire calls; `now` if at once.
  absl::Time NextToken(absl::Time now, bool dry) const;
  void OnResult(Result result);
  double RatePerMinute(absl::Time now, bool dry) const;

 private:
  static constexpr int kSeconds = 60;
  // Rates are hundredths of a token a minute, so that 1 % of the calls is the number of calls.
  static constexpr int64_t kMinRate = 100;
  static constexpr int64_t kMaxRate = 3'000;
  static constexpr int64_t kMaxDryRate = 48'000;
  // A full bucket in nanoseconds times rate.
  static constexpr int64_t kFull = int64_t{60'000'000'000} * 100;

  void Roll(int64_t second);
  int64_t CallsUpTo(int64_t second) const;  // of the sixty seconds that end with `second`
  int64_t Rate(int64_t second, bool dry) const;
  int64_t FillAt(int64_t now_ns, int64_t rate) const;

  std::array<uint32_t, kSeconds> calls_{};  // by second modulo 60
  int64_t newest_ = INT64_MIN;              // the latest second counted
  size_t newest_cell_ = 0;                  // where it is counted
  int64_t total_ = 0;                       // of calls_
  bool started_ = false;
  int64_t fill_ = kFull;
  int64_t filled_ns_ = 0;  // when fill_ was that
  int64_t dry_rate_ = kMaxRate;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_PROBE_BUDGET_H_
