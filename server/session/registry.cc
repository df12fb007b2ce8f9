#include "server/session/registry.h"

#include <sys/random.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "server/obs/log.h"
#include "server/rpc/status.h"

namespace credbroker::session {
namespace {

std::string NewId() {
  std::string id(kSessionIdBytes, '\0');
  CB_CHECK(::getrandom(id.data(), id.size(), 0) == static_cast<ssize_t>(id.size()));
  return id;
}

grpc::Status TooMany(const char* what, size_t limit) {
  return rpc::Error(v1::ERROR_REASON_LIMIT_REACHED, absl::StrCat("at most ", limit, " ", what),
                    {{"limit", what}, {"value", absl::StrCat(limit)}});
}

grpc::Status Stopping() {
  return rpc::Error(v1::ERROR_REASON_SHUTTING_DOWN, "the server is stopping");
}

}  // namespace

SessionRegistry::SessionRegistry(engine::Engine& engine, Terms terms)
    : engine_(engine), terms_(terms), peers_(std::make_shared<const Peers>()) {}

SessionRegistry::~SessionRegistry() { Stop(); }

void SessionRegistry::Start(uint64_t epoch) {
  epoch_.store(epoch, std::memory_order_relaxed);
  {
    engine::MutexLock lock(mutex_);
    if (engine_.sessions().were_live()) {
      // Those of before have until then to come back.
      const Terms now_terms = terms();
      marker_ = Marker::kOn;
      former_lost_ = Now() + now_terms.ttl;
      marker_until_ = former_lost_ + now_terms.grace;
    }
  }
  {
    engine::MutexLock lock(marker_link_->mutex);
    marker_link_->registry = this;
  }
  engine_.sessions().SetListener(this);
}

void SessionRegistry::Stop() {
  engine_.sessions().SetListener(nullptr);
  engine::MutexLock lock(marker_link_->mutex);
  marker_link_->registry = nullptr;
  while (marker_link_->running > 0) marker_link_->idle.Wait(marker_link_->mutex);
}

void SessionRegistry::SetTerms(Terms terms) {
  engine::MutexLock lock(config_mutex_);
  terms_ = terms;
}

Terms SessionRegistry::terms() const {
  engine::MutexLock lock(config_mutex_);
  return terms_;
}

void SessionRegistry::SetBaseUrls(std::shared_ptr<const BaseUrls> urls) {
  engine::MutexLock lock(config_mutex_);
  base_urls_ = std::move(urls);
}

std::string SessionRegistry::BaseUrlOf(absl::string_view provider, core::Kind kind) const {
  engine::MutexLock lock(config_mutex_);
  if (base_urls_ == nullptr) return "";
  const auto found = base_urls_->find(provider);
  return found == base_urls_->end() ? "" : found->second[static_cast<size_t>(kind)];
}

// --- opening ---

void SessionRegistry::Arrived(const std::shared_ptr<SessionPeer>& peer) {
  engine::MutexLock lock(mutex_);
  arriving_.emplace(peer.get(), peer);
}

void SessionRegistry::Open(std::shared_ptr<SessionPeer> peer, const v1::SessionHello& hello) {
  {
    engine::MutexLock lock(mutex_);
    arriving_.erase(peer.get());
  }
  SessionPeer::Opened opened;
  if (!hello.session_id().empty() && Resume(peer, &opened)) {
    return peer->OnOpened(std::move(opened));
  }
  bool set_marker = false, complete = false;
  {
    engine::MutexLock lock(mutex_);
    opened.status = draining_ ? Stopping() : Admit(peer->principal());
    if (opened.status.ok()) {
      ++by_principal_[peer->principal()];
      complete = marker_ == Marker::kOn;
      if (!complete) {
        opening_.push_back(peer);
        // One that is being turned off is turned on again when that is through.
        set_marker = marker_ == Marker::kOff;
        if (set_marker) marker_ = Marker::kTurningOn;
      }
    } else {
      counters_.refused.Increment();
      ending_.emplace_back(peer, Now());
    }
  }
  if (!opened.status.ok()) return peer->OnOpened(std::move(opened));
  if (complete) return Complete(peer);
  if (set_marker) SetMarker(true);
}

grpc::Status SessionRegistry::Admit(const std::string& principal) {
  const Terms limits = terms();
  if (entries_.size() + opening_.size() >= limits.max_sessions) {
    return TooMany("sessions", limits.max_sessions);
  }
  const auto found = by_principal_.find(principal);
  if (found != by_principal_.end() && found->second >= limits.max_sessions_per_principal) {
    return TooMany("sessions of one principal", limits.max_sessions_per_principal);
  }
  return grpc::Status::OK;
}

// The session it wants, or the one it got in its place.
SessionRegistry::Entries::iterator SessionRegistry::Find(const SessionPeer& peer) {
  const auto found = entries_.find(peer.wanted());
  if (found != entries_.end()) return found;
  const auto instead = instead_.find(std::make_pair(peer.principal(), peer.wanted()));
  return instead == instead_.end() ? found : entries_.find(instead->second);
}

bool SessionRegistry::Resume(const std::shared_ptr<SessionPeer>& peer,
                             SessionPeer::Opened* opened) {
  std::shared_ptr<SessionPeer> before;
  {
    engine::MutexLock lock(mutex_);
    const auto found = Find(*peer);
    // Another principal's is not found: it must not learn that it is there.
    if (draining_ || found == entries_.end() || found->second.principal != peer->principal()) {
      return false;
    }
    Entry& entry = found->second;
    if (!engine().Resume(entry.session, entry.principal)) return false;  // freed just now
    before = std::exchange(entry.peer, peer);
    if (entry.open) {
      counters_.replaced.Increment();
      ending_.emplace_back(before, Now());
    }
    entry.open = true;
    entry.ended = absl::InfiniteFuture();
    opened->id = found->first;
    opened->session = entry.session;
    opened->terms = terms();
    entry.promised.ttl = std::max(entry.promised.ttl, opened->terms.ttl);
    entry.promised.grace = std::max(entry.promised.grace, opened->terms.grace);
    opened->resumed = found->first == peer->wanted();
    if (opened->resumed) OnlyByItsId(found);
    Publish();
  }
  before->End(rpc::Error(v1::ERROR_REASON_REPLACED, "the session was resumed on another stream"));
  counters_.resumed.Increment();
  before->HandOver(peer, opened);
  opened->held = engine().Held(opened->session);
  return true;
}

void SessionRegistry::Complete(const std::shared_ptr<SessionPeer>& peer) {
  SessionPeer::Opened opened;
  opened.session = engine().Open(peer->principal());
  if (opened.session == core::kNoSession) {
    opened.status = Stopping();
    engine::MutexLock lock(mutex_);
    if (--by_principal_[peer->principal()] == 0) by_principal_.erase(peer->principal());
    ending_.emplace_back(peer, Now());
  } else {
    opened.id = NewId();
    opened.terms = terms();
    engine::MutexLock lock(mutex_);
    std::string instead_of;
    if (!peer->wanted().empty() &&
        instead_.emplace(std::make_pair(peer->principal(), peer->wanted()), opened.id).second) {
      instead_of = peer->wanted();
    }
    entries_.emplace(opened.id, Entry{.principal = peer->principal(),
                                      .instead_of = std::move(instead_of),
                                      .session = opened.session,
                                      .peer = peer,
                                      .promised = opened.terms,
                                      .open = true,
                                      .opened = Now(),
                                      .lost = absl::InfiniteFuture(),
                                      .deadline = absl::InfiniteFuture()});
    Publish();
    counters_.opened.Increment();
  }
  peer->OnOpened(std::move(opened));
}

// --- leaving ---

void SessionRegistry::Left(SessionPeer& peer) {
  std::vector<Awaited> settled;  // let go of without the lock
  engine::MutexLock lock(mutex_);
  arriving_.erase(&peer);
  ending_.erase(std::remove_if(ending_.begin(), ending_.end(),
                               [&](const auto& ending) { return ending.first.get() == &peer; }),
                ending_.end());
  const auto found = entries_.find(peer.id());
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (entry.peer.get() != &peer || !entry.open) return;  // it goes on elsewhere, or is silent
  Detach(entry);
  if (engine().Count(entry.session) == 0) {
    // It holds nothing, so there is nothing to come back to.
    settled = peer.TakeAwaited();
    Forget(found);
  }
  Publish();
}

void SessionRegistry::Detach(Entry& entry) {
  entry.open = false;
  entry.lost = entry.peer->last_heard() + entry.promised.ttl;
  entry.deadline = entry.lost + entry.promised.grace;
  engine().Detach(entry.session, entry.deadline);
}

void SessionRegistry::OnlyByItsId(Entries::iterator entry) {
  if (entry->second.instead_of.empty()) return;
  instead_.erase(
      std::make_pair(entry->second.principal, std::exchange(entry->second.instead_of, {})));
}

void SessionRegistry::Forget(Entries::iterator entry) {
  engine().Close(entry->second.session);
  OnlyByItsId(entry);
  const auto count = by_principal_.find(entry->second.principal);
  if (--count->second == 0) by_principal_.erase(count);
  entries_.erase(entry);
  counters_.closed.Increment();
  if (entries_.empty()) idle_since_ = Now();
}

// --- everybody ---

void SessionRegistry::Publish() {
  auto fresh = std::make_shared<Peers>();
  fresh->reserve(entries_.size());
  size_t open = 0;
  for (const auto& [id, entry] : entries_) {
    fresh->push_back(entry.peer);
    open += entry.open ? 1 : 0;
  }
  open_.store(open, std::memory_order_relaxed);
  engine::MutexLock lock(peers_mutex_);
  peers_ = std::move(fresh);
}

std::shared_ptr<const SessionRegistry::Peers> SessionRegistry::peers() const {
  engine::MutexLock lock(peers_mutex_);
  return peers_;
}

void SessionRegistry::OnRevoked(absl::Span<const core::Revoked> revoked) {
  const std::shared_ptr<const Peers> all = peers();
  for (const core::Revoked& one : revoked) {
    for (const auto& peer : *all) peer->OnRevoked(one);
  }
}

void SessionRegistry::OnChanged(absl::Span<const core::Uid> changed) {
  const std::shared_ptr<const Peers> all = peers();
  for (const core::Uid uid : changed) {
    for (const auto& peer : *all) peer->OnChanged(uid);
  }
}

void SessionRegistry::WhenSettled(core::Uid uid, absl::AnyInvocable<void()> done) {
  const auto hold = std::make_shared<Settlement>(std::move(done));  // let go of without the lock
  engine::MutexLock lock(mutex_);
  if (draining_) return;
  const absl::Time now = Now();
  for (const auto& [id, entry] : entries_) {
    if (entry.open || now < entry.lost) entry.peer->Settle(uid, hold);
  }
  if (now < former_lost_) former_awaited_.push_back(hold);
}

void SessionRegistry::GoAway(absl::Duration spread, absl::string_view reason) {
  std::vector<Awaited> settled;  // let go of without the lock
  std::vector<SettlementHold> former;
  {
    engine::MutexLock lock(mutex_);
    draining_ = true;
    former.swap(former_awaited_);
    for (const auto& [id, entry] : entries_) {
      for (Awaited& awaited : entry.peer->TakeAwaited()) settled.push_back(std::move(awaited));
    }
  }
  for (const auto& peer : *peers()) peer->GoAway(spread, reason);
}

void SessionRegistry::EndAll(const grpc::Status& status) {
  std::vector<std::shared_ptr<SessionPeer>> opening;
  {
    engine::MutexLock lock(mutex_);
    draining_ = true;
    opening = std::exchange(opening_, {});
    for (const auto& [key, peer] : arriving_) opening.push_back(peer);
  }
  for (const auto& peer : opening) peer->End(status);
  for (const auto& peer : *peers()) peer->End(status);
}

size_t SessionRegistry::open() const { return open_.load(std::memory_order_relaxed); }

SessionRegistry::Stats SessionRegistry::stats(size_t limit) const {
  Stats out;
  engine::MutexLock lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    ++(entry.open ? out.open : out.detached);
    if (out.sessions.size() >= limit) continue;
    out.sessions.push_back({.client = entry.peer->client(),
                            .instance = entry.peer->instance(),
                            .principal = entry.principal,
                            .open = entry.open,
                            .opened = entry.opened,
                            .heard = entry.peer->last_heard()});
  }
  return out;
}

}  // namespace credbroker::session
