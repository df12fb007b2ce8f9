// What reports do: the eight rules.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/jitter.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::Action;
using core::AuthHealth;
using core::Cause;
using core::Disposition;
using core::Kind;
using core::Outcome;
using core::Scope;
using core::State;

struct NaivePool::Evidence {
  NaiveCredential* c = nullptr;
  absl::Time granted, happened;
  std::string model;
  uint64_t seq = 0;
  bool probe = false, breaker_probe = false;
};

namespace {

void Expect(bool ok, const std::string& what) {
  if (!ok) throw Mismatch(what);
}

bool NetworkSide(Outcome o) { return o == Outcome::kNetwork || o == Outcome::kChallenge; }

bool ProviderSide(Outcome o, Kind kind) {
  const bool refused = o == Outcome::kUnauthorized || o == Outcome::kForbidden;
  return o == Outcome::kTransient || (kind == Kind::kApiKey && refused);
}

absl::Duration Bounded(absl::Duration d) {
  return std::clamp(d, absl::ZeroDuration(), absl::Hours(400 * 24));
}

}  // namespace

NaiveCredential* NaivePool::ByUid(uint64_t uid) {
  for (auto& [id, c] : credentials_) {
    if (c.uid == uid) return &c;
  }
  return nullptr;
}

const NaiveCredential* NaivePool::ByUid(uint64_t uid) const {
  return const_cast<NaivePool*>(this)->ByUid(uid);
}

NaiveBreaker* NaivePool::BreakerOf(const NaiveCredential& c) {
  const std::string proxy = c.document->proxy_url;
  return proxy.empty() || proxy == "direct" ? nullptr : &egress_[proxy];
}

NaiveScope& NaivePool::ScopeFor(NaiveCredential& c, const std::string& model) {
  auto it = c.scopes.find(model);
  if (it != c.scopes.end()) return it->second;
  size_t models = 0;
  auto drop = c.scopes.end();
  for (auto s = c.scopes.begin(); s != c.scopes.end(); ++s) {
    if (s->first.empty()) continue;
    ++models;
    if (drop == c.scopes.end() || s->second.AvoidUntil() < drop->second.AvoidUntil() ||
        (s->second.AvoidUntil() == drop->second.AvoidUntil() &&
         s->second.made < drop->second.made)) {
      drop = s;
    }
  }
  if (!model.empty() && models >= 64) c.scopes.erase(drop);
  NaiveScope& scope = c.scopes[model];
  scope.made = ++scopes_made_;
  return scope;
}

void NaivePool::DropEmpty(NaiveCredential& c) {
  for (auto it = c.scopes.begin(); it != c.scopes.end();) {
    it = it->second.records.empty() ? c.scopes.erase(it) : std::next(it);
  }
}

bool NaivePool::Fail(NaiveScope& scope, const core::Verdict& v, const Evidence& e, absl::Time from,
                     bool failed_probe, Cause cause) {
  core::AvailabilityRecord* record = scope.Find(cause);
  uint16_t level = 1;
  if (record != nullptr && record->level > 0) {
    level =
        e.granted < record->block_until ? record->level : static_cast<uint16_t>(record->level + 1);
  }
  const bool plain = cause != Cause::kRefresh && cause != Cause::kExpired;
  absl::Duration avoid, block;
  if (v.hint) {
    avoid = block = Bounded(*v.hint);
  } else {
    avoid = v.ladder.empty()
                ? absl::ZeroDuration()
                : Bounded(v.ladder.At(level) * (1.0 + core::Jitter(seed_, core::LeaseSeq(e.seq))));
    avoid = absl::Microseconds(absl::ToInt64Microseconds(avoid));
    block = avoid;
    if (failed_probe) block = std::max(block, Bounded(scope.AvoidUntil() - from));
  }
  if (plain) block = std::min(block, std::max(v.cap, absl::ZeroDuration()));
  if (avoid <= absl::ZeroDuration() && block <= absl::ZeroDuration()) return false;
  if (record == nullptr) {
    scope.records.emplace_back();
    record = &scope.records.back();
    record->cause = cause;
  }
  const absl::Time before = record->avoid_until;
  record->level = level;
  record->began = std::max(record->began, from);
  record->block_until = std::max(record->block_until, from + block);
  record->avoid_until = std::max({before, from + avoid, record->block_until});
  if (record->avoid_until > before) record->raw_hint = v.raw_hint.substr(0, 120);
  return true;
}

