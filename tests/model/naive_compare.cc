// The pool's own account of things against the facts.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::Candidacy;
using core::Cause;
using core::State;

namespace {

std::string Show(absl::Time t) { return absl::FormatTime("%d %H:%M:%E9S", t, absl::UTCTimeZone()); }

}  // namespace

void NaivePool::Compare(const core::CredentialView& view) const {
  const std::string id = view.document->id;
  auto expect = [&](bool ok, const std::string& what) {
    if (!ok) throw Mismatch(absl::StrCat(id, ": ", what));
  };
  auto it = credentials_.find(id);
  expect(it != credentials_.end(), "is not known to the model");
  const NaiveCredential& c = it->second;
  const Look look = LookAt(c, "");
  expect(view.uid.number() == c.uid, "uid");
  expect(view.intent == c.intent, "intent");
  expect(view.document->revision == c.document->revision, "revision");
  expect(view.state == look.state,
         absl::StrCat("is ", std::string(core::Name(view.state)), " (",
                      std::string(core::Name(view.cause)), " until ", Show(view.next_recover),
                      "), not ", std::string(core::Name(look.state)), " (",
                      std::string(core::Name(look.cause)), "), now ", Show(now_)));
  expect(view.cause == look.cause, absl::StrCat("cause ", std::string(core::Name(view.cause)),
                                                ", not ", std::string(core::Name(look.cause))));
  expect(view.half_open == look.half_open, "half-open");
  expect(view.auth == c.auth && view.policy_cause == c.policy_cause, "auth health");
  expect(view.in_flight == c.leases.size(),
         absl::StrCat("in flight ", view.in_flight, ", not ", c.leases.size()));
  expect(view.max_in_flight == CapOf(c), "cap");
  expect(view.max_in_flight_per_model == ModelCapOf(c), "cap per model");
  if (look.state == State::kWaiting) {
    expect(view.next_recover == look.returns,
           absl::StrCat("recovers ", Show(view.next_recover), ", not ", Show(look.returns)));
    expect(view.next_recover < kNever && view.next_recover > now_, "WAITING without an end");
  }
  std::vector<std::string> waiting;
  size_t records = 0;
  for (const auto& [model, scope] : c.scopes) {
    if (!model.empty() && scope.Blocked(now_)) waiting.push_back(model);
    records += scope.records.size();
  }
  expect(view.waiting_models == waiting, "waiting models");
  expect(view.records.size() == records,
         absl::StrCat(view.records.size(), " records, not ", records));
  for (const auto& r : view.records) {
    auto scope = c.scopes.find(r.model);
    expect(scope != c.scopes.end(), "a record for " + r.model);
    const auto* mine = const_cast<NaiveScope&>(scope->second).Find(r.record.cause);
    const std::string what =
        absl::StrCat("record ", r.model, "/", std::string(core::Name(r.record.cause)));
    expect(mine != nullptr, what);
    expect(mine->level == r.record.level,
           absl::StrCat(what, " level ", r.record.level, ", not ", mine->level));
    expect(mine->block_until == r.record.block_until,
           absl::StrCat(what, " blocks until ", Show(r.record.block_until), ", not ",
                        Show(mine->block_until)));
    expect(mine->avoid_until == r.record.avoid_until,
           absl::StrCat(what, " is avoided until ", Show(r.record.avoid_until), ", not ",
                        Show(mine->avoid_until)));
    expect(mine->began == r.record.began, what + " began");
    expect(mine->raw_hint == r.record.raw_hint, what + " hint");
  }
}

void NaivePool::CompareCounts(const core::PoolStats& stats) const {
  auto expect = [](bool ok, const std::string& what) {
    if (!ok) throw Mismatch("counts: " + what);
  };
  expect(stats.credentials == credentials_.size(), "credentials");
  expect(stats.leases == live_leases(), "leases");
  expect(stats.parked == parked(), absl::StrCat("parked ", stats.parked, ", not ", parked()));
  size_t open = 0, session_leases = 0;
  for (const auto& [number, session] : sessions_) open += session.open ? 1 : 0;
  for (const auto& [seq, lease] : leases_) session_leases += lease.live && lease.session != 0;
  expect(stats.sessions_open == open && stats.sessions_detached == sessions_.size() - open,
         "sessions");
  expect(stats.session_leases == session_leases, "leases of sessions");
  expect(stats.model_names <= 16 + credentials_.size() * 8 + leases_.size() * 2, "model names");
  for (const auto& own : stats.groups) {
    std::array<uint64_t, core::kStateCount> by_state{};
    std::array<uint64_t, core::kCauseCount> by_cause{};
    uint64_t half_open = 0, busy = 0, in_flight = 0;
    for (const auto& [id, c] : credentials_) {
      if (c.document->group != own.group || c.document->provider != own.provider) continue;
      const Look look = LookAt(c, "");
      ++by_state[static_cast<size_t>(look.state)];
      if (look.cause != Cause::kNone) ++by_cause[static_cast<size_t>(look.cause)];
      half_open += look.half_open ? 1 : 0;
      busy += look.cause == Cause::kBusy ? 1 : 0;
      in_flight += c.leases.size();
    }
    const std::string of = absl::StrCat(" of ", own.group, "/", own.provider);
    expect(by_state == own.by_state, "states" + of);
    expect(by_cause == own.by_cause, "causes" + of);
    expect(half_open == own.half_open && busy == own.busy, "flags" + of);
    expect(in_flight == own.in_flight,
           absl::StrCat("in flight", of, " ", own.in_flight, ", not ", in_flight));
  }
  for (const auto& own : stats.providers) {
    auto it = providers_.find(own.provider);
    expect(it != providers_.end(), "provider " + own.provider);
    expect(it->second.breaker.open == own.breaker_open, "breaker of " + own.provider);
    bool backing_off = false;
    for (const auto& [model, scope] : it->second.backoffs) {
      backing_off = backing_off || scope.AvoidUntil() > now_;
    }
    expect(backing_off == own.backing_off, "backoff of " + own.provider);
  }
}

