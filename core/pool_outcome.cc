// What a verdict does to a credential, a model, a provider: the eight rules of DESIGN.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/jitter.h"
#include "core/pool_state.h"

namespace credbroker::core {
namespace {

// Outcomes that may be the fault of a provider or an egress rather than of the credential (rule 8).
bool IsNetworkSide(Outcome outcome) {
  return outcome == Outcome::kNetwork || outcome == Outcome::kChallenge;
}
bool IsProviderSide(Outcome outcome, Kind kind) {
  if (outcome == Outcome::kTransient) return true;
  return kind == Kind::kApiKey &&
         (outcome == Outcome::kUnauthorized || outcome == Outcome::kForbidden);
}

}  // namespace

Failure PoolState::FailureOf(const Verdict& verdict, const Evidence& evidence) const {
  Failure failure;
  failure.cause = verdict.cause;
  failure.hint = verdict.hint;
  failure.ladder = verdict.ladder;
  failure.jitter = Jitter(options.seed, evidence.seq);
  failure.cap = verdict.cap;
  failure.lease_granted = evidence.granted;
  failure.happened = evidence.happened;
  failure.raw_hint = verdict.raw_hint;
  return failure;
}

void PoolState::ApplyVerdict(const Evidence& evidence, const Verdict& verdict, ReportReply* reply,
                             Effects& effects) {
  if (!verdict.windows.empty()) StoreWindows(evidence.slot, verdict);
  if (verdict.outcome == Outcome::kSuccess) {
    ApplySuccess(evidence, verdict, effects);
    if (FeedGoodNews(records.at(evidence.slot))) return;
    FeedBreakers(evidence, verdict, {}, effects);
    return;
  }
  if (verdict.outcome == Outcome::kCancelled) return;
  std::vector<Mark> marks;
  // While a breaker is open for this kind of failure it is the provider's, not the credential's.
  const Record& record = records.at(evidence.slot);
  const Kind kind = record.document->kind;
  const bool egress_side = IsNetworkSide(verdict.outcome) && record.egress.number() != 0;
  const Breaker& breaker = egress_side ? egress[record.egress.number()].guard.breaker
                                       : provider(record.provider).guard.breaker;
  const bool correlated = IsNetworkSide(verdict.outcome) || IsProviderSide(verdict.outcome, kind);
  const bool excused = correlated && !breaker.closed() && !evidence.breaker_probe;
  if (!excused) {
    switch (verdict.action) {
      case Action::kNone:
        break;
      case Action::kWait:
        if (verdict.scope == Scope::kProvider || verdict.scope == Scope::kProviderModel ||
            verdict.scope == Scope::kEgress) {
          ApplyBackoff(evidence, verdict, effects);
        } else if (verdict.scope == Scope::kModel || verdict.scope == Scope::kCredential) {
          ApplyWait(evidence, verdict, &marks, effects);
        }
        break;
      case Action::kDisable:
        ApplyDisable(evidence, verdict, &marks, effects);
        break;
      case Action::kRefresh:
        ApplyRefresh(evidence, reply, effects);
        break;
    }
  }
  FeedBreakers(evidence, verdict, std::move(marks), effects);
}

void PoolState::ApplySuccess(const Evidence& evidence, const Verdict&, Effects& effects) {
  Record& record = records.at(evidence.slot);
  ProviderState& state = provider(record.provider);
  bool emptied = false;
  for (ScopeRecords& backoff : state.backoffs) {
    if (backoff.model() != kNoModel && backoff.model() != evidence.model) continue;
    emptied = ClearBackoff(backoff, state.name, "", evidence, effects) || emptied;
  }
  if (emptied) {  // each Acquire looks at all of them
    std::erase_if(state.backoffs, [this](const ScopeRecords& backoff) {
      if (!backoff.empty() || backoff.probe().lease != kNoLease) return false;
      models.Unref(backoff.model());
      return true;
    });
  }
  if (record.egress.number() != 0 && !egress[record.egress.number()].backoff.empty()) {
    ClearBackoff(egress[record.egress.number()].backoff, "", egress_names.Name(record.egress),
                 evidence, effects);
  }
  if (record.scopes.empty() && !evidence.probe) return;
  bool changed = false, probed = false;
  for (ScopeRecords& scope : record.scopes) {
    if (scope.model() != kNoModel && scope.model() != evidence.model) continue;
    if (evidence.probe && scope.probe().lease == evidence.seq) {
      scope.mutable_probe().lease = kNoLease;
      scope.mutable_probe().inconclusive = 0;
      scope.mutable_probe().next_allowed = absl::InfinitePast();
      probed = true;
    }
    changed =
        scope.Succeed(Fault("clears_newer") ? absl::InfiniteFuture() : evidence.granted) || changed;
  }
  if (probed) {
    state.budget.OnResult(ProbeBudget::Result::kSuccess);
    ++state.stats.probes_succeeded;
    for (auto it = pending_binds.begin(); it != pending_binds.end(); ++it) {
      if (leases.at(it->first).seq != evidence.seq) continue;
      if (affinity.CompareAndSet(it->second.key, it->second.expected, evidence.slot, record.uid,
                                 it->second.ttl, now) != 0) {
        ++totals.rebinds;
      }
      leases.at(it->first).has_pending_bind = false;
      pending_binds.erase(it);
      break;
    }
  }
  if (!changed && !probed) return;
  RederiveModel(evidence.slot, evidence.model, effects);
  DropEmptyScopes(evidence.slot, effects);
  Rederive(evidence.slot, Why::kReportedSuccess, evidence.principal, effects);
  EmitHealth(evidence.slot, Why::kReportedSuccess, std::nullopt, effects);
}

bool PoolState::IsLastUnblocked(const Record& record, ModelId model) {
  GroupIndex& group = *groups[record.group.number()];
  GroupIndex::Demand demand;
  const ProviderId one[] = {record.provider};
  // The lease carries the upstream name; where nobody serves that as a name of its own (an alias),
  // the provider's whole membership is the key.
  if (group.Resolve(one, std::nullopt, {}, models.Name(model), &demand) !=
          GroupIndex::Miss::kNone &&
      group.Resolve(one, std::nullopt, {}, "", &demand) != GroupIndex::Miss::kNone) {
    return true;
  }
  const uint32_t others = group.Unblocked(demand, model) -
                          (group.IsUnblocked(demand, model, records.Find(record.uid)) ? 1 : 0);
  return others == 0;
}

bool PoolState::ApplyWait(const Evidence& evidence, const Verdict& verdict,
                          std::vector<Mark>* marks, Effects& effects) {
  Record& record = records.at(evidence.slot);
  const bool soft = verdict.cause == Cause::kRateLimit || verdict.cause == Cause::kTransient;
  if (soft && record.document->disable_cooling) return false;
  const ModelId model =
      verdict.scope == Scope::kModel && !Fault("model_hits_whole") ? evidence.model : kNoModel;
  if (verdict.cause == Cause::kTransient && IsLastUnblocked(record, evidence.model) &&
      !Fault("benches_last")) {
    return false;
  }
  ScopeRecords& scope = ScopeFor(record, model, effects);
  Mark mark;
  mark.at = now;
  mark.uid = record.uid;
  mark.model = model;
  mark.cause = verdict.cause;
  if (const AvailabilityRecord* before = scope.Find(verdict.cause)) mark.before = *before;
  mark.auth_before = record.auth;

  Failure failure = FailureOf(verdict, evidence);
  failure.failed_probe = scope.probe().lease == evidence.seq && evidence.probe;
  if (failure.failed_probe) {
    scope.mutable_probe().lease = kNoLease;
    scope.mutable_probe().inconclusive = 0;
    scope.mutable_probe().next_allowed = absl::InfinitePast();
    provider(record.provider).budget.OnResult(ProbeBudget::Result::kFailed);
    ++provider(record.provider).stats.probes_failed;
  }
  const bool was_blocked = scope.PhaseAt(now) == Phase::kBlocked;
  scope.Fail(failure, now);
  const AvailabilityRecord* after = scope.Find(verdict.cause);
  if (after == nullptr) {  // a wait of no length: nothing to remember
    RederiveModel(evidence.slot, model, effects);
    DropEmptyScopes(evidence.slot, effects);
    Rederive(evidence.slot, Why::kReportedFailure, evidence.principal, effects);
    return false;
  }
  const bool disable = verdict.disable_after > 0 && after->level >= verdict.disable_after;
  models.Ref(mark.model);
  marks->push_back(std::move(mark));
  // One that is reported late may ask for a time that is over.
  const bool told = model != kNoModel && !was_blocked && scope.PhaseAt(now) == Phase::kBlocked;
  if (model != kNoModel) {
    RederiveModel(evidence.slot, model, effects);
    if (told) {
      Transition line;
      line.at_ms = absl::ToUnixMillis(now);
      line.until_ms = absl::ToUnixMillis(scope.block_until());
      line.model = model;
      line.actor = evidence.principal;
      line.to = State::kWaiting;
      line.why = Why::kReportedFailure;
      line.cause = verdict.cause;
      PushHistory(record, line);
    }
  }
  Rederive(evidence.slot, Why::kReportedFailure, evidence.principal, effects);
  if (disable) return ApplyDisable(evidence, verdict, marks, effects);
  EmitHealth(evidence.slot, Why::kReportedFailure,
             told ? std::optional(record.history.Newest()) : std::nullopt, effects);
  return true;
}

bool PoolState::ApplyDisable(const Evidence& evidence, const Verdict& verdict,
                             std::vector<Mark>* marks, Effects& effects) {
  Record& record = records.at(evidence.slot);
  if (record.auth == AuthHealth::kDisabledByPolicy || record.auth == AuthHealth::kReauthRequired) {
    return false;
  }
  Mark mark;
  mark.at = now;
  mark.uid = record.uid;
  mark.auth_before = record.auth;
  mark.disabled = true;
  marks->push_back(std::move(mark));
  record.auth = AuthHealth::kDisabledByPolicy;
  record.policy_cause = verdict.cause;
  record.policy_since = now;
  Rederive(evidence.slot, Why::kReportDisabled, evidence.principal, effects);
  EmitHealth(evidence.slot, Why::kReportDisabled, std::nullopt, effects);
  return true;
}

void PoolState::ApplyRefresh(const Evidence& evidence, ReportReply* reply, Effects& effects) {
  Record& record = records.at(evidence.slot);
  // One refresh for any number of reporters: the record says that it was asked for.
  ScopeRecords& scope = ScopeFor(record, kNoModel, effects);
  const AvailabilityRecord* asked = scope.Find(Cause::kRefresh);
  const bool under_way = asked != nullptr && asked->block_until > now;
  Failure failure;
  failure.cause = Cause::kRefresh;
  failure.hint = absl::Seconds(60);  // the attempt's deadline
  failure.lease_granted = evidence.granted;
  scope.Fail(failure, now);
  if (!under_way) {
    reply->refresh_wanted = true;
    effects.refresh_wanted.push_back(record.uid);
  }
  Rederive(evidence.slot, Why::kReportedFailure, evidence.principal, effects);
  EmitHealth(evidence.slot, Why::kReportedFailure, std::nullopt, effects);
}

// Good news with every breaker closed: the common report.
bool PoolState::FeedGoodNews(Record& record) {
  ProviderState& state = provider(record.provider);
  if (!state.guard.breaker.closed()) return false;
  const bool named = record.egress.number() != 0;
  if (named && !egress[record.egress.number()].guard.breaker.closed()) return false;
  state.guard.breaker.Report(record.provider_reports, false, now);
  if (named) egress[record.egress.number()].guard.breaker.Report(record.egress_reports, false, now);
  return true;
}

void PoolState::FeedBreakers(const Evidence& evidence, const Verdict& verdict,
                             std::vector<Mark> marks, Effects& effects) {
  Record& record = records.at(evidence.slot);
  const Kind kind = record.document->kind;
  const bool network = IsNetworkSide(verdict.outcome);
  const bool named = record.egress.number() != 0;
  bool judged = false;  // parked calls have another moment to wait for
  auto feed = [&](GuardedBreaker& guard, BreakerMember& member, bool bad) {
    Breaker& breaker = guard.breaker;
    if (!breaker.closed()) {
      if (evidence.breaker_probe && breaker.probe() == evidence.seq) {
        bad ? breaker.ProbeFailed(now) : breaker.ProbeSucceeded(now);
        judged = true;
        return breaker.closed();
      }
      return false;
    }
    if (bad) {
      ForgetMarks(guard);
      for (Mark& mark : marks) guard.marks.push_back(std::move(mark));
      marks.clear();
    }
    if (!breaker.Report(member, bad, now) || Fault("breaker_never_opens")) return false;
    OpenBreaker(guard, effects);
    return false;
  };
  ProviderState& state = provider(record.provider);
  const bool bad_provider = IsProviderSide(verdict.outcome, kind) || (network && !named);
  bool closed = false;
  // A dead egress says nothing of the provider behind it.
  if (!(network && named)) closed = feed(state.guard, record.provider_reports, bad_provider);
  if (named) {
    EgressState& own = egress[record.egress.number()];
    if (feed(own.guard, record.egress_reports, network)) {
      SweepEgress();
      closed = true;
    } else if (!own.guard.breaker.closed()) {
      open_egress.insert(record.egress);
    }
  }
  for (const Mark& mark : marks) models.Unref(mark.model);
  if ((closed || judged) && waits.size() != 0) {
    for (GroupId group : waits.groups()) pump.insert(group);
  }
}

void PoolState::ForgetMarks(GuardedBreaker& guard) {
  constexpr size_t kOften = 1024, kMost = 65'536;
  std::deque<Mark>& marks = guard.marks;
  while (marks.size() >= kMost ||
         (marks.size() >= kOften && now - marks.front().at > absl::Seconds(10))) {
    models.Unref(marks.front().model);
    marks.pop_front();
  }
}

void PoolState::OpenBreaker(GuardedBreaker& guard, Effects& effects) {
  std::deque<Mark> marks = std::move(guard.marks);
  guard.marks.clear();
  if (Fault("breaker_keeps_marks")) marks.clear();
  // Newest first, so that the oldest mark of a record decides what is restored.
  for (auto mark = marks.rbegin(); mark != marks.rend(); ++mark) {
    const Slot slot = records.Find(mark->uid);
    if (slot == kNoSlot || now - mark->at > absl::Seconds(10)) {
      models.Unref(mark->model);
      continue;
    }
    Record& record = records.at(slot);
    if (mark->disabled) {
      if (record.auth == AuthHealth::kDisabledByPolicy && record.policy_since == mark->at) {
        record.auth = mark->auth_before;
        record.policy_cause = Cause::kNone;
      }
    } else if (ScopeRecords* scope = record.Find(mark->model);
               scope != nullptr && scope->Find(mark->cause) != nullptr) {
      scope->Erase(mark->cause, absl::InfiniteFuture());
      if (mark->before) scope->Put(*mark->before);
    }
    RederiveModel(slot, mark->model, effects);
    DropEmptyScopes(slot, effects);
    Rederive(slot, Why::kBreakerOpened, PrincipalId(), effects);
    EmitHealth(slot, Why::kBreakerOpened, std::nullopt, effects);
    models.Unref(mark->model);
  }
}

void PoolState::StoreWindows(Slot slot, const Verdict& verdict) {
  Record& record = records.at(slot);
  constexpr size_t kMaxWindows = 8;
  auto windows = std::make_unique<std::vector<RateWindow>>(verdict.windows);
  if (windows->size() > kMaxWindows) windows->resize(kMaxWindows);
  record.windows = std::move(windows);
  groups[record.group.number()]->Touch(slot);
}

}  // namespace credbroker::core