void NaivePool::Reported(const core::ReportCommand& command, const core::ReportReply& reply,
                         const core::Effects& effects) {
  core::LeaseClaims claims;
  const core::Verdict& v = *command.verdict;
  core::ReportReply want;
  NaiveLease* lease = nullptr;
  bool own = true;
  if (command.session_lease != nullptr) {
    lease = Find(*command.session_lease);
    own = lease != nullptr;
    if (own) {
      claims.seq = core::LeaseSeq(lease->seq);
      claims.uid = core::Uid(lease->uid);
      claims.material_version = lease->version;
      claims.model = lease->model;
      claims.granted = lease->granted;
    }
  } else {
    claims = *command.claims;
    own = claims.principal == std::string(command.principal);
    auto it = leases_.find(claims.seq.number());
    if (claims.epoch == epoch_ && it != leases_.end()) lease = &it->second;
  }
  NaiveCredential* c = ByUid(claims.uid.number());
  bool refresh = false;
  if (!own || c == nullptr) {
    want.disposition = Disposition::kUnknown;
  } else if (lease != nullptr && !lease->live && lease->reported) {
    want = lease->answer;
    want.disposition = Disposition::kDuplicate;
    want.refresh_wanted = false;
  } else if (lease == nullptr && now_ > claims.expires + absl::Minutes(10)) {
    want.disposition = Disposition::kUnknown;
  } else {
    const bool live = lease != nullptr && lease->live;
    Evidence e{c,
               claims.granted,
               std::clamp(command.happened, std::min(claims.granted, now_), now_),
               claims.model,
               claims.seq.number(),
               live && lease->probe,
               live && lease->breaker_probe};
    const uint64_t current = c->material == nullptr ? 0 : c->material->version;
    want.disposition = live ? Disposition::kAccepted : Disposition::kLate;
    want.advice = v.advice;
    const bool of_secret = v.outcome == Outcome::kUnauthorized || v.outcome == Outcome::kForbidden;
    const bool named = command.material_version != 0 && command.material_version <= current;
    // A forgotten lease may have been reported; one of before a restart is believed once.
    const bool counts = lease != nullptr || command.early ||
                        (claims.epoch != epoch_ &&
                         earlier_reports_.emplace(claims.epoch, claims.seq.number()).second);
    if (!counts) {
      // Nothing changes.
    } else if (of_secret &&
               (named ? command.material_version : claims.material_version) < current) {
      want.disposition = Disposition::kStale;
      want.advice = core::Advice::kRetrySame;
    } else if (command.early) {
      if (live) want.disposition = Disposition::kNoted;
      if (v.outcome == Outcome::kSuccess) Apply(e, v, &refresh);
    } else {
      Apply(e, v, &refresh);
    }
    want.refresh_wanted = refresh;
    if (live && !command.early) EndLease(*lease, /*by_report=*/true);
    const Look look = LookAt(*c, claims.model);
    want.state = look.state;
    if (look.state == State::kWaiting) want.next_recover = look.returns;
    if (lease != nullptr && !command.early) {
      lease->reported = true;
      lease->answer = want;
    }
  }
  Expect(reply.disposition == want.disposition,
         absl::StrCat("disposition ", std::string(core::Name(reply.disposition)), ", not ",
                      std::string(core::Name(want.disposition))));
  Expect(reply.advice == want.advice, "advice of a report");
  Expect(reply.refresh_wanted == want.refresh_wanted, "whether a refresh is wanted");
  Expect(effects.refresh_wanted.size() == (want.refresh_wanted ? 1u : 0u), "refreshes asked for");
  if (want.disposition != Disposition::kUnknown) {
    Expect(reply.state == want.state,
           absl::StrCat("state told by a report: ", std::string(core::Name(reply.state)), ", not ",
                        std::string(core::Name(want.state))));
    Expect(want.state != State::kWaiting || reply.next_recover == want.next_recover,
           absl::StrCat("recovery told by a report: ", absl::FormatTime(reply.next_recover),
                        ", not ", absl::FormatTime(want.next_recover)));
  }
  Woken(effects);
  NobodyServable();
}

