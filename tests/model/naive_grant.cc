// Following the pool's answers to Acquire, at once and to parked calls.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::AcquireReply;
using core::Cause;
using core::Refusal;

namespace {

std::string Show(absl::Time t) { return absl::FormatTime("%H:%M:%E9S", t, absl::UTCTimeZone()); }

void Expect(bool ok, const std::string& what) {
  if (!ok) throw Mismatch(what);
}

bool Parkable(Refusal reason) {
  return reason == Refusal::kCooling || reason == Refusal::kBusy ||
         reason == Refusal::kBreakerOpen || reason == Refusal::kProviderBackoff ||
         reason == Refusal::kResumeOnly;
}

}  // namespace

void NaivePool::Granted(const NaiveCall& call, const Decision& d, const core::Grant& grant) {
  Expect(d.granted, absl::StrCat("granted ", grant.document->id.view(),
                                 " where the model refuses: ", std::string(core::Name(d.reason))));
  const std::string id = grant.document->id;
  auto it = credentials_.find(id);
  Expect(it != credentials_.end(), "granted an unknown credential " + id);
  NaiveCredential& c = it->second;
  std::string wanted;
  for (const auto& [name, other] : credentials_) {
    if (d.allowed.contains(other.uid)) absl::StrAppend(&wanted, " ", name);
  }
  Expect(d.allowed.contains(c.uid), absl::StrCat("granted ", id, ", permitted:", wanted));
  Expect(grant.probe == d.probe, absl::StrCat("probe is ", grant.probe, " for ", id));
  NaiveLease lease;
  std::string upstream;
  Expect(Serves(*c.document, call.model, &upstream), id + " does not serve the model");
  Expect(grant.model == upstream, absl::StrCat("model ", grant.model, ", not ", upstream));
  const int cap = CapOf(c), model_cap = ModelCapOf(c);
  Expect(cap == 0 || static_cast<int>(c.leases.size()) < cap, "granted at the cap: " + id);
  Expect(model_cap == 0 || upstream.empty() || InFlight(c, upstream) < model_cap,
         "granted at the cap of the model: " + id);
  lease.seq = grant.seq.number();
  lease.uid = c.uid;
  lease.version = c.material->version;
  lease.principal = call.principal;
  lease.model = upstream;
  lease.granted = now_;
  const absl::Duration ttl = call.ttl > absl::ZeroDuration()
                                 ? std::min(call.ttl, settings_.limits.max_ttl)
                                 : settings_.limits.default_ttl;
  lease.expires = now_ + ttl;
  Expect(grant.granted == lease.granted && grant.expires == lease.expires, "times of the lease");
  Expect(grant.material->version == lease.version, "material of another version");
  Expect(!grant.repeated, "said to be repeated");
  Expect(!leases_.contains(lease.seq), "a lease number given twice");
  lease.probe = d.probe;
  lease.for_stock = call.for_stock;
  lease.cell = grant.cell;
  if (call.stream != 0) JoinSession(lease, c, call.stream);
  newest_lease_ = std::max(newest_lease_, lease.seq);
  NaiveProvider& provider = providers_.at(c.document->provider);
  if (d.probe) {
    // A pin is its credential's probe outside the budget.
    if (call.pin.empty()) provider.budget.Take(now_, d.dry);
    for (auto& [model, scope] : c.scopes) {
      if (!model.empty() && model != upstream) continue;
      if (!scope.HalfOpen(now_) || scope.probe.lease != 0) continue;
      scope.probe.lease = lease.seq;
      scope.probe.started = scope.probe.last = now_;
    }
  }
  if (provider.breaker.open) {
    Expect(provider.breaker.Due(now_), "granted through an open breaker: " + id);
    provider.breaker.probe = lease.seq;
    provider.breaker.probe_at = now_ + absl::Seconds(60);
    lease.breaker_probe = true;
  }
  for (auto& [model, scope] : provider.backoffs) {
    if (!model.empty() && model != upstream) continue;
    Expect(!scope.Blocked(now_), "granted in a backoff: " + id);
    if (!scope.HalfOpen(now_)) continue;
    scope.probe.lease = lease.seq;
    scope.probe.started = scope.probe.last = now_;
    lease.breaker_probe = true;
  }
  if (auto e = egress_.find(c.document->proxy_url); e != egress_.end()) {
    if (e->second.open) {
      Expect(e->second.Due(now_), "granted through a proxy's open breaker: " + id);
      e->second.probe = lease.seq;
      e->second.probe_at = now_ + absl::Seconds(60);
      lease.breaker_probe = true;
    }
    Expect(!e->second.backoff.Blocked(now_), "granted through a proxy that backs off: " + id);
    if (e->second.backoff.HalfOpen(now_)) {
      e->second.backoff.probe.lease = lease.seq;
      e->second.backoff.probe.started = e->second.backoff.probe.last = now_;
      lease.breaker_probe = true;
    }
  }
  Expect(grant.rebound == (d.bind && d.rebound && !d.probe), "rebound is wrong");
  if (d.bind) {
    const absl::Duration idle = SettingsOf(call.GroupName()).session_idle_ttl;
    if (d.probe) {
      lease.pending = PendingBinding{d.session_key, d.expected_binding, idle};
    } else {
      bindings_[d.session_key] = {c.uid, ++binding_version_, now_ + idle, now_ + idle, idle};
    }
  }
  c.last_grant = ++grants_;
  c.leases.insert(lease.seq);
  if (d.charged) cursors_[d.cursor_of.at(c.document->priority)] = CursorFor(call, c);
  leases_[lease.seq] = std::move(lease);
}

