#include "credbroker/client/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/session/mutex.h"
#include "client/session/runner.h"
#include "client/session/target_check.h"
#include "client/session/wire_time.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

// What a caller waits for: set once, by the session's thread.
template <typename T>
class Promise {
 public:
  void Set(T value) {
    MutexLock lock(mutex_);
    value_.emplace(std::move(value));
    set_.NotifyAll();
  }
  T Wait() {
    MutexLock lock(mutex_);
    while (!value_.has_value()) set_.Wait(mutex_);
    return *std::move(value_);
  }
  bool WaitFor(absl::Duration timeout) {
    const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
    MutexLock lock(mutex_);
    while (!value_.has_value()) {
      if (!set_.WaitUntil(mutex_, deadline)) return value_.has_value();
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar set_;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
};

absl::Status Closed() { return LocalError(LocalReason::kClosed, "the session was closed"); }

bool PastStock(const AcquireOptions& options) {
  return !options.session_key.empty() || !options.credential_id.empty() ||
         !options.excluded_credential_ids.empty() || !options.request_id.empty() ||
         options.ttl.has_value();
}

// Takes the call in, or answers it.
uint64_t Begin(SessionShared& shared, AcquireCall call, absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) {
    call.done(LocalError(LocalReason::kInvalidArgument, "timeout: must be more than 0"));
    return 0;
  }
  call.id = shared.NextCall();
  call.deadline_ns = After(shared.Now(), timeout);
  call.request.clear_max_wait();
  const uint64_t id = call.id;
  // A command is copied about, a call is not.
  auto boxed = std::make_shared<AcquireCall>(std::move(call));
  if (!shared.Run([boxed](SessionCore& core) { core.Acquire(std::move(*boxed)); })) {
    boxed->done(Closed());
    return 0;
  }
  return id;
}

}  // namespace

const char* ConnectionStateName(ConnectionState state) {
  switch (state) {
    case ConnectionState::kConnecting:
      return "connecting";
    case ConnectionState::kConnected:
      return "connected";
    case ConnectionState::kReconnecting:
      return "reconnecting";
    case ConnectionState::kLost:
      return "lost";
    case ConnectionState::kClosed:
      return "closed";
  }
  return "";
}

Session::Session(std::unique_ptr<SessionRunner> runner) : runner_(std::move(runner)) {}

Session::~Session() { Close(absl::Seconds(1)).IgnoreError(); }

absl::StatusOr<TargetId> Session::Declare(Target target) {
  if (absl::Status bad = CheckTarget(target); !bad.ok()) return bad;
  SessionShared& shared = runner_->shared();
  const TargetId id = shared.TakeTargetId(BytesOf(target));
  if (id == 0) {
    return LocalError(LocalReason::kTooManyTargets,
                      absl::StrCat("a session has at most ", kMaxTargets, " targets, which need ",
                                   SessionShared::kMaxTargetBytes >> 20, " MiB together"));
  }
  if (!shared.Run(
          [id, target = std::move(target)](SessionCore& core) { core.Declare(id, target); })) {
    return Closed();
  }
  return id;
}

void Session::Retire(TargetId target) {
  runner_->shared().Run([target](SessionCore& core) { core.Retire(target); });
}

std::optional<Lease> Session::TryAcquire(TargetId target) {
  return runner_->shared().TakeStock(target);
}

uint64_t Session::AcquireAsync(TargetId target, const AcquireOptions& options,
                               AcquireCallback done) {
  SessionShared& shared = runner_->shared();
  if (!PastStock(options)) {
    if (std::optional<Lease> lease = shared.TakeStock(target)) {
      done(*std::move(lease));
      return 0;
    }
  }
  if (target == 0) {
    done(LocalError(LocalReason::kInvalidArgument, "target: not declared"));
    return 0;
  }
  AcquireCall call;
  call.target = target;
  call.max_wait = options.max_wait;
  call.done = std::move(done);
  call.request.set_session_key(options.session_key);
  call.request.set_credential_id(options.credential_id);
  call.request.mutable_excluded_credential_ids()->Assign(options.excluded_credential_ids.begin(),
                                                         options.excluded_credential_ids.end());
  call.request.set_request_id(options.request_id);
  if (options.ttl.has_value()) ToWire(*options.ttl, call.request.mutable_ttl());
  return Begin(shared, std::move(call), options.timeout);
}

absl::StatusOr<Lease> Session::Acquire(TargetId target, const AcquireOptions& options) {
  // The common way, without what an asynchronous call needs.
  if (!PastStock(options)) {
    if (std::optional<Lease> lease = runner_->shared().TakeStock(target)) return *std::move(lease);
  }
  auto answer = std::make_shared<Promise<absl::StatusOr<Lease>>>();
  AcquireAsync(target, options,
               [answer](absl::StatusOr<Lease> lease) { answer->Set(std::move(lease)); });
  return answer->Wait();
}

uint64_t Session::AcquireAsync(v1::AcquireRequest request, absl::Duration timeout,
                               AcquireCallback done) {
  AcquireCall call;
  if (request.has_max_wait()) call.max_wait = FromWire(request.max_wait());
  call.request = std::move(request);
  call.done = std::move(done);
  return Begin(runner_->shared(), std::move(call), timeout);
}

absl::StatusOr<Lease> Session::Acquire(v1::AcquireRequest request, absl::Duration timeout) {
  auto answer = std::make_shared<Promise<absl::StatusOr<Lease>>>();
  AcquireAsync(std::move(request), timeout,
               [answer](absl::StatusOr<Lease> lease) { answer->Set(std::move(lease)); });
  return answer->Wait();
}

void Session::Cancel(uint64_t call) {
  runner_->shared().Run([call](SessionCore& core) { core.Cancel(call); });
}

ConnectionState Session::state() const { return runner_->shared().state(); }
bool Session::valid() const { return runner_->shared().valid(); }
SessionStats Session::stats() const { return runner_->shared().stats(); }

bool Session::WaitConnected(absl::Duration timeout) {
  // The state that ended the wait: the connection may break at once again.
  ConnectionState seen = ConnectionState::kClosed;
  runner_->shared().WaitState(
      [&seen](ConnectionState state) {
        seen = state;
        return state == ConnectionState::kConnected || state == ConnectionState::kClosed;
      },
      timeout);
  return seen == ConnectionState::kConnected;
}

absl::Status Session::Flush(absl::Duration timeout) {
  auto done = std::make_shared<Promise<bool>>();
  if (!runner_->shared().Run(
          [done](SessionCore& core) { core.Flush([done] { done->Set(true); }); })) {
    return Closed();
  }
  if (done->WaitFor(timeout)) return absl::OkStatus();
  return LocalError(LocalReason::kDeadline, "not everything was processed in time");
}

absl::Status Session::Close(absl::Duration timeout) {
  auto done = std::make_shared<Promise<absl::Status>>();
  if (!runner_->shared().Run([done, timeout](SessionCore& core) {
        core.Close(timeout, [done](absl::Status result) { done->Set(std::move(result)); });
      })) {
    return absl::OkStatus();
  }
  return done->Wait();
}

}  // namespace credbroker::client
