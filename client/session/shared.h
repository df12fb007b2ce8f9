// What callers' threads and the session's thread share.
//
// Thread-safety: all functions may be called from any thread, unless said otherwise.
#ifndef CREDBROKER_CLIENT_SESSION_SHARED_H_
#define CREDBROKER_CLIENT_SESSION_SHARED_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "client/retry/epoch_gate.h"
#include "client/session/call_table.h"
#include "client/session/mutex.h"
#include "client/session/record.h"
#include "client/session/shards.h"
#include "credbroker/client/clock.h"
#include "credbroker/client/session.h"

namespace credbroker::client {

class SessionCore;

// What a session is made of besides its stream. None is null.
struct SessionParts {
  std::shared_ptr<const Clock> clock;
  std::shared_ptr<Random> random;
  std::shared_ptr<EpochGate> epochs;
};

class SessionShared : public std::enable_shared_from_this<SessionShared> {
 public:
  // Something to be done by the session's thread.
  using Command = std::function<void(SessionCore&)>;

  // `wake` makes the session's thread look, from any thread; it is not called after Stop.
  SessionShared(SessionOptions options, SessionParts parts, std::function<void()> wake);
  SessionShared(const SessionShared&) = delete;
  SessionShared& operator=(const SessionShared&) = delete;

  const SessionOptions& options() const { return options_; }
  const SessionParts& parts() const { return parts_; }
  int64_t Now() const { return parts_.clock->BootNanos(); }
  Shards& shards() { return shards_; }

  // --- Callers' threads ---

  // A lease from stock, if there is one and the session is valid.
  std::optional<Lease> TakeStock(TargetId target);
  // Never waits; void after the session was closed.
  void Post(LeaseNote note);
  // Runs `command` on the session's thread soon. False: closed, it will not run.
  bool Run(Command command);
  // A number for a call.
  uint64_t NextCall() { return next_call_.fetch_add(1, std::memory_order_relaxed); }
  // 0: all are in use.
  // For a target of so many bytes; 0: there is no room for it.
  TargetId TakeTargetId(size_t bytes);
  static constexpr size_t kMaxTargetBytes = size_t{2} << 20;  // as the broker counts
  // REQUIRES: the target was retired.
  void GiveTargetId(TargetId id);
  bool valid() const { return Now() < valid_until_ns_.load(std::memory_order_acquire); }
  ConnectionState state() const { return state_.load(std::memory_order_acquire); }
  // Waits for `done` of the state, at most `timeout` of real time. Returns what `done` says.
  bool WaitState(const std::function<bool(ConnectionState)>& done, absl::Duration timeout);
  SessionStats stats() const;

  // --- The session's thread ---

  // Here rather than with what that thread owns: leases may outlive it, and refer to them.
  std::deque<LeaseRecord>& records() { return records_; }
  // REQUIRES: the record's place is kInUse and nobody else has it.
  Lease MakeLease(LeaseRecord* record, std::shared_ptr<const Material> material);
  void SetGrantFacts(Lease* lease, bool probe, bool rebound, absl::Duration waited);
  std::vector<Command> TakeCommands();
  void SetValidUntil(int64_t at_ns) { valid_until_ns_.store(at_ns, std::memory_order_release); }
  void SetState(ConnectionState state);
  void Publish(const SessionStats& stats);
  // From now on callers wake this thread; false: there is something to do already.
  bool BeginIdle();
  // Callers need not wake this thread while it works, but for what cannot wait. To be called before
  // each Step.
  void EndIdle();
  // No wake any more, no command, no note. Returns the commands that did not run.
  std::vector<Command> Stop();

 private:
  void Wake();

  const SessionOptions options_;
  const SessionParts parts_;
  std::deque<LeaseRecord> records_;  // before the shards, whose stock refers to them
  Shards shards_;
  std::atomic<int64_t> valid_until_ns_{0};
  std::atomic<ConnectionState> state_{ConnectionState::kConnecting};
  std::atomic<bool> idle_{false};
  std::atomic<bool> wake_pending_{false};
  std::atomic<uint64_t> next_call_{1};

  mutable Mutex mutex_;
  CondVar state_changed_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<TargetId> free_targets_ ABSL_GUARDED_BY(mutex_);
  TargetId used_targets_ ABSL_GUARDED_BY(mutex_) = 0;
  // By id - 1; also of free ones, which the broker remembers until they are declared anew.
  std::vector<size_t> target_bytes_ ABSL_GUARDED_BY(mutex_);
  size_t all_target_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  SessionStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_SHARED_H_
