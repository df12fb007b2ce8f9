// How a stream begins: a new session or one that goes on, and the leases the client brings.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "core/model_rules.h"
#include "server/rpc/convert.h"
#include "server/rpc/validate.h"
#include "server/session/fill.h"
#include "server/session/peer.h"

namespace credbroker::session {
namespace {

constexpr absl::Duration kLongestLease = absl::Hours(1);
// So many adopted leases more than were live are remembered before those that ended are dropped.
constexpr size_t kAdoptedSlack = 1024;

Adoptions::key_type KeyOf(const v1::SessionResumedLease& lease) {
  return {lease.lease(), absl::ToUnixNanos(rpc::ToTime(lease.grant_time()))};
}

}  // namespace

void SessionPeer::Hello(v1::SessionRequest& message) {
  hello_.Swap(&message);
  more_ = hello_.hello().more();
  if (phase_ == Phase::kFirst) {
    client_ = hello_.hello().client();
    instance_ = hello_.hello().instance();
    wanted_ = hello_.hello().session_id();
    return host_.Open(shared_from_this(), hello_.hello());
  }
  Settled();
}

void SessionPeer::OnOpened(Opened opened) {
  if (!opened.status.ok()) {
    Fail(opened.status);
    // As below: the host may wait for it to go, and it went before that.
    bool gone = false;
    {
      engine::MutexLock lock(mutex_);
      gone = wire_ == nullptr;
    }
    if (gone) host_.Left(*this);
    return;
  }
  session_ = opened.session;
  resumed_ = opened.resumed;
  for (engine::HeldLease& lease : opened.held) {
    opened.newest = std::max(opened.newest, lease.seq);
    held_.emplace(lease.lease, std::move(lease));
  }
  leases_ = held_.size();
  // Of one that has ended since, the client learns from its ticket.
  absl::erase_if(opened.adopted, [&](const auto& entry) { return !held_.contains(entry.second); });
  bool over = false;
  {
    engine::MutexLock lock(mutex_);
    id_ = opened.id;
    // Not settled before every lease of before was looked at. Some may wait for this stream
    // already.
    for (Awaited& awaited : opened.awaited) {
      awaited_.push_back({.number = UINT64_MAX, .hold = std::move(awaited.hold)});
    }
    adopted_ = std::move(opened.adopted);
    adopted_live_ = adopted_.size();
    newest_ = opened.newest;
    missed_.Append(std::move(opened.missed));
    over = wire_ == nullptr;
    if (!over) Welcome(opened);
  }
  // The host did not know us yet when it was told that the stream is over.
  if (over) return host_.Left(*this);
  Settled();
}

void SessionPeer::Welcome(const Opened& opened) {
  const Terms& terms = opened.terms;
  v1::SessionWelcome* welcome = outbox_.Tail(256).mutable_welcome();
  welcome->set_session_id(opened.id);
  welcome->set_resumed(opened.resumed);
  rpc::SetSpan(terms.ttl, welcome->mutable_ttl());
  rpc::SetSpan(terms.grace, welcome->mutable_grace());
  rpc::SetSpan(terms.ping_interval, welcome->mutable_ping_interval());
  rpc::SetSpan(terms.cancel_within, welcome->mutable_cancel_within());
  welcome->set_epoch(static_cast<int64_t>(host_.epoch()));
  rpc::SetTime(host_.Now(), welcome->mutable_now());
}

// One message of hello was received and the session is open.
void SessionPeer::Settled() {
  v1::SessionRequest message;
  message.Swap(&hello_);
  ResumeLeases(message.hello().leases());
  if (more_) {
    phase_ = Phase::kLeases;
    {
      engine::MutexLock lock(mutex_);
      outbox_.Tail(16).set_processed(number_);
      Flush();
    }
    return ReadOn();
  }
  phase_ = Phase::kOpen;
  // What the client did not name is nobody's any more.
  std::vector<uint64_t> unnamed;
  for (const auto& [lease, held] : held_) unnamed.push_back(lease);
  held_ = {};
  if (!unnamed.empty()) host_.engine().Release(session_, unnamed);
  leases_ -= std::min(leases_, unnamed.size());
  std::vector<Awaited> settled;  // let go of without the lock
  {
    engine::MutexLock lock(mutex_);
    greeted_ = true;
    const uint64_t newest = outbox_.newest_revocation();
    if (newest == acknowledged_) settled = std::exchange(awaited_, {});
    for (Awaited& awaited : awaited_) awaited.number = newest;
  }
  Apply(message);
}

void SessionPeer::ResumeLeases(const ResumedLeases& leases) {
  if (leases.empty()) return;
  const absl::Time now = host_.Now();
  std::vector<Resumed> resumed;
  resumed.reserve(static_cast<size_t>(leases.size()));
  const std::vector<uint64_t> numbers = NumbersOf(leases);
  for (int i = 0; i < leases.size(); ++i) {
    resumed.push_back(ResumeOne(leases[i], numbers[static_cast<size_t>(i)], now));
  }
  if (AnswerResumed(resumed, leases)) return;
  // The stream is over: nobody will hear of what was adopted. The client presents it again.
  std::vector<uint64_t> adopted;
  for (const Resumed& lease : resumed) {
    if (lease.adopted) adopted.push_back(lease.lease);
  }
  if (!adopted.empty()) host_.engine().Release(session_, adopted);
}

// Under which numbers the session would hold them; 0: it does not. One that was adopted on a stream
// before goes under the number its client gave it as long as the client does not know the other;
// and a client that does not know the session knows none of its numbers.
std::vector<uint64_t> SessionPeer::NumbersOf(const ResumedLeases& leases) {
  std::vector<uint64_t> numbers(static_cast<size_t>(leases.size()));
  if (held_.empty()) return numbers;
  engine::MutexLock lock(mutex_);
  for (int i = 0; i < leases.size(); ++i) {
    const auto adopted = adopted_.find(KeyOf(leases[i]));
    const bool again = adopted != adopted_.end() && held_.contains(adopted->second);
    numbers[static_cast<size_t>(i)] = again ? adopted->second : resumed_ ? leases[i].lease() : 0;
  }
  return numbers;
}

bool SessionPeer::AnswerResumed(const std::vector<Resumed>& resumed, const ResumedLeases& leases) {
  engine::MutexLock lock(mutex_);
  Views views;
  for (const Resumed& lease : resumed) {
    RememberSuffix(std::string(SuffixOf(lease.model)));
    newest_ = std::max(newest_, lease.order);
    if (lease.lease != 0) Meet(lease.uid, views);
  }
  Introduce(views);
  for (const Resumed& lease : resumed) {
    const uint32_t index = lease.lease == 0 ? 0 : IndexOf(lease.uid);
    v1::SessionResumption* out = outbox_.Tail(40).add_resumptions();
    out->set_old_lease(lease.old_lease);
    if (index == 0) {
      host_.counters().refused_leases.Increment();
      continue;
    }
    out->set_lease(lease.lease);
    out->set_credential(index);
    out->set_order(lease.order.number());
    host_.counters().resumed_leases.Increment();
  }
  // What happened while the client could not be told. It may still know what came with leases that
  // ended since, so these are covered too.
  for (const engine::IssuedView& view : views) {
    const uint32_t index = IndexOf(view.uid);
    if (index == 0) continue;
    if (!IsOpen(view)) Revoke(RevokedBy(view, newest_), index);
    for (const std::string& model : view.waiting_models) {
      core::Revoked revoked = RevokedBy(view, newest_);
      revoked.model = model;
      Revoke(revoked, index);
    }
  }
  // What was drawn in a process before may have been for another group, model or label.
  absl::flat_hash_set<core::Uid> changed;
  for (const Resumed& lease : resumed) {
    const uint32_t index = lease.adopted ? IndexOf(lease.uid) : 0;
    if (index == 0 || lease.revision == known_.Find(lease.uid)->revision) continue;
    if (!changed.insert(lease.uid).second) continue;
    Revoke(
        {.uid = lease.uid, .model = "", .covers = newest_, .reason = core::RevokeReason::kChanged},
        index);
  }
  if (wire_ == nullptr || ended_) return false;
  RememberAdopted(resumed, leases);
  return true;
}

void SessionPeer::RememberAdopted(const std::vector<Resumed>& resumed,
                                  const ResumedLeases& leases) {
  for (size_t i = 0; i < resumed.size(); ++i) {
    if (resumed[i].adopted) adopted_[KeyOf(leases[static_cast<int>(i)])] = resumed[i].lease;
  }
  if (adopted_.size() <= 2 * adopted_live_ + kAdoptedSlack) return;
  absl::flat_hash_set<uint64_t> live;
  for (const engine::HeldLease& held : host_.engine().Held(session_)) live.insert(held.lease);
  absl::erase_if(adopted_, [&](const auto& entry) { return !live.contains(entry.second); });
  adopted_live_ = adopted_.size();
}

bool SessionPeer::IsCapped(core::Uid uid) const {
  engine::IssuedView view{.uid = uid};
  host_.engine().Look(absl::MakeSpan(&view, 1));
  return view.issued.has_value() && view.issued->capped;
}

SessionPeer::Resumed SessionPeer::ResumeOne(const v1::SessionResumedLease& lease, uint64_t number,
                                            absl::Time now) {
  Resumed out{.old_lease = lease.lease(), .model = lease.model()};
  if (const auto found = held_.find(number); found != held_.end()) {
    out.lease = number;
    out.uid = found->second.uid;
    out.order = found->second.seq;
    held_.erase(found);
    return out;
  }
  const auto claims = host_.engine().OpenTicket(lease.ticket(), principal_);
  const absl::Time expires = rpc::ToTime(lease.expire_time());
  if (!claims.has_value() || expires <= now) return out;
  // A session holds no more than its limit, by whatever way.
  if (!MayHold(1)) return out;
  // What began without the broker never has a cap: a slot of one that has goes to who waits for it.
  if (phase_ == Phase::kOpen && IsCapped(claims->uid)) return out;
  if (resumed_ && host_.engine().Remembered(session_, lease.lease())) {
    // It was reported or released and the answer got lost: it keeps its number, and what the client
    // says of it again is a duplicate.
    out.lease = lease.lease();
    out.uid = claims->uid;
    return out;
  }
  const absl::Time granted = std::min(now, rpc::ToTime(lease.grant_time()));
  const core::AdoptReply reply =
      host_.engine().Adopt({.session = session_,
                            .uid = claims->uid,
                            .model = core::CanonicalModel(lease.model()),
                            .material_version = claims->material_version,
                            .granted = granted,
                            .expires = std::min(expires, granted + kLongestLease)});
  if (reply.result != core::AdoptResult::kAdopted) return out;
  ++leases_;
  out.adopted = true;
  out.revision = claims->revision;
  out.lease = engine::LeaseNumber(reply.seq, reply.cell);
  out.uid = claims->uid;
  out.order = reply.seq;
  return out;
}

}  // namespace credbroker::session
