#include "client/session/shared.h"

#include <chrono>
#include <utility>

namespace credbroker::client {

SessionShared::SessionShared(SessionOptions options, SessionParts parts, std::function<void()> wake)
    : options_(std::move(options)), parts_(std::move(parts)), wake_(std::move(wake)) {}

std::optional<Lease> SessionShared::TakeStock(TargetId target) {
  TargetCounters* const counters = shards_.counters(target);
  // Where nothing may be handed out, nothing is taken.
  if (counters == nullptr || valid_until_ns_.load(std::memory_order_acquire) == 0) {
    return std::nullopt;
  }
  for (;;) {
    Shards::Taken taken = shards_.Take(target, *counters);
    if (taken.record == nullptr) {
      if (idle_.load()) Wake();  // it should refill
      return std::nullopt;
    }
    if (taken.refill) Wake();
    LeaseRecord* const record = taken.record;
    // The last look before the hand-out, so that a process that was stopped in here, and goes on
    // much later, hands out nothing stale.
    const int64_t now = Now();
    const bool valid = now < valid_until_ns_.load(std::memory_order_acquire);
    if (valid && now < record->use_by_boot_ns) {
      Lease lease = MakeLease(record, std::move(taken.material));
      lease.from_stock_ = true;
      return lease;
    }
    Post({.record = record, .local_id = record->local_id, .kind = LeaseNote::Kind::kReturned});
    if (!valid) return std::nullopt;
  }
}

Lease SessionShared::MakeLease(LeaseRecord* record, std::shared_ptr<const Material> material) {
  Lease lease;
  lease.shared_ = shared_from_this();
  lease.record_ = record;
  lease.material_ = std::move(material);
  return lease;
}

void SessionShared::SetGrantFacts(Lease* lease, bool probe, bool rebound, absl::Duration waited) {
  lease->probe_ = probe;
  lease->session_rebound_ = rebound;
  lease->waited_ = waited;
}

void SessionShared::Post(LeaseNote note) {
  if (!shards_.Note(note)) {
    DropNote(note);
    return;
  }
  if (idle_.load()) Wake();
}

void SessionShared::Wake() {
  if (wake_pending_.exchange(true)) return;
  MutexLock lock(mutex_);
  if (!stopped_) wake_();
}

bool SessionShared::Run(Command command) {
  {
    MutexLock lock(mutex_);
    if (stopped_) return false;
    commands_.push_back(std::move(command));
  }
  Wake();
  return true;
}

std::vector<SessionShared::Command> SessionShared::TakeCommands() {
  MutexLock lock(mutex_);
  return std::exchange(commands_, {});
}

TargetId SessionShared::TakeTargetId(size_t bytes) {
  MutexLock lock(mutex_);
  if (used_targets_ < kMaxTargets && all_target_bytes_ + bytes <= kMaxTargetBytes) {
    target_bytes_.push_back(bytes);
    all_target_bytes_ += bytes;
    return ++used_targets_;
  }
  // The one that is free for longest of those that make room.
  for (auto it = free_targets_.begin(); it != free_targets_.end(); ++it) {
    const TargetId id = *it;
    size_t& own = target_bytes_[id - 1];
    if (all_target_bytes_ - own + bytes > kMaxTargetBytes) continue;
    all_target_bytes_ += bytes - own;
    own = bytes;
    free_targets_.erase(it);
    return id;
  }
  return 0;
}

void SessionShared::GiveTargetId(TargetId id) {
  MutexLock lock(mutex_);
  free_targets_.push_back(id);
}

bool SessionShared::WaitState(const std::function<bool(ConnectionState)>& done,
                              absl::Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  MutexLock lock(mutex_);
  while (!done(state())) {
    if (!state_changed_.WaitUntil(mutex_, deadline)) return done(state());
  }
  return true;
}

void SessionShared::SetState(ConnectionState state) {
  MutexLock lock(mutex_);
  state_.store(state, std::memory_order_release);
  state_changed_.NotifyAll();
}

SessionStats SessionShared::stats() const {
  SessionStats stats;
  {
    MutexLock lock(mutex_);
    stats = stats_;
  }
  for (TargetId id = 1; id <= kMaxTargets; ++id) {
    const TargetCounters* const counters = shards_.counters(id);
    if (counters == nullptr) break;
    stats.from_stock += counters->taken.load(std::memory_order_relaxed);
    stats.in_stock += static_cast<uint64_t>(counters->stock.load(std::memory_order_relaxed));
  }
  stats.epoch = parts_.epochs->highest();
  return stats;
}

void SessionShared::Publish(const SessionStats& stats) {
  MutexLock lock(mutex_);
  stats_ = stats;
}

bool SessionShared::BeginIdle() {
  // Whoever adds a note after HasNotes looked at its shard sees idle_ and wakes this thread: the
  // shard's lock puts the store before their load.
  idle_.store(true);
  if (!shards_.HasNotes()) return true;
  idle_.store(false);
  return false;
}

std::vector<SessionShared::Command> SessionShared::Stop() {
  shards_.CloseNotes();
  MutexLock lock(mutex_);
  stopped_ = true;
  return std::exchange(commands_, {});
}

void SessionShared::EndIdle() {
  idle_.store(false);
  // Before anything is looked at: what comes later wakes again.
  wake_pending_.store(false);
}

}  // namespace credbroker::client
