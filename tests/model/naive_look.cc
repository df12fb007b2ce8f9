// What the facts make of a credential at this moment.
#include <algorithm>

#include "absl/strings/match.h"
#include "core/material.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::AuthHealth;
using core::Cause;
using core::State;

namespace {

bool Matches(const std::string& pattern, size_t p, const std::string& text, size_t t) {
  if (p == pattern.size()) return t == text.size();
  if (pattern[p] == '*') {
    for (size_t skip = t; skip <= text.size(); ++skip) {
      if (Matches(pattern, p + 1, text, skip)) return true;
    }
    return false;
  }
  return t < text.size() && text[t] == pattern[p] && Matches(pattern, p + 1, text, t + 1);
}

bool Any(const std::vector<std::string>& patterns, const std::string& text) {
  for (const auto& pattern : patterns) {
    if (Matches(pattern, 0, text, 0)) return true;
  }
  return false;
}

Cause Leading(const NaiveScope& scope) {
  const core::AvailabilityRecord* best = nullptr;
  for (const auto& r : scope.records) {
    if (best == nullptr || r.block_until > best->block_until) best = &r;
  }
  return best == nullptr ? Cause::kNone : best->cause;
}

}  // namespace

bool NaivePool::Serves(const core::Document& d, const std::string& asked, std::string* upstream) {
  std::string name = asked;
  *upstream = asked;
  if (asked.empty()) return true;
  const std::string front = d.prefix.str() + "/";
  if (!d.prefix.empty() && absl::StartsWith(name, front) && name.size() > front.size()) {
    name = name.substr(front.size());
  }
  *upstream = name;
  for (const auto& alias : d.model_aliases) {
    if (alias.alias != name) continue;
    *upstream = alias.model;
    return !Any(d.excluded_models, name) && !Any(d.excluded_models, alias.model);
  }
  return !Any(d.excluded_models, name) && (d.models.empty() || Any(d.models, name));
}

const core::GroupSettings& NaivePool::SettingsOf(const std::string& group) const {
  static const core::GroupSettings* const kDefaults = new core::GroupSettings();
  for (const auto& g : settings_.groups) {
    if (g.name == group) return g;
  }
  return *kDefaults;
}

int NaivePool::CapOf(const NaiveCredential& c) const {
  if (c.document->max_in_flight) return *c.document->max_in_flight;
  const auto& group = SettingsOf(c.document->group);
  if (group.max_in_flight) return *group.max_in_flight;
  for (const auto& p : settings_.providers) {
    if (p.name == c.document->provider && p.max_in_flight) return *p.max_in_flight;
  }
  return 0;
}

int NaivePool::ModelCapOf(const NaiveCredential& c) const {
  if (c.document->max_in_flight_per_model) return *c.document->max_in_flight_per_model;
  const auto& group = SettingsOf(c.document->group);
  if (group.max_in_flight_per_model) return *group.max_in_flight_per_model;
  for (const auto& p : settings_.providers) {
    if (p.name == c.document->provider && p.max_in_flight_per_model) {
      return *p.max_in_flight_per_model;
    }
  }
  return 0;
}

int NaivePool::InFlight(const NaiveCredential& c, const std::string& model) const {
  int count = 0;
  for (uint64_t seq : c.leases) count += leases_.at(seq).model == model ? 1 : 0;
  return count;
}