NaivePool::Cursor NaivePool::CursorFor(const NaiveCall& call, const NaiveCredential& c) const {
  Cursor cursor;
  cursor.at = c.document->id;
  cursor.group = call.GroupName();
  cursor.model = call.model;
  cursor.providers = call.providers;
  cursor.kind = call.kind;
  cursor.labels = call.labels;
  cursor.priority = c.document->priority;
  return cursor;
}

void NaivePool::CheckRefusal(const Decision& d, const core::RefusalInfo& given,
                             const std::string& whose) const {
  Expect(!d.granted, absl::StrCat(whose, " refused (", std::string(core::Name(given.reason)),
                                  ") where the model grants"));
  Expect(given.reason == d.reason || (d.or_reason && given.reason == *d.or_reason),
         absl::StrCat(whose, " refused with ", std::string(core::Name(given.reason)), ", not ",
                      std::string(core::Name(d.reason))));
  if (!d.counted) return;
  Expect(given.members == d.members, absl::StrCat("members ", given.members, ", not ", d.members));
  for (int i = 0; i < core::kCauseCount; ++i) {
    Expect(given.counts[static_cast<size_t>(i)] == d.counts[static_cast<size_t>(i)],
           absl::StrCat("count of ", std::string(core::Name(static_cast<Cause>(i))), " is ",
                        given.counts[static_cast<size_t>(i)], ", not ",
                        d.counts[static_cast<size_t>(i)]));
  }
  if (d.earliest_exact) {
    Expect(given.earliest == d.earliest, absl::StrCat("earliest ", Show(given.earliest), ", not ",
                                                      Show(d.earliest), ", now ", Show(now_)));
  } else {
    Expect(given.earliest <= d.earliest,
           absl::StrCat("earliest ", Show(given.earliest), " after ", Show(d.earliest)));
  }
  Expect(given.earliest > now_,
         absl::StrCat("refused, yet earliest is now: ", std::string(core::Name(given.reason))));
}