void NaivePool::Apply(const Evidence& e, const core::Verdict& v, bool* refresh_wanted) {
  if (!v.windows.empty()) {
    e.c->windows = v.windows;
    if (e.c->windows.size() > 8) e.c->windows.resize(8);
  }
  std::vector<NaiveBreaker::Mark> marks;
  if (v.outcome == Outcome::kSuccess) {
    ApplySuccess(e);
    return Feed(e, v, {});
  }
  if (v.outcome == Outcome::kCancelled) return;
  const NaiveBreaker* proxy = NetworkSide(v.outcome) ? BreakerOf(*e.c) : nullptr;
  const bool open =
      proxy != nullptr ? proxy->open : providers_.at(e.c->document->provider).breaker.open;
  const bool correlated = NetworkSide(v.outcome) || ProviderSide(v.outcome, e.c->document->kind);
  if (!(correlated && open && !e.breaker_probe)) {
    const bool backoff = v.scope == Scope::kProvider || v.scope == Scope::kProviderModel ||
                         v.scope == Scope::kEgress;
    if (v.action == Action::kWait && backoff) ApplyBackoff(e, v);
    if (v.action == Action::kWait && (v.scope == Scope::kModel || v.scope == Scope::kCredential)) {
      ApplyWait(e, v, &marks);
    }
    if (v.action == Action::kDisable) ApplyDisable(e, v, &marks);
    if (v.action == Action::kRefresh) {
      NaiveScope& scope = ScopeFor(*e.c, "");
      const auto* asked = scope.Find(Cause::kRefresh);
      *refresh_wanted = asked == nullptr || asked->block_until <= now_;
      core::Verdict attempt;
      attempt.hint = absl::Seconds(60);
      Fail(scope, attempt, e, now_, false, Cause::kRefresh);
    }
  }
  Feed(e, v, std::move(marks));
}

void NaivePool::ApplySuccess(const Evidence& e) {
  NaiveProvider& provider = providers_.at(e.c->document->provider);
  auto clear = [&](NaiveScope& scope) {
    scope.Erase(Cause::kNone, e.granted);
    if (e.breaker_probe && scope.probe.lease == e.seq) scope.probe = NaiveProbe();
  };
  for (auto& [model, scope] : provider.backoffs) {
    if (model.empty() || model == e.model) clear(scope);
  }
  if (NaiveBreaker* own = BreakerOf(*e.c)) clear(own->backoff);
  bool probed = false;
  for (auto& [model, scope] : e.c->scopes) {
    if (!model.empty() && model != e.model) continue;
    if (e.probe && scope.probe.lease == e.seq) {
      scope.probe.lease = 0;
      scope.probe.inconclusive = 0;
      scope.probe.next_allowed = kPast;
      probed = true;
    }
    scope.Erase(Cause::kNone, e.granted);
  }
  DropEmpty(*e.c);
  if (!probed) return;
  provider.budget.Good();
  NaiveLease& lease = leases_.at(e.seq);
  if (!lease.pending) return;
  const PendingBinding& p = *lease.pending;
  auto it = bindings_.find(p.key);
  if (it != bindings_.end() && it->second.idle_until <= now_) {
    bindings_.erase(it);
    it = bindings_.end();
  }
  if ((it == bindings_.end() ? 0 : it->second.version) == p.expected) {
    bindings_[p.key] = {e.c->uid, ++binding_version_, now_ + p.ttl, now_ + p.ttl, p.ttl};
  }
  lease.pending.reset();
}

bool NaivePool::IsLast(const NaiveCredential& c, const std::string& model) const {
  bool named = false;  // somebody serves the upstream name as a name of its own
  for (const auto& [id, other] : credentials_) {
    std::string upstream;
    named = named || (other.document->group == c.document->group &&
                      other.document->provider == c.document->provider &&
                      Serves(*other.document, model, &upstream));
  }
  for (const auto& [id, other] : credentials_) {
    if (other.uid == c.uid || other.document->group != c.document->group ||
        other.document->provider != c.document->provider) {
      continue;
    }
    std::string upstream;
    if (named && !Serves(*other.document, model, &upstream)) continue;
    if (LookAt(other, model).state == State::kAvailable) return false;
  }
  return true;
}

bool NaivePool::ApplyWait(const Evidence& e, const core::Verdict& v,
                          std::vector<NaiveBreaker::Mark>* marks) {
  const bool soft = v.cause == Cause::kRateLimit || v.cause == Cause::kTransient;
  if (soft && e.c->document->disable_cooling) return false;
  if (v.cause == Cause::kTransient && IsLast(*e.c, e.model)) return false;
  const std::string model = v.scope == Scope::kModel ? e.model : "";
  NaiveScope& scope = ScopeFor(*e.c, model);
  NaiveBreaker::Mark mark;
  mark.at = now_;
  mark.uid = e.c->uid;
  mark.model = model;
  mark.cause = v.cause;
  mark.auth_before = e.c->auth;
  if (const auto* before = scope.Find(v.cause)) mark.before = *before;
  const bool failed_probe = e.probe && scope.probe.lease == e.seq;
  if (failed_probe) {
    scope.probe.lease = 0;
    scope.probe.inconclusive = 0;
    scope.probe.next_allowed = kPast;
    providers_.at(e.c->document->provider).budget.Bad();
  }
  Fail(scope, v, e, e.happened, failed_probe, v.cause);
  marks->push_back(mark);
  if (v.disable_after > 0 && scope.Find(v.cause)->level >= v.disable_after) {
    return ApplyDisable(e, v, marks);
  }
  return true;
}

