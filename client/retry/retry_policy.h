// Which unary calls are repeated, after which error, and when.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_CLIENT_RETRY_RETRY_POLICY_H_
#define CREDBROKER_CLIENT_RETRY_RETRY_POLICY_H_

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "credbroker/client/client.h"
#include "credbroker/client/clock.h"

namespace credbroker::client {

enum class Method { kAcquire, kRenew, kRelease, kReport };

class RetryPolicy {
 public:
  struct Options {
    int max_attempts = 4;
    absl::Duration min_backoff = absl::Milliseconds(50);
    absl::Duration max_backoff = absl::Seconds(5);
    std::shared_ptr<const Clock> clock;
    std::shared_ptr<Sleeper> sleeper;
    std::shared_ptr<Random> random;
  };

  // One call, as far as its repetition is concerned.
  struct Call {
    Method method = Method::kAcquire;
    // A repeat does what the first would have done.
    bool repeatable = true;
    bool retry_refusals = false;
    absl::Duration timeout;
  };

  explicit RetryPolicy(Options options) : options_(std::move(options)) {}

  // Runs `attempt`, with what is left of the timeout, until it succeeds, must not be repeated, or
  // time is over. Returns the last attempt's status.
  absl::Status Run(const Call& call,
                   const std::function<absl::Status(absl::Duration timeout)>& attempt) const;

  // Whether the table allows another attempt after `status`.
  static bool MayRetry(const Call& call, const absl::Status& status);
  // How long to wait before attempt number `next` (from 2).
  absl::Duration Wait(const absl::Status& status, int next) const;

 private:
  const Options options_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_RETRY_RETRY_POLICY_H_
