// Why nothing was granted, and when there may be something.
#include <algorithm>

#include "core/pool_state.h"

namespace credbroker::core {
namespace {
void AddCount(std::array<uint32_t, kCauseCount>& counts, Cause cause, uint32_t by) {
  if (cause != Cause::kNone) counts[static_cast<size_t>(cause)] += by;
}
}  // namespace

int64_t PoolState::LetThroughAt(const Request& request, Slot slot, int64_t returns_ns) const {
  const Record& record = records.at(slot);
  if (IsExcluded(request, record)) return INT64_MAX;
  int64_t at = returns_ns;
  const auto wait = [&](Cause cause, absl::Time until, bool probe) {
    if (cause == Cause::kNone && (!probe || request.command->allow_probe)) return;
    at = std::max(at, NanosOrNever(until));
  };
  if (!open_egress.empty() && open_egress.contains(record.egress)) {
    absl::Time until = absl::InfiniteFuture();
    bool probe = false;
    const Cause cause = EgressGate(record.egress, &until, &probe);
    wait(cause, until, probe);
  }
  if (request.providers.size() > 1 || !request.demand.uniform) {
    absl::Time until = absl::InfiniteFuture();
    bool probe = false;
    absl::string_view upstream = request.demand.model;
    rules.at(record.rules).Serves(request.demand.model, &upstream);
    const Cause cause = Gate(record.provider, upstream, &until, &probe);
    wait(cause, until, probe);
  }
  return at;
}

void PoolState::FillRefusal(Request& request, RefusalInfo* refusal) const {
  const AcquireCommand& command = *request.command;
  // Counts are of the key before labels and kind.
  GroupIndex::Demand key = request.demand;
  if (command.kind || !command.labels.empty()) {
    request.group->Resolve(absl::MakeConstSpan(request.providers), std::nullopt, {},
                           request.demand.model, &key);
  }
  refusal->counts = key.view->counts();
  refusal->members = key.view->size();
  int64_t earliest = INT64_MAX;
  request.group->ForEachHeld(key, [&](Slot slot, const Standing& standing) {
    const Record& record = records.at(slot);
    const Standing both = Combine(record.standing, standing);
    AddCount(refusal->counts, record.standing.cause, static_cast<uint32_t>(-1));
    AddCount(refusal->counts, both.cause, 1);
    if (request.demand.view->IsMember(record.position)) {
      earliest = std::min(earliest, LetThroughAt(request, slot, both.returns_ns));
    }
  });
  for (const auto& [returns, position] : request.demand.view->returning()) {
    if (returns >= earliest) break;
    const Slot slot = request.group->SlotAt(position);
    const Standing* held =
        request.demand.dedicated ? nullptr : request.group->ModelStanding(request.demand, slot);
    if (held != nullptr && Combine(records.at(slot).standing, *held).returns_ns > returns) continue;
    earliest = std::min(earliest, LetThroughAt(request, slot, returns));
  }
  // A token helps only where somebody could use it; a moment that is not to come helps nobody.
  const bool dry = KeyIsDry(request);
  ForEachProbe(request, [&](Slot slot, int64_t) {
    const ProviderId id = records.at(slot).provider;
    const absl::Time token = providers[id.number()]->budget.NextToken(now, dry);
    if (token > now) earliest = std::min(earliest, NanosOrNever(token));
    return request.providers.size() > 1;
  });
  bool egress_broken = false, egress_backs_off = false;
  for (EgressId id : request.held_back_by) {
    absl::Time until = absl::InfiniteFuture();
    bool probe = false;
    EgressGate(id, &until, &probe);
    const EgressState& state = egress[id.number()];
    egress_broken = egress_broken || !state.guard.breaker.closed();
    egress_backs_off = egress_backs_off || state.backoff.PhaseAt(now) != Phase::kOpen;
    if (until > now) earliest = std::min(earliest, NanosOrNever(until));
  }
  Cause gated = Cause::kNone;
  for (ProviderId id : request.providers) {
    absl::Time until = absl::InfiniteFuture();
    bool probe = false;
    const Cause cause = Gate(id, request.demand.model, &until, &probe);
    if (cause != Cause::kNone) {
      gated = cause;
    } else if (command.allow_probe) {
      continue;
    }  // who may be nobody's probe waits for the end of a half-open backoff
    if (until > now) earliest = std::min(earliest, NanosOrNever(until));
  }
  // Where members call the model by other names, the end of a backoff of any may free one of them:
  // better too early a look than none.
  for (ProviderId id : request.demand.uniform ? decltype(request.providers)() : request.providers) {
    for (const ScopeRecords& backoff : providers[id.number()]->backoffs) {
      absl::Time until = absl::InfiniteFuture();
      bool probe = false;
      const Cause cause = Gate(id, models.Name(backoff.model()), &until, &probe);
      if (cause == Cause::kNone && command.allow_probe) continue;
      if (until > now) earliest = std::min(earliest, NanosOrNever(until));
    }
  }
  refusal->earliest = FromNanosOrNever(earliest);
  const bool open = OpenOnes(request, key) > 0;
  auto count = [&](Cause cause) { return refusal->counts[static_cast<size_t>(cause)]; };
  const uint32_t disabled =
      count(Cause::kOperator) + count(Cause::kReauth) + count(Cause::kDisabledByPolicy);
  if (disabled == refusal->members) {
    refusal->reason = Refusal::kAllDisabled;
  } else if (count(Cause::kBusy) > 0) {
    refusal->reason = BusyReason();
  } else if (open && (egress_broken || gated == Cause::kBreaker)) {
    refusal->reason = Refusal::kBreakerOpen;
  } else if (open && (egress_backs_off || gated != Cause::kNone)) {
    refusal->reason = Refusal::kProviderBackoff;
  } else if (open) {
    refusal->reason = Refusal::kNoMatch;  // open ones exist: labels or exclusions leave nobody
  } else {
    refusal->reason = Refusal::kCooling;
  }
}

}  // namespace credbroker::core