bool NaivePool::ApplyDisable(const Evidence& e, const core::Verdict& v,
                             std::vector<NaiveBreaker::Mark>* marks) {
  if (e.c->auth == AuthHealth::kDisabledByPolicy || e.c->auth == AuthHealth::kReauthRequired) {
    return false;
  }
  NaiveBreaker::Mark mark;
  mark.at = now_;
  mark.uid = e.c->uid;
  mark.auth_before = e.c->auth;
  mark.disabled = true;
  marks->push_back(mark);
  e.c->auth = AuthHealth::kDisabledByPolicy;
  e.c->policy_cause = v.cause;
  e.c->policy_since = now_;
  return true;
}

void NaivePool::ApplyBackoff(const Evidence& e, const core::Verdict& v) {
  auto& backoffs = providers_.at(e.c->document->provider).backoffs;
  const std::string model = v.scope == Scope::kProviderModel ? e.model : "";
  NaiveBreaker* own = v.scope == Scope::kEgress ? BreakerOf(*e.c) : nullptr;
  NaiveScope& scope = own != nullptr ? own->backoff : backoffs[model];
  std::erase_if(scope.records,
                [&](const auto& r) { return r.avoid_until + absl::Hours(24) <= now_; });
  const bool failed_probe = e.breaker_probe && scope.probe.lease == e.seq;
  if (failed_probe) scope.probe = NaiveProbe();
  Fail(scope, v, e, e.happened, failed_probe, v.cause);
}

void NaivePool::Feed(const Evidence& e, const core::Verdict& v,
                     std::vector<NaiveBreaker::Mark> marks) {
  const bool network = NetworkSide(v.outcome);
  NaiveBreaker* own = BreakerOf(*e.c);
  auto feed = [&](NaiveBreaker& b, uint64_t join, bool bad) {
    if (b.open) {
      if (!e.breaker_probe || b.probe != e.seq) return;
      b.probe = 0;
      if (bad) {
        b.span = std::min(2 * b.span, absl::Minutes(5));
        b.probe_at = now_ + b.span;
      } else {
        b.open = false;
        b.reports.clear();
      }
      return;
    }
    const int64_t second = absl::ToUnixSeconds(now_);
    b.reports.push_back({second, e.c->uid, join, bad});
    std::erase_if(b.reports, [&](const auto& r) { return r.second <= second - 10; });
    if (!bad) return;
    for (auto& mark : marks) b.marks.push_back(std::move(mark));
    marks.clear();
    std::set<std::pair<uint64_t, uint64_t>> all, failing;
    for (const auto& r : b.reports) {
      all.insert({r.uid, r.join});
      if (r.bad) failing.insert({r.uid, r.join});
    }
    if (failing.size() < 3 || 2 * failing.size() < all.size()) return;
    Open(b);
  };
  const bool bad_provider =
      ProviderSide(v.outcome, e.c->document->kind) || (network && own == nullptr);
  // A dead proxy says nothing of the provider behind it.
  if (!(network && own != nullptr)) {
    feed(providers_.at(e.c->document->provider).breaker, 0, bad_provider);
  }
  if (own != nullptr) feed(*own, e.c->egress_join, network);
}

void NaivePool::Open(NaiveBreaker& b) {
  b.open = true;
  b.span = absl::Seconds(10);
  b.probe_at = now_ + b.span;
  b.probe = 0;
  for (auto mark = b.marks.rbegin(); mark != b.marks.rend(); ++mark) {
    NaiveCredential* c = ByUid(mark->uid);
    if (c == nullptr || now_ - mark->at > absl::Seconds(10)) continue;
    if (mark->disabled) {
      if (c->auth == AuthHealth::kDisabledByPolicy && c->policy_since == mark->at) {
        c->auth = mark->auth_before;
        c->policy_cause = Cause::kNone;
      }
    } else if (auto it = c->scopes.find(mark->model);
               it != c->scopes.end() && it->second.Find(mark->cause) != nullptr) {
      it->second.Erase(mark->cause, kNever);
      if (mark->before) it->second.records.push_back(*mark->before);
    }
    DropEmpty(*c);
  }
  b.marks.clear();
}

}  // namespace credbroker::model
