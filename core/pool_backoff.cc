// Backoffs of the pool: records of a provider, a (provider, model) or an egress, with the same two
// clocks as a credential's and one probe while half-open.
#include <algorithm>
#include <utility>

#include "core/pool_state.h"

namespace credbroker::core {

ScopeRecords& PoolState::BackoffFor(const Evidence& evidence, Scope scope, Effects& effects) {
  const Record& record = records.at(evidence.slot);
  ProviderState& state = provider(record.provider);
  if (scope == Scope::kEgress && record.egress.number() != 0) {
    open_egress.insert(record.egress);
    return egress[record.egress.number()].backoff;
  }
  // Without a proxy of its own a credential goes out as its provider's others do.
  const ModelId model = scope == Scope::kProviderModel ? evidence.model : kNoModel;
  for (ScopeRecords& known : state.backoffs) {
    if (known.model() == model) return known;
  }
  // Bounded like a credential's: names come from callers.
  if (state.backoffs.size() >= kMaxModelScopes) {
    auto drop = std::min_element(state.backoffs.begin(), state.backoffs.end(),
                                 [](const ScopeRecords& a, const ScopeRecords& b) {
                                   return a.avoid_until() < b.avoid_until();
                                 });
    if (drop->Erase(Cause::kNone, absl::InfiniteFuture())) {
      EmitBackoff(*drop, state.name, "", Why::kRecordExpired, effects);
    }
    models.Unref(drop->model());
    state.backoffs.erase(drop);
    ++totals.model_records_dropped;
  }
  models.Ref(model);
  return state.backoffs.emplace_back(model);
}

void PoolState::ApplyBackoff(const Evidence& evidence, const Verdict& verdict, Effects& effects) {
  const Record& record = records.at(evidence.slot);
  ScopeRecords& backoff = BackoffFor(evidence, verdict.scope, effects);
  const bool of_egress = record.egress.number() != 0 && verdict.scope == Scope::kEgress;
  Failure failure = FailureOf(verdict, evidence);
  failure.failed_probe = backoff.probe().lease == evidence.seq && evidence.breaker_probe;
  if (failure.failed_probe) backoff.mutable_probe() = ProbeState();
  backoff.Sweep(now);
  const bool held_back = backoff.PhaseAt(now) != Phase::kOpen;
  if (!backoff.Fail(failure, now)) return;  // a wait of no length
  if (!of_egress && !held_back) ++provider(record.provider).stats.backoffs_started;
  EmitBackoff(backoff, of_egress ? absl::string_view() : provider(record.provider).name,
              of_egress ? absl::string_view(egress_names.Name(record.egress)) : "",
              Why::kReportedFailure, effects);
}

bool PoolState::ClearBackoff(ScopeRecords& backoff, absl::string_view of, absl::string_view proxy,
                             const Evidence& evidence, Effects& effects) {
  if (backoff.Succeed(evidence.granted)) {
    EmitBackoff(backoff, of, proxy, Why::kReportedSuccess, effects);
    for (GroupId group : waits.groups()) pump.insert(group);
  }
  if (evidence.breaker_probe && backoff.probe().lease == evidence.seq) {
    backoff.mutable_probe() = ProbeState();
  }
  return backoff.empty() && backoff.probe().lease == kNoLease;
}

void PoolState::EmitBackoff(const ScopeRecords& backoff, absl::string_view of,
                            absl::string_view proxy, Why why, Effects& effects) {
  auto stored = std::make_shared<BackoffRecord>();
  stored->provider = std::string(of);
  stored->egress = std::string(proxy);
  stored->model = models.Name(backoff.model());
  for (const AvailabilityRecord& record : backoff.records()) {
    if (record.avoid_until > stored->record.avoid_until) stored->record = record;
  }
  Change change;
  change.kind = RecordKind::kBackoff;
  change.why = why;
  change.at = now;
  change.backoff = std::move(stored);
  effects.changes.push_back(std::move(change));
}

}  // namespace credbroker::core