void NaivePool::Acquired(const core::AcquireCommand& command, const AcquireReply& reply,
                         const core::Effects& effects) {
  const NaiveCall call(command);
  const std::string request = call.principal + "\n" + call.request_id;
  auto known = call.request_id.empty() ? requests_.end() : requests_.find(request);
  if (known != requests_.end()) {
    NaiveRequest& r = known->second;
    const bool others = r.stream != call.stream && sessions_.contains(r.stream);
    if (r.fingerprint != call.Fingerprint() || others) {
      Expect(reply.kind == AcquireReply::Kind::kRefused &&
                 reply.refusal.reason == Refusal::kRequestIdMismatch,
             "a repeated request_id with other arguments was taken");
      return Woken(effects);
    }
    if (r.waiter != 0) {
      Expect(reply.kind == AcquireReply::Kind::kParked, "a repeated parked call was not parked");
      Expect(effects.woken.size() == 1 && effects.woken[0].waiter.number() == r.waiter &&
                 effects.woken[0].reply.refusal.reason == Refusal::kReplaced,
             "the replaced call was not told so");
      for (auto& [principal, calls] : parked_[call.GroupName()]) {
        for (auto& old : calls) {
          if (old.waiter != r.waiter) continue;
          old = call;
          old.waiter = reply.waiter.number();
          old.parked = now_;
          old.deadline = now_ + std::min(std::max(call.max_wait, absl::ZeroDuration()),
                                         settings_.limits.max_wait);
        }
      }
      r.waiter = reply.waiter.number();
      r.stream = call.stream;
      return;
    }
    auto lease = leases_.find(r.lease);
    if (lease == leases_.end() || !lease->second.live) {
      Expect(reply.kind == AcquireReply::Kind::kRefused &&
                 reply.refusal.reason == Refusal::kRequestEnded,
             "the request_id of an ended lease was taken");
    } else if (r.stream != call.stream) {
      Expect(reply.kind == AcquireReply::Kind::kRefused &&
                 reply.refusal.reason == Refusal::kRequestIdMismatch,
             "a lease was given to another session, or into one");
    } else {
      Expect(reply.kind == AcquireReply::Kind::kGranted && reply.grant.repeated &&
                 reply.grant.seq.number() == r.lease,
             "a repeated request_id did not get its lease");
      Expect(reply.grant.expires == lease->second.expires, "a repeated lease's expiry");
    }
    return Woken(effects);
  }
  if (call.stream != 0 && !IsOpen(call.stream)) {
    Expect(
        reply.kind == AcquireReply::Kind::kRefused && reply.refusal.reason == Refusal::kCancelled,
        "a call of a session that is not open was taken");
    return Woken(effects);
  }
  for (const auto& p : call.providers) {
    if (auto it = providers_.find(p); it != providers_.end()) {
      ++it->second.budget.calls[absl::ToUnixSeconds(now_)];
    }
  }
  Woken(effects);  // parked calls come first
  const Decision d = Decide(call);
  NaiveRequest entry{call.Fingerprint(), 0, 0, call.stream};
  if (d.granted) {
    Expect(reply.kind == AcquireReply::Kind::kGranted,
           absl::StrCat("refused (", std::string(core::Name(reply.refusal.reason)),
                        ") where the model grants"));
    Granted(call, d, reply.grant);
    entry.lease = reply.grant.seq.number();
    if (!call.request_id.empty()) leases_.at(entry.lease).request = request;
  } else if (reply.kind == AcquireReply::Kind::kGranted) {
    Granted(call, d, reply.grant);  // says why not
  } else if (reply.kind == AcquireReply::Kind::kParked) {
    const bool busy = d.counts[static_cast<size_t>(Cause::kBusy)] > 0;
    const absl::Time deadline = now_ + std::min(call.max_wait, settings_.limits.max_wait);
    Expect(call.max_wait > absl::ZeroDuration() &&
               (Parkable(d.reason) || (d.or_reason && Parkable(*d.or_reason))) &&
               (busy || d.earliest < deadline || !d.earliest_exact),
           absl::StrCat("parked where the model refuses: ", std::string(core::Name(d.reason))));
    NaiveCall waiting = call;
    waiting.waiter = entry.waiter = reply.waiter.number();
    waiting.parked = now_;
    waiting.deadline = deadline;
    auto& turns = parked_[call.GroupName()];
    auto turn = std::find_if(turns.begin(), turns.end(),
                             [&](const auto& t) { return t.first == call.principal; });
    if (turn == turns.end()) {
      turns.emplace_back(call.principal, std::deque<NaiveCall>());
      turn = turns.end() - 1;
    }
    turn->second.push_back(std::move(waiting));
  } else {
    const bool busy = d.counts[static_cast<size_t>(Cause::kBusy)] > 0;
    const bool may_park =
        call.max_wait > absl::ZeroDuration() && Parkable(d.reason) &&
        (busy || d.earliest < now_ + std::min(call.max_wait, settings_.limits.max_wait));
    Decision given = d;
    if (may_park) {
      size_t own = 0;
      for (const auto& [group, turns] : parked_) {
        for (const auto& [principal, calls] : turns)
          own += principal == call.principal ? calls.size() : 0;
      }
      const bool full = parked() >= static_cast<size_t>(settings_.limits.max_parked) ||
                        own >= static_cast<size_t>(settings_.limits.max_parked_per_principal);
      Expect(full, "refused where the model parks");
      given.reason = Refusal::kTooManyParked;
    }
    CheckRefusal(given, reply.refusal, "Acquire was");
  }
  if (!call.request_id.empty() && reply.kind != AcquireReply::Kind::kRefused) {
    requests_[request] = entry;
  }
}

std::optional<NaiveCall> NaivePool::Unpark(uint64_t waiter, bool served) {
  for (auto group = parked_.begin(); group != parked_.end(); ++group) {
    auto& turns = group->second;
    for (size_t i = 0; i < turns.size(); ++i) {
      auto& calls = turns[i].second;
      auto it = std::find_if(calls.begin(), calls.end(),
                             [&](const NaiveCall& c) { return c.waiter == waiter; });
      if (it == calls.end()) continue;
      NaiveCall call = *it;
      calls.erase(it);
      auto turn = std::move(turns[i]);
      if (turn.second.empty()) {
        turns.erase(turns.begin() + static_cast<ptrdiff_t>(i));
      } else if (served) {
        turns.erase(turns.begin() + static_cast<ptrdiff_t>(i));
        turns.push_back(std::move(turn));
      } else {
        turns[i] = std::move(turn);
      }
      if (turns.empty()) parked_.erase(group);
      return call;
    }
  }
  return std::nullopt;
}

