// What proxies do: acquire, wait, renew, release, report.
#include "tests/sim/run.h"

namespace credbroker::sim {

void Simulation::Step(uint32_t event) {
  InstallDue(event);
  AdvanceTo(now_ + world_.Step(event), world_.Chance(event, "late", 15));
  if (world_.sessions() && world_.Chance(event, "session event", 20)) return SessionEvent(event);
  const uint64_t kind = world_.Pick(event, "kind of event", 1000);
  if (kind < 400) return Acquire(event);
  if (kind < 740) return Report(event);
  if (kind < 780) return Release(event);
  if (kind < 810) return Renew(event);
  if (kind < 840) return Cancel(event);
  if (kind < 880) return Explain(event);
  if (kind < 960) return Edit(event);
  if (kind < 970) return Configure(event);
  if (kind < 975) return Crash(event);
  if (kind < 995) return Flush();
  Say("time passes");
}

std::string Simulation::Show(const Ask& ask) {
  return absl::StrCat(
      ask.principal, " ", ask.group, "/", absl::StrJoin(ask.providers, ","), "/", ask.model,
      ask.session.empty() ? "" : " session " + ask.session,
      ask.pin.empty() ? "" : " pin " + ask.pin,
      ask.excluded.empty() ? "" : " without " + absl::StrJoin(ask.excluded, ","),
      ask.labels.empty() ? "" : " labels", ask.kind ? " kind" : "",
      ask.request_id.empty() ? "" : " request " + ask.request_id,
      ask.max_wait == absl::ZeroDuration() ? "" : " waits " + absl::FormatDuration(ask.max_wait),
      ask.allow_probe ? "" : " no probe");
}

void Simulation::Acquire(uint32_t event) {
  // Some calls are sent again.
  const bool again = event > 8 && world_.Chance(event, "again", 12);
  const Ask ask = world_.Call(again ? event - 1 - world_.Pick(event, "again#", 4) : event);
  core::SessionId session;
  if (world_.Chance(event, "in session", 60)) session = SessionFor(event, ask.principal);
  if (world_.Chance(event, "in dead session", 2) && !sessions_.empty()) {
    const Open* any = AnySession(event, ask.principal);
    if (any != nullptr && any->epoch == epoch_) session = any->id;
  }
  const bool for_stock = session != core::kNoSession && world_.Chance(event, "for stock", 10);
  Say(absl::StrCat("acquire ", Show(ask), for_stock ? " for stock" : "",
                   session == core::kNoSession ? "" : absl::StrCat(" in ", session.number())));
  DoAcquire(ask, Told(event), session, for_stock);
}

AcquireReply Simulation::DoAcquire(const Ask& ask, absl::Time told, core::SessionId session,
                                   bool for_stock) {
  AcquireReply reply;
  WithCommand(ask, [&](core::AcquireCommand command) {
    command.session = session;
    command.for_stock = for_stock;
    effects_.clear();
    reply = pool_->Acquire(command, told, effects_);
    if (reply.kind == AcquireReply::Kind::kParked)
      waiting_[reply.waiter.number()] = {ask.principal, session};
    Note();
    NoteReply(reply, ask.principal, session);
    model_.Acquired(command, reply, effects_);
    model_.Told(effects_);
  });
  return reply;
}

void Simulation::Explain(uint32_t event) {
  const Ask ask = world_.Call(event);
  Say("explain " + Show(ask));
  WithCommand(ask, [&](const core::AcquireCommand& command) {
    const core::Explanation e = pool_->Explain(command, "", 1000, now_);
    for (const auto& c : e.candidates) See("candidacy", core::Name(c.candidacy));
    Mix(e.would_choose);
    model_.Explained(command, e);
  });
}

const Held* Simulation::Target(uint32_t event) const {
  const uint64_t back = 1 + world_.Pick(event, "back", world_.Chance(event, "far", 15) ? 300 : 12);
  const Held* found = nullptr;
  for (const Held& held : held_) {
    if (held.event + back <= event) found = &held;
  }
  return found;
}

void Simulation::Report(uint32_t event) {
  const Held* held = Target(event);
  if (held == nullptr) return;
  const World::Answer answer = world_.Upstream(event);
  const bool foreign = world_.Chance(event, "foreign", 3);
  core::ReportFacts facts;
  facts.http_status = answer.status;
  facts.stated = answer.stated;
  facts.headers = answer.headers;
  core::Verdict verdict =
      policy_.Classify(held->claims.provider, held->claims.kind, held->claims.refreshable,
                       !held->claims.model.empty(), facts, now_);
  // A configured row that holds the way out responsible.
  if (verdict.action == core::Action::kWait && world_.Chance(event, "of its egress", 6)) {
    verdict.scope = core::Scope::kEgress;
    verdict.cause = core::Cause::kNetwork;
    verdict.disable_after = 0;
    verdict.hint = absl::Seconds(1 + static_cast<int64_t>(world_.Pick(event, "egress wait", 40)));
    verdict.cap = absl::Seconds(10);
  }
  // Some are sent in batches, and some are about a secret that came during the lease.
  absl::Time happened = absl::InfiniteFuture();
  if (world_.Chance(event, "belated", 20)) {
    happened = now_ - absl::Seconds(static_cast<int64_t>(world_.Pick(event, "ago", 90)));
  }
  const uint64_t version =
      world_.Chance(event, "names its secret", 20) ? 1 + world_.Pick(event, "secret", 4) : 0;
  std::optional<core::SessionLease> name;
  if (held->of_session()) {
    if (held->claims.epoch != epoch_) return;  // its stream is gone
    name = NameOf(event, *held);
  }
  DoReport(held->claims, verdict, foreign ? "px" : held->claims.principal,
           world_.Chance(event, "early", 12), Told(event), happened, version, name);
}

void Simulation::Release(uint32_t event) {
  const Held* held = Target(event);
  if (held == nullptr) return;
  const core::LeaseClaims claims = held->claims;
  const std::string who = world_.Chance(event, "foreign", 10) ? "px" : claims.principal;
  effects_.clear();
  if (held->of_session()) {
    if (claims.epoch != epoch_) return;
    const core::SessionLease name = NameOf(event, *held);
    const bool ended = pool_->Release(name, Told(event), effects_);
    Say(absl::StrCat("release lease ", claims.seq.number(), " of a session: ", ended));
    Note();
    model_.Released(name, ended, effects_);
    return model_.Told(effects_);
  }
  const bool released = pool_->Release(who, claims, Told(event), effects_);
  Say(absl::StrCat("release lease ", claims.seq.number(), " epoch ", claims.epoch, ": ", released));
  Note();
  model_.Released(who, claims, released, effects_);
  model_.Told(effects_);
}

void Simulation::Renew(uint32_t event) {
  const Held* held = Target(event);
  if (held == nullptr) return;
  const core::LeaseClaims claims = held->claims;
  const std::string who = world_.Chance(event, "foreign", 10) ? "px" : claims.principal;
  const absl::Duration ttl = absl::Seconds(static_cast<int64_t>(world_.Pick(event, "ttl", 5000)));
  effects_.clear();
  if (held->of_session()) {
    if (claims.epoch != epoch_) return;
    const core::SessionLease name = NameOf(event, *held);
    const core::RenewReply kept = pool_->Renew(name, ttl, Told(event), effects_);
    Say(absl::StrCat("renew lease ", claims.seq.number(), " of a session"));
    Mix(kept.expires);
    return model_.Renewed(name, ttl, kept);
  }
  const core::RenewReply reply = pool_->Renew(who, claims, ttl, Told(event), effects_);
  Say(absl::StrCat("renew lease ", claims.seq.number()));
  Mix(reply.expires);
  model_.Renewed(who, claims, ttl, reply);
}

void Simulation::Cancel(uint32_t event) {
  if (waiting_.empty()) return;
  auto it = waiting_.begin();
  std::advance(it, static_cast<ptrdiff_t>(world_.Pick(event, "whom", waiting_.size())));
  const uint64_t waiter = it->first;
  Say(absl::StrCat("cancel ", waiter));
  effects_.clear();
  pool_->CancelWait(core::WaiterId(waiter), Told(event), effects_);
  Note();
  model_.Cancelled(waiter, effects_);
  model_.Told(effects_);
}

}  // namespace credbroker::sim
