// What clients with a session do, and what becomes of the sessions nobody hears of.
#include "tests/sim/run.h"

namespace credbroker::sim {

namespace {
constexpr size_t kMostLeases = 40;  // of one session: a close ends them in one step
constexpr size_t kMostSessions = 6;
}  // namespace

void Simulation::SessionEvent(uint32_t event) {
  const uint64_t kind = world_.Pick(event, "kind of session event", 100);
  if (kind < 14) return OpenSession(event);
  if (kind < 28) return DetachSession(event);
  if (kind < 40) return ResumeSession(event);
  if (kind < 46) return CloseSession(event);
  if (kind < 80) return Stock(event);
  Adopt(event);
}

const Open* Simulation::AnySession(uint32_t event, const std::string& principal) const {
  std::vector<const Open*> mine;
  for (const Open& session : sessions_) {
    if (principal.empty() || session.principal == principal) mine.push_back(&session);
  }
  return mine.empty() ? nullptr : mine[world_.Pick(event, "session of all", mine.size())];
}

core::SessionId Simulation::SessionFor(uint32_t event, const std::string& principal) const {
  const Open* found = AnySession(event, principal);
  if (found == nullptr || found->epoch != epoch_ || !model_.IsOpen(found->id.number()) ||
      model_.LeasesOf(found->id.number()) >= kMostLeases) {
    return {};
  }
  return found->id;
}

core::SessionLease Simulation::NameOf(uint32_t event, const Held& held) const {
  core::SessionLease name = held.lease;
  if (world_.Chance(event, "other session", 6)) {
    if (const Open* other = AnySession(event)) name.session = other->id;
  } else if (world_.Chance(event, "forged", 4)) {
    switch (world_.Pick(event, "forged#", 4)) {
      case 0:
        name.cell = UINT32_MAX;
        break;
      case 1:
        name.cell += 1;
        break;
      case 2:
        name.seq_low += 1;
        break;
      default:
        name.session = core::SessionId(name.session.number() + (1 << 20));
    }
  }
  return name;
}

void Simulation::OpenSession(uint32_t event) {
  Open session;
  session.epoch = epoch_;
  session.principal = absl::StrCat("p", 1 + world_.Pick(event, "principal", 3));
  session.id = pool_->OpenSession(session.principal, Told(event));
  Say(absl::StrCat("open session ", session.id.number(), " of ", session.principal));
  Mix(absl::StrCat("session", session.id.number()));
  model_.Opened(session.id, session.principal);
  sessions_.push_back(session);
  if (sessions_.size() > kMostSessions) {
    const core::SessionId oldest = sessions_.front().id;
    const bool ours = sessions_.front().epoch == epoch_;
    sessions_.erase(sessions_.begin());
    if (!ours) return;
    effects_.clear();
    const bool closed = pool_->CloseSession(oldest, now_, effects_);
    Say(absl::StrCat("close session ", oldest.number(), ": ", closed));
    Note();
    model_.Closed(oldest, closed, effects_);
    model_.Told(effects_);
  }
}

void Simulation::DetachSession(uint32_t event) {
  const Open* session = AnySession(event);
  if (session == nullptr || session->epoch != epoch_) return;
  const absl::Time deadline =
      now_ + absl::Seconds(static_cast<int64_t>(world_.Pick(event, "deadline", 45)));
  Say(absl::StrCat("detach session ", session->id.number()));
  See("session", "detached");
  const core::SessionId id = session->id;
  pool_->DetachSession(id, deadline, Told(event));
  model_.Detached(id, deadline);
  if (world_.Chance(event, "calls go too", 50)) return;
  std::vector<uint64_t> gone;
  for (const auto& [waiter, whose] : waiting_) {
    if (whose.second == id) gone.push_back(waiter);
  }
  for (uint64_t waiter : gone) {
    effects_.clear();
    pool_->CancelWait(core::WaiterId(waiter), now_, effects_);
    Note();
    model_.Cancelled(waiter, effects_);
    model_.Told(effects_);
  }
}

void Simulation::ResumeSession(uint32_t event) {
  const Open* session = AnySession(event);
  if (session == nullptr || session->epoch != epoch_) return;
  const std::string who = world_.Chance(event, "foreign", 10) ? "px" : session->principal;
  const bool resumed = pool_->ResumeSession(session->id, who, Told(event));
  Say(absl::StrCat("resume session ", session->id.number(), ": ", resumed));
  See("session", resumed ? "resumed" : "not resumed");
  Mix(absl::StrCat("resumed", resumed));
  model_.Resumed(session->id, who, resumed);
}

void Simulation::CloseSession(uint32_t event) {
  const Open* session = AnySession(event);
  if (session == nullptr || session->epoch != epoch_) return;
  effects_.clear();
  const bool closed = pool_->CloseSession(session->id, Told(event), effects_);
  Say(absl::StrCat("close session ", session->id.number(), ": ", closed));
  Note();
  model_.Closed(session->id, closed, effects_);
  model_.Told(effects_);
}

void Simulation::Stock(uint32_t event) {
  const Ask ask = world_.Call(event);
  const core::SessionId session = SessionFor(event, ask.principal);
  if (session == core::kNoSession) return;
  const int count = static_cast<int>(1 + world_.Pick(event, "count", 12));
  Say(absl::StrCat("stock of ", count, " in ", session.number(), ": ", Show(ask)));
  WithCommand(ask, [&](core::AcquireCommand command) {
    command.session = session;
    std::vector<core::StockLease> leases;
    effects_.clear();
    const core::StockReply reply =
        pool_->AcquireStock(command, count, Told(event), leases, effects_);
    See("stock", reply.granted == count ? "all" : reply.granted > 0 ? "some" : "none");
    if (reply.refusal) See("refusal", core::Name(reply.refusal->reason));
    model_.Stocked(command, count, reply, leases, effects_);
    Note();
    model_.Told(effects_);
    for (const core::StockLease& lease : leases) {
      const auto issued = pool_->IssuedOf(lease.uid);
      Expect(issued.has_value() && issued->material != nullptr, "stock without material");
      Expect(!issued->capped, "stock of a capped credential");
      Held held;
      held.event = event_;
      held.claims.seq = lease.seq;
      held.claims.cell = lease.cell;
      held.claims.epoch = epoch_;
      held.claims.uid = lease.uid;
      held.claims.material_version = lease.material_version;
      held.claims.kind = issued->document->kind;
      held.claims.refreshable = issued->material->refreshable;
      held.claims.principal = ask.principal;
      held.claims.provider = issued->document->provider;
      held.claims.model = std::string(lease.model);
      held.claims.granted = reply.granted_at;
      held.claims.expires = reply.expires;
      Say(absl::StrCat("  ", issued->document->id.view(), " lease ", lease.seq.number()));
      Mix(issued->document->id);
      const core::SessionLease name{session, lease.cell, static_cast<uint32_t>(lease.seq.number())};
      const auto facts = pool_->FactsOf(name);
      Expect(facts && facts->live && facts->document == issued->document &&
                 facts->model == held.claims.model && facts->granted == reply.granted_at &&
                 facts->material_version == lease.material_version,
             "what a lease of stock is");
      Hold(held, session);
    }
  });
}

// A client that lost its session, perhaps with its broker, comes back with what it holds.
void Simulation::Adopt(uint32_t event) {
  const Held* held = Target(event);
  if (world_.Chance(event, "of before", 60)) {
    for (const Held& old : held_) {
      if (old.of_session() && old.claims.epoch < epoch_ && old.claims.expires > now_) held = &old;
    }
  }
  if (held == nullptr || !held->of_session()) return;
  const core::LeaseClaims claims = held->claims;
  const core::SessionId session = SessionFor(event, claims.principal);
  core::AdoptCommand command;
  command.session = session;
  command.uid = claims.uid;
  command.model = claims.model;
  command.material_version = claims.material_version;
  command.granted = claims.granted;
  command.expires = claims.expires;
  effects_.clear();
  const core::AdoptReply reply = pool_->Adopt(command, Told(event), effects_);
  Say(absl::StrCat("adopt lease ", claims.seq.number(), " of epoch ", claims.epoch, " in ",
                   session.number(), ": ", std::string(core::Name(reply.result))));
  See("adoption", core::Name(reply.result));
  Mix(core::Name(reply.result));
  Note();
  model_.Adopted(command, reply, effects_);
  model_.Told(effects_);
  if (reply.result != core::AdoptResult::kAdopted) return;
  Held mine;
  mine.event = event_;
  mine.claims = claims;
  mine.claims.seq = reply.seq;
  mine.claims.cell = reply.cell;
  mine.claims.epoch = epoch_;
  mine.claims.granted = reply.granted;
  mine.claims.expires = reply.expires;
  Hold(mine, session);
}

}  // namespace credbroker::sim
