// What Acquire may answer.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::Cause;
using core::Refusal;
using core::State;

struct NaivePool::Key {
  const NaiveCall* call = nullptr;
  struct Member {
    const std::string* id;
    const NaiveCredential* c;
    std::string upstream;
    Look look;
    bool fits;  // kind and labels
  };
  std::vector<Member> members;  // of (group, providers, model), by id
  std::string session;
  const Member* Find(const std::string& id) const {
    for (const auto& m : members) {
      if (*m.id == id) return &m;
    }
    return nullptr;
  }
};

namespace {

bool HasLabels(const core::Document& d,
               const std::vector<std::pair<std::string, std::string>>& wanted) {
  for (const auto& label : wanted) {
    if (std::find(d.labels.begin(), d.labels.end(), label) == d.labels.end()) return false;
  }
  return true;
}

template <typename List, typename Value>
bool Contains(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

std::optional<Refusal> NaivePool::Resolve(const NaiveCall& call, Key* key) const {
  key->call = &call;
  const std::string group = call.GroupName();
  if (!groups_.contains(group)) return Refusal::kNoSuchGroup;
  bool provider = false, fits = false, served = false;
  std::set<std::pair<std::string, std::string>> labels;
  for (const auto& [id, c] : credentials_) {
    if (c.document->group != group) continue;
    labels.insert(c.document->labels.begin(), c.document->labels.end());
    if (!Contains(call.providers, c.document->provider)) continue;
    provider = true;
    Key::Member m{&id, &c, "", {}, true};
    m.fits = (!call.kind || *call.kind == c.document->kind) && HasLabels(*c.document, call.labels);
    fits = fits || m.fits;
    if (!Serves(*c.document, call.model, &m.upstream)) continue;
    served = served || m.fits;
    m.look = LookAt(c, m.upstream);
    key->members.push_back(std::move(m));
  }
  if (!provider) return Refusal::kNoSuchProvider;
  for (const auto& label : call.labels) {
    if (!labels.contains(label)) return Refusal::kNoMatch;
  }
  if (!fits) return Refusal::kNoMatch;
  if (!served) return Refusal::kNoSuchModel;
  if (!call.session.empty()) {
    std::set<std::string> known;
    for (const auto& p : call.providers) {
      if (providers_.contains(p)) known.insert(p);
    }
    key->session = group + "|";
    for (const auto& p : known) absl::StrAppend(&key->session, p, ",");
    absl::StrAppend(&key->session, "|", call.session);
  }
  return std::nullopt;
}

bool NaivePool::Admissible(const Key& key, const NaiveCredential& c) const {
  if (Contains(key.call->excluded, c.document->id)) return false;
  absl::Time later;
  bool as_probe = false;
  if (EgressGate(c, &later, &as_probe) != Cause::kNone) return false;
  if (as_probe && !key.call->allow_probe) return false;
  std::string upstream;
  Serves(*c.document, key.call->model, &upstream);
  absl::Time until;
  bool probe = false;
  if (Gate(c.document->provider, upstream, &until, &probe) != Cause::kNone) return false;
  return !probe || key.call->allow_probe;
}

bool NaivePool::Dry(const Key& key) const {
  for (const auto& m : key.members) {
    if (m.fits && m.look.open) return false;
  }
  return true;
}

std::string NaivePool::CursorName(const Key& key, int64_t priority) const {
  std::vector<std::string> providers = key.call->providers;
  std::sort(providers.begin(), providers.end());
  auto labels = key.call->labels;
  std::sort(labels.begin(), labels.end());
  std::string name = absl::StrCat(key.call->GroupName(), "/");
  for (const auto& p : providers) absl::StrAppend(&name, p, ",");
  absl::StrAppend(&name, "/", key.call->kind ? static_cast<int>(*key.call->kind) : -1);
  for (const auto& [k, v] : labels) absl::StrAppend(&name, "/", k, "=", v);
  // Which members serve the model: names that all treat alike share a cursor.
  absl::StrAppend(&name, "/", priority);
  bool all = true;
  std::string who;
  for (const auto& [id, c] : credentials_) {
    if (c.document->group != key.call->GroupName()) continue;
    if (!Contains(key.call->providers, c.document->provider)) continue;
    if (key.call->kind && *key.call->kind != c.document->kind) continue;
    if (!HasLabels(*c.document, key.call->labels)) continue;
    if (key.Find(id) == nullptr) {
      all = false;
    } else if (!Plain(*c.document)) {
      absl::StrAppend(&who, ";", id);
    }
  }
  return all ? name : name + "/" + who;
}

bool NaivePool::DecidePinned(const Key& key, Decision* d) const {
  const NaiveCall& call = *key.call;
  auto it = credentials_.find(call.pin);
  if (it == credentials_.end() || it->second.document->group != call.GroupName()) {
    d->reason = Refusal::kNoSuchCredential;
    return false;
  }
  d->members = 1;
  d->counted = true;
  const Key::Member* m = key.Find(call.pin);
  if (m == nullptr || !m->fits) {
    d->reason = Refusal::kPinUnavailable;
    return false;
  }
  if (Contains(call.excluded, call.pin)) {
    d->reason = Refusal::kNoMatch;
    return false;
  }
  if (!m->look.pinnable || (m->look.half_open && !call.allow_probe)) {
    if (m->look.cause != Cause::kNone) d->counts[static_cast<size_t>(m->look.cause)] = 1;
    d->earliest = m->look.returns;
    d->reason = m->look.state == State::kDisabled ? Refusal::kPinUnavailable
                : m->look.cause == Cause::kBusy   ? BusyReason()
                                                  : Refusal::kCooling;
    return false;
  }
  if (!Admissible(key, *m->c)) {
    d->reason = Refusal::kBreakerOpen;
    d->or_reason = Refusal::kProviderBackoff;
    d->earliest_exact = false;
    return false;
  }
  d->allowed = {m->c->uid};
  d->probe = m->look.half_open;
  return d->granted = true;
}

// True: decided. Else *d says how a binding is to be set.
bool NaivePool::DecideBound(const Key& key, Decision* d) {
  auto it = bindings_.find(key.session);
  if (it != bindings_.end() && it->second.idle_until <= now_) {
    bindings_.erase(it);
    it = bindings_.end();
  }
  if (it == bindings_.end()) {
    d->bind = true;
    return false;
  }
  NaiveBinding& binding = it->second;
  d->expected_binding = binding.version;
  // Each look renews it. Which parked calls the pool looks at is its own affair.
  binding.idle_until = now_ + binding.ttl;
  const NaiveCredential* c = ByUid(binding.uid);
  if (c == nullptr || c->document->group != key.call->GroupName()) {
    d->bind = d->rebound = true;
    return false;
  }
  const Key::Member* m = key.Find(c->document->id);
  if (m == nullptr || !m->fits || Contains(key.call->excluded, c->document->id)) return false;
  const core::GroupSettings& group = SettingsOf(key.call->GroupName());
  if (m->look.open && m->look.cause == Cause::kBusy && !group.session_spill) {
    if (group.failback && DecideReady(key, d, c->document->priority)) {
      d->bind = d->rebound = true;
      return true;
    }
    Refuse(key, d);
    d->reason = BusyReason();
    d->or_reason.reset();
    d->earliest = std::min(m->look.returns, binding.idle_until);
    d->earliest_exact = false;
    return true;
  }
  if (!Admissible(key, *c)) return false;
  if (!m->look.open) {
    d->bind = d->rebound = true;
    return false;
  }
  if (!m->look.ready) return false;
  if (group.failback && DecideReady(key, d, c->document->priority)) {
    d->bind = d->rebound = true;
    return true;
  }
  d->allowed = {c->uid};
  return d->granted = true;
}

bool NaivePool::DecideProbe(const Key& key, Decision* d) const {
  const NaiveCall& call = *key.call;
  if (!call.allow_probe) return false;
  const bool dry = Dry(key);
  if (!call.session.empty() && !dry) return false;
  const Key::Member* best = nullptr;
  for (const auto& m : key.members) {
    if (!m.fits || !m.look.probe_ready || !Admissible(key, *m.c)) continue;
    if (!providers_.at(m.c->document->provider).budget.Has(now_, dry)) continue;
    if (best == nullptr || Floor(m.look.probed) < Floor(best->look.probed)) best = &m;
  }
  if (best == nullptr) return false;
  d->allowed = {best->c->uid};
  d->probe = true;
  return d->granted = true;
}

bool NaivePool::DecideReady(const Key& key, Decision* d, std::optional<int64_t> above) const {
  std::optional<int64_t> tier;
  auto good = [&](const Key::Member& m) { return m.fits && m.look.ready && Admissible(key, *m.c); };
  for (const auto& m : key.members) {
    if (!good(m)) continue;
    const int64_t priority = m.c->document->priority;
    if (above && priority <= *above) continue;
    if (!tier || priority > *tier) tier = priority;
  }
  if (!tier) return false;
  // The tier is what a call would be served from; stock takes of it what has no cap.
  std::vector<const Key::Member*> best;
  for (const auto& m : key.members) {
    const bool capped = CapOf(*m.c) > 0 || ModelCapOf(*m.c) > 0;
    if (!good(m) || m.c->document->priority != *tier || (key.call->for_stock && capped)) continue;
    best.push_back(&m);
  }
  if (best.empty()) return false;
  d->allowed.clear();
  const core::Strategy strategy = SettingsOf(key.call->GroupName()).strategy;
  if (strategy == core::Strategy::kFillFirst) {
    d->allowed = {best.front()->c->uid};
  } else if (strategy == core::Strategy::kLeastInFlight) {
    const Key::Member* least = best.front();
    for (const auto* m : best) {
      const auto rank = [](const Key::Member& x) {
        return std::make_pair(x.c->leases.size(), x.c->last_grant);
      };
      if (rank(*m) < rank(*least)) least = m;
    }
    d->allowed = {least->c->uid};
  } else if (strategy == core::Strategy::kRoundRobin) {
    auto cursor = cursors_.find(CursorName(key, *tier));
    bool unknown = cursor == cursors_.end() ? shaken_.contains(key.call->GroupName())
                                            : cursor->second.at.empty();
    // Which names share an index where rules differ is not for the model to say.
    for (const auto& [id, c] : credentials_) {
      unknown = unknown || (c.document->group == key.call->GroupName() && !Plain(*c.document));
    }
    if (!unknown) {
      const Key::Member* next = best.front();
      if (cursor != cursors_.end()) {
        for (const auto* m : best) {
          if (*m->id > cursor->second.at) {
            next = m;
            break;
          }
        }
      }
      d->allowed = {next->c->uid};
    }
  }
  if (d->allowed.empty()) {
    for (const auto* m : best) d->allowed.insert(m->c->uid);
  }
  d->charged = true;
  d->cursor_of[*tier] = CursorName(key, *tier);
  return d->granted = true;
}

bool NaivePool::HasEnough(const std::string& principal) const {
  size_t held = 0;
  for (const auto& [seq, lease] : leases_) held += lease.live && lease.principal == principal;
  return held >= settings_.limits.max_leases_per_principal;
}

Decision NaivePool::Decide(const NaiveCall& call) {
  Decision d = DecideAny(call);
  if (d.granted && HasEnough(call.principal)) {
    Decision enough;
    enough.reason = Refusal::kTooManyLeases;
    return enough;
  }
  if (d.granted || !call.for_stock) return d;
  NaiveCall single = call;
  single.for_stock = false;
  single.allow_probe = true;
  const bool busy = d.reason == Refusal::kBusy || d.reason == Refusal::kResumeOnly;
  if (busy || DecideAny(single).granted) {
    d.reason = Refusal::kNotForStock;
    d.or_reason.reset();
    // The search ended at the tier of those passed over, whoever comes back below it.
    d.earliest = kNever;
    d.earliest_exact = false;
  }
  return d;
}

Decision NaivePool::DecideAny(const NaiveCall& call) {
  Decision d;
  Key key;
  if (const auto refusal = Resolve(call, &key)) {
    d.reason = *refusal;
    return d;
  }
  d.session_key = key.session;
  d.dry = Dry(key);
  // A provider with an open breaker or a backoff lets nobody through.
  bool through = false;
  std::set<Refusal> why;
  absl::Time gate = kNever;
  for (const auto& p : call.providers) {
    if (!providers_.contains(p)) continue;
    absl::Time until = kNever;
    bool probe = false;
    const Cause cause = Gate(p, call.model, &until, &probe);
    if (cause == Cause::kNone && (!probe || call.allow_probe)) {
      through = true;
    } else if (cause == Cause::kNone) {
      why.insert(Refusal::kBreakerOpen);
      d.earliest_exact = false;
    } else {
      why.insert(cause == Cause::kBreaker ? Refusal::kBreakerOpen : Refusal::kProviderBackoff);
      gate = std::min(gate, until);
    }
  }
  if (!through) {
    Refuse(key, &d);
    d.reason = *why.begin();
    d.or_reason = *why.rbegin();
    d.earliest = gate;
    return d;
  }
  if (!call.pin.empty()) {
    DecidePinned(key, &d);
    return d;
  }
  if (!key.session.empty() && DecideBound(key, &d)) return d;
  if (DecideProbe(key, &d)) return d;
  if (DecideReady(key, &d, std::nullopt)) return d;
  Refuse(key, &d);
  return d;
}

void NaivePool::Refuse(const Key& key, Decision* d) const {
  const NaiveCall& call = *key.call;
  d->counted = true;
  d->members = static_cast<uint32_t>(key.members.size());
  bool open = false, gated = false;
  const bool dry = Dry(key);
  const bool probes = call.allow_probe && (call.session.empty() || dry);
  if (!probes || call.providers.size() > 1) d->earliest_exact = false;
  bool broken = false;
  for (const auto& m : key.members) {
    // Where names differ, the end of a backoff of any of them may be told.
    bool backoff = false;
    for (const auto& [name, scope] : providers_.at(m.c->document->provider).backoffs) {
      backoff = backoff || scope.AvoidUntil() > now_;
    }
    if (m.upstream != call.model && backoff) d->earliest_exact = false;
    if (m.look.cause != Cause::kNone) ++d->counts[static_cast<size_t>(m.look.cause)];
    open = open || m.look.open;
    absl::Time through = kNever;
    bool as_probe = false;
    const bool proxy_open = EgressGate(*m.c, &through, &as_probe) != Cause::kNone || as_probe;
    if (!m.fits || Contains(call.excluded, *m.id)) continue;
    // Only who could be chosen, were it not for its proxy.
    if (proxy_open && (m.look.ready || (m.look.probe_ready && probes))) {
      gated = true;
      broken = broken || egress_.at(m.c->document->proxy_url).open;
    }
    absl::Time when = m.look.returns;
    if (m.look.probe_ready && probes) {
      const auto& budget = providers_.at(m.c->document->provider).budget;
      when = std::min(when, std::max(budget.Next(now_, dry), now_));
    }
    if (proxy_open) {
      d->earliest_exact = false;
      const bool ready = m.look.ready || (m.look.probe_ready && probes);
      when = ready ? through : std::max(when, through);
    } else if (!Admissible(key, *m.c)) {
      d->earliest_exact = false;
      absl::Time open_at = kNever;
      const Cause gate = Gate(m.c->document->provider, m.upstream, &open_at, &as_probe);
      if (gate == Cause::kNone) open_at = kNever;
      when = m.look.ready || m.look.probe_ready ? open_at : std::max(when, open_at);
    }
    if (m.look.probe_ready && !Admissible(key, *m.c)) d->earliest_exact = false;
    d->earliest = std::min(d->earliest, when);
  }
  auto count = [&](Cause cause) { return d->counts[static_cast<size_t>(cause)]; };
  if (count(Cause::kOperator) + count(Cause::kReauth) + count(Cause::kDisabledByPolicy) ==
      d->members) {
    d->reason = Refusal::kAllDisabled;
  } else if (count(Cause::kBusy) > 0) {
    d->reason = BusyReason();
  } else if (open && gated) {
    d->reason = broken ? Refusal::kBreakerOpen : Refusal::kProviderBackoff;
    if (!broken) d->or_reason = Refusal::kBreakerOpen;
  } else {
    d->reason = open ? Refusal::kNoMatch : Refusal::kCooling;
    for (const auto& p : call.providers) {
      absl::Time until;
      bool probe = false;
      const Cause cause =
          open && providers_.contains(p) ? Gate(p, call.model, &until, &probe) : Cause::kNone;
      if (cause == Cause::kNone) continue;
      d->earliest_exact = false;
      d->or_reason = cause == Cause::kBreaker ? Refusal::kBreakerOpen : Refusal::kProviderBackoff;
    }
  }
}

}  // namespace credbroker::model
