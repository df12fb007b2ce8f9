#include "server/engine/engine_sessions.h"

#include <algorithm>
#include <utility>

#include "server/engine/engine_state.h"

namespace credbroker::engine {

void EngineSessions::SetListener(SessionListener* listener) {
  state_.listener_.store(listener, std::memory_order_release);
}
bool EngineSessions::were_live() const { return state_.sessions_were_live_; }

core::SessionId EngineSessions::Open(absl::string_view principal) {
  core::SessionId session;
  if (!state_.serving()) return session;
  state_.Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
    session = pool.OpenSession(principal, now);
  });
  return session;
}

void EngineSessions::Detach(core::SessionId session, absl::Time deadline) {
  if (!state_.serving()) return;
  state_.Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
    pool.DetachSession(session, deadline, now);
  });
}

bool EngineSessions::Resume(core::SessionId session, absl::string_view principal) {
  bool resumed = false;
  if (!state_.serving()) return resumed;
  state_.Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
    resumed = pool.ResumeSession(session, principal, now);
  });
  return resumed;
}

bool EngineSessions::Close(core::SessionId session) {
  bool closed = false;
  if (!state_.serving()) return closed;
  state_.Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    closed = pool.CloseSession(session, now, effects);
  });
  return closed;
}

void EngineSessions::CancelWait(core::WaiterId waiter) {
  if (!state_.serving()) return;
  state_.Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    pool.CancelWait(waiter, now, effects);
  });
}

std::vector<HeldLease> EngineSessions::Held(core::SessionId session) const {
  std::vector<HeldLease> held;
  if (!state_.serving()) return held;
  state_.Read([&](const core::Pool& pool, absl::Time) {
    pool.VisitSession(session, [&](const core::Pool::HeldLease& lease) {
      held.push_back({.lease = LeaseNumber(lease.seq, lease.cell),
                      .seq = lease.seq,
                      .uid = lease.uid,
                      .model = std::string(lease.model),
                      .granted = lease.granted,
                      .expires = lease.expires});
    });
  });
  return held;
}

size_t EngineSessions::Count(core::SessionId session) const {
  size_t count = 0;
  if (!state_.serving()) return count;
  state_.Read([&](const core::Pool& pool, absl::Time) {
    pool.VisitSession(session, [&](const core::Pool::HeldLease&) { ++count; });
  });
  return count;
}

bool EngineSessions::Remembered(core::SessionId session, uint64_t lease) const {
  bool remembered = false;
  if (!state_.serving()) return remembered;
  state_.Read([&](const core::Pool& pool, absl::Time) {
    const std::optional<core::LeaseFacts> facts = pool.FactsOf(LeaseOf(session, lease));
    remembered = facts.has_value() && !facts->live;
  });
  return remembered;
}

core::AdoptReply EngineSessions::Adopt(const core::AdoptCommand& command) {
  core::AdoptReply reply;
  if (!state_.serving()) return reply;
  state_.Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    reply = pool.Adopt(command, now, effects);
  });
  return reply;
}

void EngineSessions::Look(absl::Span<IssuedView> views) const {
  if (!state_.serving()) return;
  for (size_t i = 0; i < views.size();) {
    state_.Read([&](const core::Pool& pool, absl::Time now) {
      const size_t end = std::min(views.size(), i + kStep);
      for (; i < end; ++i) {
        IssuedView& view = views[i];
        view.issued = pool.IssuedOf(view.uid);
        if (!view.issued.has_value()) continue;
        const std::optional<core::CredentialView> seen = pool.Get(view.issued->document->id, now);
        if (!seen.has_value() || seen->uid != view.uid) continue;
        view.state = seen->state;
        view.cause = seen->cause;
        view.half_open = seen->half_open;
        view.waiting_models = seen->waiting_models;
        if (seen->state == core::State::kWaiting) view.until = seen->next_recover;
      }
    });
  }
}

std::string EngineSessions::Ticket(const core::Issued& issued, absl::string_view principal) const {
  core::LeaseClaims claims;
  claims.epoch = state_.context_.epoch;
  claims.seq = core::LeaseSeq(issued.document->revision);  // it is no lease's
  claims.uid = issued.material->uid;
  claims.material_version = issued.material->version;
  claims.kind = issued.document->kind;
  claims.refreshable = issued.material->refreshable;
  claims.principal = std::string(principal);
  claims.provider = issued.document->provider;
  claims.granted = claims.expires = absl::UnixEpoch();
  return state_.tickets_->Encode(claims);
}

std::optional<EngineSessions::TicketClaims> EngineSessions::OpenTicket(
    absl::string_view ticket, absl::string_view principal) const {
  if (!state_.serving()) return std::nullopt;
  const std::optional<core::LeaseClaims> claims = state_.tickets_->Decode(ticket);
  if (!claims.has_value() || claims->principal != principal) return std::nullopt;
  return TicketClaims{.uid = claims->uid,
                      .material_version = claims->material_version,
                      .revision = claims->seq.number()};
}

}  // namespace credbroker::engine