void NaivePool::Explained(const core::AcquireCommand& command, const core::Explanation& given) {
  const NaiveCall call(command);
  const auto bindings = bindings_;
  const Decision d = Decide(call);
  const std::string session_key = DecideAny(call).session_key;  // also where it has enough leases
  bindings_ = bindings;                                         // a question renews nothing
  const NaiveCredential* bound = nullptr;
  if (auto it = bindings_.find(session_key);
      !session_key.empty() && it != bindings_.end() && it->second.idle_until > now_) {
    bound = ByUid(it->second.uid);
  }
  auto expect = [](bool ok, const std::string& what) {
    if (!ok) throw Mismatch("explain: " + what);
  };
  const bool granted = given.would == core::AcquireReply::Kind::kGranted;
  expect(granted == d.granted, absl::StrCat("would be granted: ", granted));
  if (granted) {
    auto it = credentials_.find(given.would_choose);
    expect(it != credentials_.end() && d.allowed.contains(it->second.uid),
           "would choose " + given.would_choose);
    expect(given.would_probe == d.probe, "would probe");
  } else {
    CheckRefusal(d, given.refusal, "Explain");
  }
  expect(given.bound.empty() || (bound != nullptr && given.bound == bound->document->id.view()),
         "bound to " + given.bound);
  for (const core::Candidate& candidate : given.candidates) {
    const NaiveCredential& c = credentials_.at(candidate.id);
    std::string upstream;
    const bool serves = Serves(*c.document, call.model, &upstream);
    const Look look = LookAt(c, upstream), own = LookAt(c, "");
    bool labels = true;
    for (const auto& label : call.labels) {
      labels = labels && std::find(c.document->labels.begin(), c.document->labels.end(), label) !=
                             c.document->labels.end();
    }
    absl::Time until;
    bool probe = false;
    Cause gate = Gate(c.document->provider, upstream, &until, &probe);
    if (gate == Cause::kNone) gate = EgressGate(c, &until, &probe);
    Candidacy want = Candidacy::kEligible;
    auto listed = [](const auto& list, const auto& value) {
      return std::find(list.begin(), list.end(), value) != list.end();
    };
    if (!listed(call.providers, c.document->provider)) {
      want = Candidacy::kWrongProvider;
    } else if (!serves) {
      want = Candidacy::kDoesNotServeModel;
    } else if (call.kind && *call.kind != c.document->kind) {
      want = Candidacy::kWrongKind;
    } else if (!labels) {
      want = Candidacy::kWrongLabels;
    } else if (!call.pin.empty() && call.pin != candidate.id) {
      want = Candidacy::kNotPinned;
    } else if (listed(call.excluded, candidate.id)) {
      want = Candidacy::kExcluded;
    } else if (gate != Cause::kNone) {
      want = gate == Cause::kBreaker ? Candidacy::kBreakerOpen : Candidacy::kProviderBackoff;
    } else if (look.state == State::kDisabled) {
      want = Candidacy::kDisabled;
    } else if (look.state == State::kWaiting) {
      want = own.state == State::kWaiting ? Candidacy::kWaiting : Candidacy::kModelWaiting;
    } else if (granted && given.would_choose == candidate.id) {
      want = Candidacy::kChosen;
    } else if (look.half_open) {
      want = look.probe_ready ? Candidacy::kHalfOpen : Candidacy::kProbing;
    } else if (look.cause == Cause::kBusy) {
      want = own.cause != Cause::kBusy ? Candidacy::kModelBusy
             : own.resume_only         ? Candidacy::kResumeOnly
                                       : Candidacy::kBusy;
    } else if (look.cause == Cause::kWeight) {
      want = Candidacy::kWeight;
    } else if (bound != nullptr && given.would_choose == bound->document->id.view() &&
               call.pin.empty()) {
      want = Candidacy::kBoundElsewhere;
    } else if (granted &&
               credentials_.at(given.would_choose).document->priority > c.document->priority) {
      want = Candidacy::kLowerTier;
    }
    // One that is busy may hold its session.
    if (!granted && bound != nullptr && bound != &c && want == Candidacy::kEligible &&
        candidate.candidacy == Candidacy::kBoundElsewhere) {
      want = Candidacy::kBoundElsewhere;
    }
    const bool asked = listed(call.providers, c.document->provider);
    const Look& seen = asked && serves ? look : own;
    expect(candidate.state == seen.state && candidate.half_open == seen.half_open,
           "state of " + candidate.id);
    expect(candidate.candidacy == want,
           absl::StrCat(candidate.id, " is ", std::string(core::Name(candidate.candidacy)),
                        ", not ", std::string(core::Name(want))));
  }
}

}  // namespace credbroker::model