// `upstream` empty: the credential as such.
Look NaivePool::LookAt(const NaiveCredential& c, const std::string& upstream) const {
  Look l;
  l.state = State::kDisabled;
  if (!c.intent.enabled) {
    l.cause = Cause::kOperator;
    if (c.intent.until) l.returns = *c.intent.until;
    return l;
  }
  if (c.auth == AuthHealth::kReauthRequired || c.material == nullptr) {
    l.cause = Cause::kReauth;
    return l;
  }
  if (c.auth == AuthHealth::kDisabledByPolicy) {
    l.cause = Cause::kDisabledByPolicy;
    return l;
  }
  std::vector<const NaiveScope*> scopes;
  if (auto it = c.scopes.find(""); it != c.scopes.end()) scopes.push_back(&it->second);
  if (auto it = c.scopes.find(upstream); !upstream.empty() && it != c.scopes.end()) {
    scopes.push_back(&it->second);
  }
  // WAITING: the latest of what holds it.
  absl::Time until = kPast;
  auto hold = [&](absl::Time t, Cause cause) {
    if (Floor(t) > Floor(until)) {
      until = t;
      l.cause = cause;
    }
  };
  if (auto it = c.scopes.find(""); it != c.scopes.end() && it->second.Blocked(now_)) {
    hold(it->second.BlockUntil(), Leading(it->second));
  }
  if (c.material->expire_time && *c.material->expire_time <= now_) {
    absl::Time look = *c.material->expire_time;
    while (look <= now_ && now_ - look > absl::Hours(1)) look += absl::Hours(1);
    while (look <= now_) look += absl::Seconds(60);
    hold(look, c.material->refreshable ? Cause::kRefresh : Cause::kExpired);
  }
  if (auto it = c.scopes.find(upstream);
      !upstream.empty() && it != c.scopes.end() && it->second.Blocked(now_)) {
    hold(it->second.BlockUntil(), Leading(it->second));
  }
  if (until > kPast) {
    l.state = State::kWaiting;
    l.returns = Floor(until);
    return l;
  }
  l.state = State::kAvailable;
  const int cap = CapOf(c), model_cap = ModelCapOf(c);
  const bool model_busy = model_cap > 0 && !upstream.empty() && InFlight(c, upstream) >= model_cap;
  const bool busy = cap > 0 && static_cast<int>(c.leases.size()) >= cap;
  const bool resume = (cap > 0 || model_cap > 0) && now_ < resume_only_until_;
  bool lets = true;
  absl::Time returns = kPast;
  for (const NaiveScope* scope : scopes) {
    if (!scope->HalfOpen(now_)) continue;
    l.half_open = true;
    l.probed = std::max(l.probed, scope->probe.last);
    if (scope->probe.lease != 0) {
      lets = false;
      returns = std::max(returns, scope->probe.started + absl::Seconds(60));
    } else if (scope->probe.next_allowed > now_) {
      lets = false;
      returns = std::max(returns, scope->probe.next_allowed);
    }
  }
  if (l.half_open) {
    l.cause = Cause::kHalfOpen;
    if (resume) {
      lets = false;
      returns = std::max(returns, resume_only_until_);
    }
    l.pinnable = lets && !busy && !model_busy;
    l.probe_ready = l.pinnable && c.document->weight > 0;
    l.returns = returns == kPast ? kNever : Floor(returns);
    return l;
  }
  l.open = c.document->weight > 0;
  l.pinnable = !busy && !resume && !model_busy;
  l.ready = l.pinnable && c.document->weight > 0;
  if (busy) {
    l.cause = Cause::kBusy;
  } else if (resume) {
    l.cause = Cause::kBusy;
    l.returns = resume_only_until_;
    l.resume_only = true;
  } else if (model_busy) {
    l.cause = Cause::kBusy;
  } else if (c.document->weight <= 0) {
    l.cause = Cause::kWeight;
  }
  return l;
}

Cause NaivePool::Gate(const std::string& provider, const std::string& model, absl::Time* until,
                      bool* probe) const {
  auto it = providers_.find(provider);
  if (it == providers_.end()) return Cause::kNone;
  const NaiveBreaker& breaker = it->second.breaker;
  if (breaker.open) {
    if (!breaker.Due(now_)) {
      *until = breaker.probe_at;
      return Cause::kBreaker;
    }
    *probe = true;
  }
  bool blocked = false;
  for (const auto& [name, scope] : it->second.backoffs) {
    if (!name.empty() && name != model) continue;
    absl::Time end;
    if (BackoffGate(scope, &end, probe) == Cause::kNone) continue;
    *until = blocked ? std::max(*until, end) : end;
    blocked = true;
  }
  return blocked ? Cause::kOverloaded : Cause::kNone;
}

Cause NaivePool::BackoffGate(const NaiveScope& scope, absl::Time* until, bool* probe) const {
  if (scope.Blocked(now_)) {
    *until = Floor(scope.BlockUntil());
    return Cause::kOverloaded;
  }
  if (!scope.HalfOpen(now_)) return Cause::kNone;
  if (scope.probe.lease != 0 && now_ < scope.probe.started + absl::Seconds(60)) {
    *until = std::min(scope.probe.started + absl::Seconds(60), Floor(scope.AvoidUntil()));
    return Cause::kOverloaded;
  }
  *probe = true;
  return Cause::kNone;
}

Cause NaivePool::EgressGate(const NaiveCredential& c, absl::Time* until, bool* probe) const {
  const auto it = egress_.find(c.document->proxy_url);
  if (it == egress_.end()) return Cause::kNone;
  if (it->second.open) {
    if (!it->second.Due(now_)) {
      *until = it->second.probe_at;
      return Cause::kBreaker;
    }
    *probe = true;
  }
  return BackoffGate(it->second.backoff, until, probe);
}

}  // namespace credbroker::model
