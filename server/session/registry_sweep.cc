// What time does to sessions: the silent are lost, those that do not read are cut, the detached are
// forgotten; and the marker in the store.
#include <algorithm>
#include <utility>

#include "server/obs/log.h"
#include "server/rpc/status.h"
#include "server/session/registry.h"

namespace credbroker::session {
namespace {

// A stream that was ended but whose client does not read is cut after so long.
constexpr absl::Duration kEndPatience = absl::Seconds(1);
// The marker stays so long after the last session, so that one that comes and goes costs no
// commits.
constexpr absl::Duration kMarkerIdle = absl::Seconds(2);

grpc::Status DoesNotRead(const char* limit) {
  return rpc::Error(v1::ERROR_REASON_LIMIT_REACHED, "this session does not read",
                    {{"limit", limit}});
}

}  // namespace

void SessionRegistry::Sweep() {
  const absl::Time now = Now();
  const absl::Duration ttl = terms().ttl;
  std::vector<Awaited> settled;  // let go of without the lock
  std::vector<SettlementHold> former;
  Ends ends;
  Peers silent, gone;
  bool clear_marker = false, set_marker = false;
  {
    engine::MutexLock lock(mutex_);
    SweepArriving(now, ttl, ends);
    bool changed = false;
    for (auto it = entries_.begin(); it != entries_.end();) {
      const auto here = it++;
      Entry& entry = here->second;
      if (entry.open) {
        SweepOpen(entry, now, ends, silent, gone);
        continue;
      }
      if (now >= entry.lost) {
        for (Awaited& awaited : entry.peer->TakeAwaited()) settled.push_back(std::move(awaited));
      }
      if (now < entry.deadline) continue;
      Forget(here);
      changed = true;
    }
    if (changed) Publish();
    for (auto& [peer, since] : ending_) {
      if (since + kEndPatience > now) continue;
      gone.push_back(peer);
      since = absl::InfiniteFuture();
    }
    if (now >= former_lost_) former.swap(former_awaited_);
    // Those that are being opened count for their principal already.
    const bool idle = by_principal_.empty();
    if (marker_ == Marker::kOn && idle && now >= idle_since_ + kMarkerIdle &&
        now >= marker_until_) {
      marker_ = Marker::kTurningOff;
      clear_marker = true;
    }
    if (marker_ == Marker::kOff && !opening_.empty()) {
      marker_ = Marker::kTurningOn;
      set_marker = true;
    }
  }
  for (const auto& [peer, status] : ends) peer->End(status);
  // Once its stream is ended no ping is answered any more: what its client was told last is known.
  if (!silent.empty()) {
    engine::MutexLock lock(mutex_);
    for (const auto& peer : silent) {
      const auto found = entries_.find(peer->id());
      if (found == entries_.end()) continue;
      if (found->second.peer == peer && found->second.open) Detach(found->second);
    }
    Publish();
  }
  for (const auto& peer : gone) peer->Cut();
  if (clear_marker) SetMarker(false);
  if (set_marker) SetMarker(true);
}

// Streams on which hello did not come.
void SessionRegistry::SweepArriving(absl::Time now, absl::Duration ttl, Ends& ends) {
  for (auto it = arriving_.begin(); it != arriving_.end();) {
    const auto here = it++;
    const std::shared_ptr<SessionPeer>& peer = here->second;
    const bool late = peer->last_heard() + ttl <= now;
    if (!late && !peer->ended()) continue;
    if (!peer->ended()) {
      counters_.silent.Increment();
      ends.emplace_back(
          peer, rpc::Error(v1::ERROR_REASON_DEADLINE, "no hello came within the ttl of a session"));
    }
    ending_.emplace_back(peer, now);
    arriving_.erase(here);
  }
}

void SessionRegistry::SweepOpen(Entry& entry, absl::Time now, Ends& ends, Peers& silent,
                                Peers& gone) {
  const absl::Duration ttl = entry.promised.ttl;
  if (entry.peer->last_heard() + ttl <= now) {
    counters_.silent.Increment();
    ends.emplace_back(entry.peer, rpc::Error(v1::ERROR_REASON_DEADLINE,
                                             "nothing was heard for the session's ttl; resume it"));
    ending_.emplace_back(entry.peer, now);
    silent.push_back(entry.peer);
    return;
  }
  if (!entry.peer->ended()) {
    const SessionPeer::Behind behind = entry.peer->BehindSince(now - ttl);
    if (behind == SessionPeer::Behind::kNothing) return;
    counters_.cut.Increment();
    ends.emplace_back(entry.peer, DoesNotRead(behind == SessionPeer::Behind::kReading
                                                  ? "time a message may wait for its reader"
                                                  : "time a revocation may go unacknowledged"));
    entry.ended = now;
    return;
  }
  if (entry.ended == absl::InfiniteFuture()) {
    entry.ended = now;
  } else if (entry.ended + kEndPatience <= now) {
    gone.push_back(entry.peer);
  }
}

// --- the marker ---

void SessionRegistry::SetMarker(bool live) {
  engine_.SetSessionsLive(live, [link = marker_link_, live](const absl::StatusOr<bool>& result) {
    SessionRegistry* registry = nullptr;
    {
      engine::MutexLock lock(link->mutex);
      registry = link->registry;
      if (registry == nullptr) return;
      ++link->running;
    }
    registry->OnMarker(live, result.status());
    engine::MutexLock lock(link->mutex);
    if (--link->running == 0) link->idle.NotifyAll();
  });
}

void SessionRegistry::OnMarker(bool live, const absl::Status& status) {
  std::vector<std::shared_ptr<SessionPeer>> opening;
  bool again = false;
  {
    engine::MutexLock lock(mutex_);
    if (live) {
      marker_ = status.ok() ? Marker::kOn : Marker::kOff;
      opening = std::exchange(opening_, {});
      if (!status.ok()) {
        for (const auto& peer : opening) {
          if (--by_principal_[peer->principal()] == 0) by_principal_.erase(peer->principal());
          ending_.emplace_back(peer, Now());
        }
      }
      idle_since_ = Now();
    } else {
      // Not cleared: it says more than is true, and is tried again.
      marker_ = status.ok() ? Marker::kOff : Marker::kOn;
      idle_since_ = Now();
      again = status.ok() && !opening_.empty();
      if (again) marker_ = Marker::kTurningOn;
      if (!status.ok()) opening = std::exchange(opening_, {});
    }
  }
  if (again) return SetMarker(true);
  for (const auto& peer : opening) {
    if (status.ok() || !live) {
      Complete(peer);
    } else {
      peer->OnOpened({.status = rpc::FromAbsl(status)});
    }
  }
  if (!status.ok())
    obs::LogWarning("session", "the live-sessions marker was not written", {{"error", status}});
}

}  // namespace credbroker::session
