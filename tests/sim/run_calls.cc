// What proxies do: acquire, wait, renew, release, report.
#include "tests/sim/run.h"

namespace credbroker::sim {

void Simulation::Step(uint32_t event) {
  InstallDue(event);
  AdvanceTo(now_ + world_.Step(event), world_.Chance(event, "late", 15));
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
  Say("acquire " + Show(ask));
  DoAcquire(ask, Told(event));
}

AcquireReply Simulation::DoAcquire(const Ask& ask, absl::Time told) {
  AcquireReply reply;
  WithCommand(ask, [&](const core::AcquireCommand& command) {
    effects_.clear();
    reply = pool_->Acquire(command, told, effects_);
    if (reply.kind == AcquireReply::Kind::kParked) waiting_[reply.waiter.number()] = ask.principal;
    Note();
    NoteReply(reply, ask.principal);
    model_.Acquired(command, reply, effects_);
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
  const core::Verdict verdict =
      policy_.Classify(held->claims.provider, held->claims.kind, held->claims.refreshable,
                       !held->claims.model.empty(), facts, now_);
  // Some are sent in batches, and some are about a secret that came during the lease.
  absl::Time happened = absl::InfiniteFuture();
  if (world_.Chance(event, "belated", 20)) {
    happened = now_ - absl::Seconds(static_cast<int64_t>(world_.Pick(event, "ago", 90)));
  }
  const uint64_t version =
      world_.Chance(event, "names its secret", 20) ? 1 + world_.Pick(event, "secret", 4) : 0;
  DoReport(held->claims, verdict, foreign ? "px" : held->claims.principal,
           world_.Chance(event, "early", 12), Told(event), happened, version);
}

void Simulation::Release(uint32_t event) {
  const Held* held = Target(event);
  if (held == nullptr) return;
  const core::LeaseClaims claims = held->claims;
  const std::string who = world_.Chance(event, "foreign", 10) ? "px" : claims.principal;
  effects_.clear();
  const bool released = pool_->Release(who, claims, Told(event), effects_);
  Say(absl::StrCat("release lease ", claims.seq.number(), " epoch ", claims.epoch, ": ", released));
  Note();
  model_.Released(who, claims, released, effects_);
}

void Simulation::Renew(uint32_t event) {
  const Held* held = Target(event);
  if (held == nullptr) return;
  const core::LeaseClaims claims = held->claims;
  const std::string who = world_.Chance(event, "foreign", 10) ? "px" : claims.principal;
  const absl::Duration ttl = absl::Seconds(static_cast<int64_t>(world_.Pick(event, "ttl", 5000)));
  effects_.clear();
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
}

}  // namespace credbroker::sim