void NaivePool::Woken(const core::Effects& effects, size_t from) {
  for (size_t i = from; i < effects.woken.size(); ++i) {
    const core::Woken& woken = effects.woken[i];
    const uint64_t waiter = woken.waiter.number();
    if (woken.reply.kind != AcquireReply::Kind::kGranted) {
      const bool cancelled = woken.reply.refusal.reason == Refusal::kCancelled;
      const bool enough = woken.reply.refusal.reason == Refusal::kTooManyLeases;
      const auto call = Unpark(waiter, cancelled || enough);
      Expect(call.has_value(), "an answer for a call that was not parked");
      const bool gone = call->stream != 0 && !IsOpen(call->stream);
      Expect(!enough || HasEnough(call->principal), "a principal was said to have enough");
      Expect(call->deadline <= now_ || (gone && cancelled) || enough,
             "a parked call was refused before its deadline");
      if (gone || enough) {
        if (!call->request_id.empty()) requests_.erase(call->principal + "\n" + call->request_id);
        continue;
      }
      Decision d = Decide(*call);
      if (d.counted || d.reason == Refusal::kNoSuchCredential ||
          d.reason == Refusal::kTooManyLeases) {
        d.reason = Refusal::kWaitExpired;
        d.or_reason.reset();
      }
      CheckRefusal(d, woken.reply.refusal, "a parked call was");
      if (!call->request_id.empty()) requests_.erase(call->principal + "\n" + call->request_id);
      continue;
    }
    // The next principal in turn with a call that can be served, its oldest such one.
    const NaiveCall* due = nullptr;
    Decision decision;
    for (auto& [group, turns] : parked_) {
      bool here = false;
      for (const auto& [principal, calls] : turns) {
        for (const auto& call : calls) here = here || call.waiter == waiter;
      }
      if (!here) continue;
      for (const auto& [principal, calls] : turns) {
        for (const auto& call : calls) {
          if (due != nullptr) break;
          if (call.stream != 0 && !IsOpen(call.stream)) continue;
          decision = Decide(call);
          if (decision.granted) due = &call;
        }
      }
    }
    Expect(due != nullptr,
           "a call was served that could not be: " + std::string(woken.reply.grant.document->id));
    Expect(due->waiter == waiter,
           absl::StrCat("call ", waiter, " was served before call ", due->waiter));
    const auto call = Unpark(waiter, true);
    Granted(*call, decision, woken.reply.grant);
    if (!call->request_id.empty()) {
      const std::string request = call->principal + "\n" + call->request_id;
      requests_[request] = {call->Fingerprint(), 0, woken.reply.grant.seq.number(), call->stream};
      leases_.at(woken.reply.grant.seq.number()).request = request;
    }
    Expect(woken.reply.waited == now_ - call->parked, "how long a call waited");
  }
}

// Probes are let go: a parked call may learn of a token a little late.
void NaivePool::NobodyServable() {
  std::set<std::string> failed;
  for (const auto& [group, turns] : parked_) {
    for (const auto& [principal, calls] : turns) {
      for (const auto& call : calls) {
        if (call.stream != 0 && !IsOpen(call.stream)) continue;
        if (!failed.insert(call.Fingerprint()).second) continue;
        const Decision d = Decide(call);
        if (d.granted && !d.probe) {
          throw Mismatch(
              absl::StrCat("call ", call.waiter, " stays parked though it can be served"));
        }
      }
    }
  }
}

void NaivePool::Cancelled(uint64_t waiter, const core::Effects& effects) {
  const auto call = Unpark(waiter, false);
  if (!call) {
    Expect(effects.woken.empty(), "cancelling an unknown call answered one");
    return;
  }
  Expect(effects.woken.size() == 1 && effects.woken[0].waiter.number() == waiter &&
             effects.woken[0].reply.kind == AcquireReply::Kind::kRefused &&
             effects.woken[0].reply.refusal.reason == Refusal::kCancelled,
         "a cancelled call was not told so");
  if (!call->request_id.empty()) requests_.erase(call->principal + "\n" + call->request_id);
  NobodyServable();
}

size_t NaivePool::parked() const {
  size_t count = 0;
  for (const auto& [group, turns] : parked_) {
    for (const auto& [principal, calls] : turns) count += calls.size();
  }
  return count;
}

size_t NaivePool::live_leases() const {
  size_t count = 0;
  for (const auto& [seq, lease] : leases_) count += lease.live ? 1 : 0;
  return count;
}

}  // namespace credbroker::model
