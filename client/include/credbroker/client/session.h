// Many leases over one connection: the common acquire is a local pop.
//
// A Session has one thread of its own that keeps the stream: it connects, resumes after a break
// with full-jitter backoff (0.5 s to 5 s), pings, refills stock, sends reports and takes
// revocations in.
//
// What holds:
// - No lease is handed out of stock of a credential whose revocation was received: the broker is
//   told "received" only after no thread can hand one out.
// - Nothing is handed out of stock later than the session's ttl after the last ping that the broker
//   answered was sent, by the boot clock, checked at every hand-out: also in a process that was
//   stopped meanwhile.
// - An end of a lease (report, release) never waits. It is kept until the broker said it processed
//   it, and sent again after a reconnect if it did not; so the broker may see it twice, which its
//   protocol makes harmless. It is dropped only when the broker refuses the lease at the resume, or
//   when Close runs out of time.
// - Back-pressure: at most max_leases leases live or wait for their end to be processed; then
//   acquires are refused (kTooManyLeases), reports never. When queued reports hold more than
//   max_report_bytes, further ones lose headers and body (the outcome stays) and early notices are
//   dropped. Both are counted in SessionStats.
// - Answers of a broker with a lower epoch than one already seen are refused: the stream is closed
//   and another connection is made.
//
// Thread-safety: all functions may be called from any thread. Callbacks run on the session's thread
// with no lock held; they must not block, and must not call the blocking functions (Acquire,
// WaitConnected, Flush, Close).
#ifndef CREDBROKER_CLIENT_SESSION_H_
#define CREDBROKER_CLIENT_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "credbroker/client/events.h"
#include "credbroker/client/lease.h"
#include "credbroker/client/target.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::client {

class SessionRunner;

struct SessionOptions {
  // Name of this software and version, for the broker's logs; at most 128 bytes.
  std::string client{};
  // Name of this instance, e.g. the pod; at most 128 bytes.
  std::string instance{};
  // Live leases and unprocessed ends: 1 to 100,000.
  int max_leases = 100'000;
  // Of queued headers and bodies: 64 KiB to 1 GiB.
  int64_t max_report_bytes = 16 << 20;
  // How long ends may gather before they are sent: 0 to 100 ms. When the connection was idle, they
  // go at once.
  absl::Duration report_delay = absl::Milliseconds(1);
  SessionEvents events{};
};

struct AcquireOptions {
  // In all, waiting for a connection included: more than 0.
  absl::Duration timeout = absl::Seconds(10);
  // How long the broker may let the call wait for a credential: 0 to 60 s; cut at what is left of
  // `timeout`. Only when the stock is empty.
  absl::Duration max_wait{};
  // Any of these asks the broker, past the stock:
  // Calls with the same key go to the same credential while it can serve. At most 256 bytes.
  std::string session_key{};
  // Only this credential.
  std::string credential_id{};
  // Never these, e.g. after RETRY_OTHER. At most 64.
  std::vector<std::string> excluded_credential_ids{};
  // At most 128 bytes; see AcquireRequest.
  std::string request_id{};
  // Another life than the target's.
  std::optional<absl::Duration> ttl{};
};

// Numbers since the session began.
struct SessionStats {
  uint64_t from_stock = 0;
  uint64_t direct = 0;
  uint64_t served_last = 0;
  uint64_t refused = 0;
  // Ends the broker processed.
  uint64_t ends_processed = 0;
  // Ends given up: the lease was refused at a resume, or Close ran out of time.
  uint64_t ends_dropped = 0;
  // Reports that lost headers and body, and early notices that were dropped, by max_report_bytes.
  uint64_t reports_trimmed = 0;
  uint64_t early_dropped = 0;
  // Leases taken out of stock by revocations, and returned unused.
  uint64_t stock_revoked = 0;
  uint64_t stock_returned = 0;
  // Welcomes after the first.
  uint64_t reconnects = 0;
  uint64_t revocations = 0;
  // Now.
  uint64_t in_stock = 0;
  uint64_t live_leases = 0;
  int64_t epoch = 0;
};

// Called once, on the session's thread or, if the answer was at hand, by the caller.
using AcquireCallback = std::function<void(absl::StatusOr<Lease>)>;

class Session {
 public:
  // Made by Client::OpenSession.
  explicit Session(std::unique_ptr<SessionRunner> runner);
  // Close(1 s).
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // INVALID_ARGUMENT naming the field; RESOURCE_EXHAUSTED (kTooManyTargets) beyond 4,096 targets or
  // 2 MiB of them, counted as session.proto says. Does not wait. What only the broker can judge (no
  // such group ...) is said by Acquire.
  absl::StatusOr<TargetId> Declare(Target target);
  // Returns its stock; the id may be given to another target later. Acquires under way go on.
  void Retire(TargetId target);

  // A lease from stock, else one the broker grants. Statuses: error.h; of the broker those of
  // BrokerService.Acquire.
  absl::StatusOr<Lease> Acquire(TargetId target, const AcquireOptions& options = {});
  // From stock or not at all: never waits, calls nobody. Asks for a refill when there was none.
  std::optional<Lease> TryAcquire(TargetId target);
  // `done` is called exactly once. The number is for Cancel; 0: `done` was already called.
  uint64_t AcquireAsync(TargetId target, const AcquireOptions& options, AcquireCallback done);
  // Without a target: `request` says everything, and is sent as it is; max_wait is cut at
  // `timeout`.
  absl::StatusOr<Lease> Acquire(v1::AcquireRequest request, absl::Duration timeout);
  uint64_t AcquireAsync(v1::AcquireRequest request, absl::Duration timeout, AcquireCallback done);
  // `done` gets CANCELLED unless it was or is being called. Unknown numbers are ignored.
  void Cancel(uint64_t call);

  ConnectionState state() const;
  // Whether leases may be handed out of stock now.
  bool valid() const;
  // Whether it became kConnected within `timeout`.
  bool WaitConnected(absl::Duration timeout);
  // Waits until all ends so far were processed. DEADLINE_EXCEEDED if that takes longer.
  absl::Status Flush(absl::Duration timeout);
  SessionStats stats() const;

  // Returns stock and live leases, sends what is queued, waits until the broker processed it, and
  // ends the stream; after `timeout` at the latest. Calls that wait get FAILED_PRECONDITION
  // (kClosed). OK: everything was processed; DEADLINE_EXCEEDED: stats say what was dropped. Further
  // calls do nothing.
  absl::Status Close(absl::Duration timeout);

 private:
  std::unique_ptr<SessionRunner> runner_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_H_
