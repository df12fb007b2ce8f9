// Time: what is due, in bounded steps.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {

void PoolState::SweepProbes(Slot slot, Effects& effects) {
  const Record& record = records.at(slot);
  for (const ScopeRecords& scope : record.scopes) {
    const ProbeState& probe = scope.probe();
    if (probe.lease == kNoLease || probe.started + kProbeVerdict > now) continue;
    // The probe is one of the credential's live leases: its end would have taken the mark off.
    uint32_t cell = record.first_lease;
    while (cell != kNoCell && leases.at(cell).seq != probe.lease) cell = leases.at(cell).next;
    CB_CHECK(cell != kNoCell);
    Inconclusive(cell, leases.at(cell), records.at(slot), effects);
    return;  // one lease is the probe of all its scopes; others have their own timer turn
  }
}

void PoolState::SweepModels(Slot slot, Effects& effects) {
  Record& record = records.at(slot);
  const GroupIndex& group = *groups[record.group.number()];
  for (const ScopeRecords& scope : record.scopes) {
    const ModelId model = scope.model();
    if (model == kNoModel) continue;
    const Standing* before = group.ModelStanding(slot, model);
    const bool was_waiting = before != nullptr && before->state == State::kWaiting;
    RederiveModel(slot, model, effects);
    const Standing* after = group.ModelStanding(slot, model);
    if (!was_waiting || (after != nullptr && after->state == State::kWaiting)) continue;
    Transition line;
    line.at_ms = absl::ToUnixMillis(now);
    line.model = model;
    line.from = State::kWaiting;
    line.to = State::kAvailable;
    line.why = Why::kBlockEnded;
    line.cause = after == nullptr ? Cause::kNone : after->cause;
    PushHistory(record, line);
    Change change;
    change.kind = RecordKind::kHealth;
    change.why = Why::kBlockEnded;
    change.id = std::string(record.id());
    change.uid = record.uid;
    change.at = now;
    change.transition = record.history.Newest();
    effects.changes.push_back(std::move(change));
  }
}

void PoolState::OnSlotTimer(Slot slot, Effects& effects) {
  timers.Erase(slot.number());  // what follows sets it anew
  Record& record = records.at(slot);
  if (!record.enabled() && record.intent->until && *record.intent->until <= now) {
    Intent intent;
    intent.actor = "schedule";
    intent.since = *record.intent->until;
    record.intent = std::make_shared<const Intent>(intent);
    Change change;
    change.kind = RecordKind::kIntent;
    change.why = Why::kScheduleEnabled;
    change.id = std::string(record.id());
    change.uid = record.uid;
    change.at = now;
    change.intent = intent;
    effects.changes.push_back(std::move(change));
    Rederive(slot, Why::kScheduleEnabled, PrincipalId(), effects);
  }
  SweepProbes(slot, effects);
  SweepModels(slot, effects);
  bool swept = false;
  for (ScopeRecords& scope : record.scopes) swept = scope.Sweep(now) || swept;
  if (swept) DropEmptyScopes(slot, effects);
  const Standing before = record.standing;
  const Why why = before.state == State::kWaiting ? Why::kBlockEnded
                  : record.material != nullptr && record.material->expire_time &&
                          *record.material->expire_time <= now
                      ? Why::kMaterialExpired
                      : Why::kAvoidEnded;
  Rederive(slot, why, PrincipalId(), effects);
  if (swept) EmitHealth(slot, Why::kRecordExpired, std::nullopt, effects);
}

void PoolState::ExpireWaits(int limit, Effects& effects) {
  for (const ParkedCall& call : waits.Expire(now, limit)) {
    ForgetRequest(call);
    AcquireReply reply;
    Request request;
    const AcquireCommand command = call.View();
    if (const auto refusal = Resolve(command, &request)) {
      reply.refusal.reason = *refusal;
    } else {
      Choice choice;
      // Counts and the earliest recovery are those of now; the reason is that the wait is over.
      Choose(request, &choice, &reply.refusal);
      reply.refusal.reason = Refusal::kWaitExpired;
      GroupProviderStats& stats = request.group->stats(request.providers[0]);
      ++stats.refused[static_cast<size_t>(Refusal::kWaitExpired)];
    }
    reply.waited = now - call.parked;
    Answer(call.id, std::move(reply), effects);
  }
}

void PoolState::Due(int limit, Effects& effects) {
  int left = limit;
  while (left > 0 && sessions.NextDeadline() <= now_ns) {
    left -= EndSession(sessions.NextDue(), left, effects);
  }
  while (left > 0 && leases.NextExpiry() <= now_ns) {
    --left;
    if (Fault("expired_keeps_slot")) {
      leases.Extend(leases.NextExpiring(), now_ns + absl::ToInt64Nanoseconds(absl::Hours(1)));
      continue;
    }
    ++totals.leases_expired;
    EndLease(leases.NextExpiring(), LeaseEnd::kExpired, effects);
  }
  while (left > 0 && timers.MinTime() <= now_ns) {
    OnSlotTimer(Slot(timers.MinIndex()), effects);
    --left;
  }
  if (waits.size() != 0) {
    for (const auto& [group, at] : pump_at) {
      if (at <= now) pump.insert(group);
    }
    Pump(effects);
    if (left > 0) ExpireWaits(left, effects);
  }
}

bool PoolState::Advance(int limit, Effects& effects) {
  Due(limit, effects);
  ForgetEnded(limit);
  affinity.Sweep(now, limit);
  if (!open_egress.empty()) SweepEgress();
  return NextEvent() <= now;
}

absl::Time PoolState::NextEvent() const {
  absl::Time next =
      FromNanosOrNever(std::min({leases.NextExpiry(), timers.MinTime(), sessions.NextDeadline()}));
  next = std::min(next, waits.NextDeadline());
  for (const auto& [group, at] : pump_at) {
    if (waits.size(group) != 0) next = std::min(next, at);
  }
  return next;
}

}  // namespace credbroker::core
