#include "server/session/peer.h"

#include <algorithm>
#include <utility>

#include "server/rpc/convert.h"
#include "server/rpc/status.h"
#include "server/session/fill.h"

namespace credbroker::session {
namespace {

// Above this, what the client asks is not read until it has read its answers.
constexpr size_t kHoldReadsBytes = 512 * 1024;
// With more than that waiting for all sessions together, each may have only so little unread.
constexpr int64_t kAllQueuedBytes = 32 * 1024 * 1024;
constexpr size_t kFewBytes = 16 * 1024;
// Credentials sent anew with one message; the rest follow with the next.
constexpr size_t kChangedAtOnce = 256;
constexpr size_t kMaxSuffixes = 64;

}  // namespace

SessionPeer::SessionPeer(SessionHost& host, absl::string_view principal, Wire& wire)
    : host_(host),
      principal_(principal),
      last_heard_ns_(absl::ToUnixNanos(host.Now())),
      targets_(principal_),
      wire_(&wire) {}

// --- the stream ---

void SessionPeer::OnMessage(v1::SessionRequest& message) {
  Heard();
  if (const grpc::Status status = CheckFrame(message, phase_, number_ + 1); !status.ok()) {
    return OnBadMessage(status);
  }
  ++number_;
  if (phase_ == Phase::kOpen) {
    Apply(message);
  } else {
    Hello(message);
  }
}

void SessionPeer::Heard() {
  last_heard_ns_.store(absl::ToUnixNanos(host_.Now()), std::memory_order_relaxed);
}

void SessionPeer::OnBadMessage(const grpc::Status& status) {
  host_.counters().bad_frames.Increment();
  Fail(status);
}

void SessionPeer::Fail(const grpc::Status& status) { End(status); }

void SessionPeer::OnWritten() {
  bool read_on = false;
  {
    engine::MutexLock lock(mutex_);
    // What it says is not read, so that it takes its answers is what is heard of it.
    if (reads_held_) Heard();
    in_flight_ = false;
    in_flight_since_ = absl::InfiniteFuture();
    Flush();
    const bool must_read = MustRead();
    if (reads_held_ && !must_read && !ended_) {
      reads_held_ = false;
      read_on = true;
    }
  }
  if (read_on) ReadOn();
}

void SessionPeer::OnEnd() { End(grpc::Status::OK); }

void SessionPeer::OnOver() {
  std::vector<core::WaiterId> parked;
  {
    engine::MutexLock lock(mutex_);
    ended_ = true;
    wire_ = nullptr;
    outbox_.Clear();
    host_.AddQueued(-std::exchange(queued_, 0));
    for (const auto& [call, waiter] : calls_) {
      if (waiter.number() != 0) parked.push_back(waiter);
    }
    calls_.clear();
  }
  for (const core::WaiterId waiter : parked) host_.engine().CancelWait(waiter);
  host_.Left(*this);
}

void SessionPeer::End(const grpc::Status& status) {
  engine::MutexLock lock(mutex_);
  if (wire_ == nullptr || ended_) return;
  ended_ = true;
  wire_->End(status);
}

void SessionPeer::Cut() {
  engine::MutexLock lock(mutex_);
  if (wire_ != nullptr) wire_->Cut();
}

bool SessionPeer::ended() const {
  engine::MutexLock lock(mutex_);
  return ended_;
}

std::string SessionPeer::id() const {
  engine::MutexLock lock(mutex_);
  return id_;
}

SessionPeer::Behind SessionPeer::BehindSince(absl::Time before) const {
  engine::MutexLock lock(mutex_);
  if (in_flight_since_ <= before) return Behind::kReading;
  return unacknowledged_since_ <= before ? Behind::kAcknowledging : Behind::kNothing;
}

void SessionPeer::ReadOn() {
  engine::MutexLock lock(mutex_);
  if (ended_ || wire_ == nullptr) return;
  reads_held_ = MustRead();
  if (!reads_held_) wire_->ReadOn();
}

// Whether the client must read before it may ask for more.
bool SessionPeer::MustRead() {
  const auto bytes = static_cast<int64_t>(outbox_.bytes());
  const int64_t all = host_.AddQueued(bytes - queued_);
  queued_ = bytes;
  return outbox_.bytes() > kHoldReadsBytes ||
         (outbox_.bytes() > kFewBytes && all > kAllQueuedBytes);
}

void SessionPeer::Flush() {
  if (wire_ == nullptr || in_flight_ || ended_) return;
  if (!changed_.empty()) SendChanged();
  std::unique_ptr<v1::SessionResponse> message = outbox_.Take();
  if (message == nullptr) return;
  in_flight_ = true;
  in_flight_since_ = host_.Now();
  if (!wire_->Send(*message)) {
    in_flight_ = false;  // over; OnOver follows
    in_flight_since_ = absl::InfiniteFuture();
  }
  outbox_.GiveBack(std::move(message));
}

// --- what the client knows ---

void SessionPeer::Meet(core::Uid uid, Views& views) {
  if (known_.Find(uid) != nullptr) return;
  known_.Add(uid);
  views.push_back({.uid = uid});
}

void SessionPeer::Introduce(Views& views) {
  if (views.empty()) return;
  host_.engine().Look(absl::MakeSpan(views));
  for (const engine::IssuedView& view : views) {
    if (!view.issued.has_value() || view.issued->material == nullptr) continue;
    SendCredential(*known_.Find(view.uid), *view.issued);
    RevokeMissed(view.uid);
  }
}

void SessionPeer::SendCredential(KnownCredentials::Entry& entry, const core::Issued& issued) {
  if (entry.version > issued.material->version) return;  // a newer one went out meanwhile
  entry.version = issued.material->version;
  entry.revision = issued.document->revision;
  FillCredential(issued, entry.index, host_.engine().Ticket(issued, principal_),
                 issued.document->base_url.empty()
                     ? host_.BaseUrlOf(issued.document->provider, issued.document->kind)
                     : std::string(),
                 outbox_.Tail(SizeOf(issued)).add_credentials());
  host_.counters().materials.Increment();
}

uint32_t SessionPeer::IndexOf(core::Uid uid) {
  const KnownCredentials::Entry* entry = known_.Find(uid);
  // Without material it was deleted before it could be introduced.
  return entry == nullptr || entry->version == 0 ? 0 : entry->index;
}

void SessionPeer::OnChanged(core::Uid uid) {
  engine::MutexLock lock(mutex_);
  KnownCredentials::Entry* entry = known_.Find(uid);
  if (entry == nullptr || wire_ == nullptr) return;
  if (!entry->changed) {
    entry->changed = true;
    changed_.push_back(uid);
  }
  Flush();
}

void SessionPeer::SendChanged() {
  const size_t count = std::min(changed_.size(), kChangedAtOnce);
  Views views(count);
  for (size_t i = 0; i < count; ++i) {
    views[i].uid = changed_[changed_.size() - 1 - i];
    known_.Find(views[i].uid)->changed = false;
  }
  changed_.resize(changed_.size() - count);
  Introduce(views);
}

// --- revocations ---

void SessionPeer::RememberSuffix(const std::string& suffix) {
  if (suffix.empty() || any_suffix_ ||
      std::find(suffixes_.begin(), suffixes_.end(), suffix) != suffixes_.end()) {
    return;
  }
  suffixes_.push_back(suffix);
  any_suffix_ = suffixes_.size() > kMaxSuffixes;
}

void SessionPeer::RevokeMissed(core::Uid uid) {
  for (const core::Revoked& revoked : missed_.Take(uid)) Revoke(revoked, known_.Find(uid)->index);
}

void SessionPeer::ForgetMissed() {
  if (greeted_ && !applying_ && !ended_ && calls_.empty()) missed_.Clear();
}

void SessionPeer::OnRevoked(const core::Revoked& revoked) {
  std::shared_ptr<SessionPeer> successor;
  {
    engine::MutexLock lock(mutex_);
    successor = successor_.lock();
    if (successor == nullptr) return RevokedLocked(revoked);
  }
  successor->OnRevoked(revoked);
}

void SessionPeer::RevokedLocked(const core::Revoked& revoked) {
  KnownCredentials::Entry* entry = known_.Find(revoked.uid);
  if (wire_ == nullptr || ended_) return missed_.Add(revoked);  // for the stream after this one
  if (entry == nullptr) {
    if (!greeted_ || applying_ || !calls_.empty()) missed_.Add(revoked);
    return;
  }
  Revoke(revoked, entry->index);
  // It has a cap now, or serves other calls: what else the client knows of it is out of date.
  if (revoked.reason == core::RevokeReason::kChanged && !entry->changed) {
    entry->changed = true;
    changed_.push_back(revoked.uid);
  }
  Flush();
}

void SessionPeer::Revoke(const core::Revoked& revoked, uint32_t index) {
  host_.counters().revocations.Increment();
  if (revoked.reason == core::RevokeReason::kChanged) told_.Add(revoked);
  unacknowledged_since_ = std::min(unacknowledged_since_, host_.Now());
  v1::SessionRevocation revocation = ToRevocation(revoked, index);
  bool room = true;
  if (revoked.model.empty() || suffixes_.empty()) {
    room = outbox_.Revoke(std::move(revocation));
  } else if (any_suffix_) {
    revocation.clear_model();
    room = outbox_.Revoke(std::move(revocation));
  } else {
    // The client knows the model under the names it was sent.
    for (const std::string& suffix : suffixes_) {
      v1::SessionRevocation one = revocation;
      one.mutable_model()->append(suffix);
      room = outbox_.Revoke(std::move(one)) && room;
    }
    room = outbox_.Revoke(std::move(revocation)) && room;
  }
  if (room || ended_) return;
  host_.counters().cut.Increment();
  ended_ = true;
  wire_->End(rpc::Error(v1::ERROR_REASON_LIMIT_REACHED, "this session does not read",
                        {{"limit", "revocations a session may be behind"}}));
}

void SessionPeer::Acknowledge(uint64_t number) {
  std::vector<Awaited> settled;  // let go of without the lock
  engine::MutexLock lock(mutex_);
  if (number <= acknowledged_) return;
  acknowledged_ = std::min(number, outbox_.newest_revocation());
  unacknowledged_since_ =
      acknowledged_ == outbox_.newest_revocation() ? absl::InfiniteFuture() : host_.Now();
  host_.counters().acknowledged.Increment();
  if (acknowledged_ == outbox_.newest_revocation()) told_.Clear();
  // A copy: the analysis does not follow the lock into a lambda.
  const uint64_t seen = acknowledged_;
  const auto first_settled =
      std::partition(awaited_.begin(), awaited_.end(),
                     [seen](const Awaited& awaited) { return awaited.number > seen; });
  settled.assign(std::make_move_iterator(first_settled), std::make_move_iterator(awaited_.end()));
  awaited_.erase(first_settled, awaited_.end());
}

void SessionPeer::Settle(core::Uid uid, const SettlementHold& hold) {
  engine::MutexLock lock(mutex_);
  if (greeted_ && known_.Find(uid) == nullptr) return;
  if (wire_ == nullptr || ended_ || !greeted_) {
    // It cannot be told: it stops by itself once it is lost, or is told when it resumes. Or what it
    // knows is not known yet: it is told when its hello is over.
    awaited_.push_back({.number = UINT64_MAX, .hold = hold});
  } else if (acknowledged_ < outbox_.newest_revocation()) {
    awaited_.push_back({.number = outbox_.newest_revocation(), .hold = hold});
  }
}

std::vector<Awaited> SessionPeer::TakeAwaited() {
  engine::MutexLock lock(mutex_);
  return std::exchange(awaited_, {});
}

void SessionPeer::HandOver(const std::shared_ptr<SessionPeer>& successor, Opened* next) {
  engine::MutexLock lock(mutex_);
  successor_ = successor;
  next->missed = std::exchange(missed_, {});
  next->missed.Append(std::exchange(told_, {}));
  next->awaited = std::exchange(awaited_, {});
  next->adopted = std::exchange(adopted_, {});
  next->newest = newest_;
}

size_t SessionPeer::adopted() const {
  engine::MutexLock lock(mutex_);
  return adopted_.size();
}

void SessionPeer::GoAway(absl::Duration spread, absl::string_view reason) {
  engine::MutexLock lock(mutex_);
  if (wire_ == nullptr || ended_ || id_.empty()) return;
  v1::SessionGoAway* go_away = outbox_.Tail(128).mutable_go_away();
  rpc::SetSpan(spread, go_away->mutable_spread());
  go_away->set_reason(std::string(reason));
  Flush();
}

}  // namespace credbroker::session
