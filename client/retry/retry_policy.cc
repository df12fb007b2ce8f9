#include "client/retry/retry_policy.h"

#include <algorithm>

#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

enum class When {
  // A repeat changes nothing.
  kRepeatable,
  // The broker said when to come back, and the caller wants to wait for it.
  kWanted,
};

struct Row {
  Method method;
  absl::StatusCode code;
  When when;
};

// What is not here is not repeated.
constexpr Row kTable[] = {
    {Method::kAcquire, absl::StatusCode::kUnavailable, When::kRepeatable},
    {Method::kAcquire, absl::StatusCode::kResourceExhausted, When::kWanted},
    {Method::kRenew, absl::StatusCode::kUnavailable, When::kRepeatable},
    {Method::kRelease, absl::StatusCode::kUnavailable, When::kRepeatable},
    {Method::kReport, absl::StatusCode::kUnavailable, When::kRepeatable},
};

// Added to a time the broker named, so that not everybody comes at once.
constexpr double kRetryInfoJitter = 0.2;

}  // namespace

bool RetryPolicy::MayRetry(const Call& call, const absl::Status& status) {
  for (const Row& row : kTable) {
    if (row.method != call.method || row.code != status.code()) continue;
    switch (row.when) {
      case When::kRepeatable:
        return call.repeatable;
      case When::kWanted:
        return call.repeatable && call.retry_refusals && RetryDelayOf(status).has_value();
    }
  }
  return false;
}

absl::Duration RetryPolicy::Wait(const absl::Status& status, int next) const {
  const double fraction = options_.random->Fraction();
  if (const auto delay = RetryDelayOf(status); delay.has_value()) {
    return std::max(*delay, absl::ZeroDuration()) * (1.0 + kRetryInfoJitter * fraction);
  }
  const absl::Duration ceiling =
      std::min(options_.max_backoff, options_.min_backoff * (1 << std::min(next - 2, 20)));
  return ceiling * fraction;
}

absl::Status RetryPolicy::Run(const Call& call,
                              const std::function<absl::Status(absl::Duration)>& attempt) const {
  const int64_t begin = options_.clock->BootNanos();
  absl::Duration left = call.timeout;
  for (int number = 1;; ++number) {
    absl::Status status = attempt(left);
    if (status.ok() || number >= options_.max_attempts || !MayRetry(call, status)) return status;
    const absl::Duration wait = Wait(status, number + 1);
    left = call.timeout - absl::Nanoseconds(options_.clock->BootNanos() - begin);
    if (wait >= left) return status;
    options_.sleeper->Sleep(wait);
    left = call.timeout - absl::Nanoseconds(options_.clock->BootNanos() - begin);
    if (left <= absl::ZeroDuration()) return status;
  }
}

}  // namespace credbroker::client
