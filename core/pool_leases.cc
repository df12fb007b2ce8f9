// The ends of leases: renewal, release, expiry, and what is remembered afterwards.
#include <algorithm>

#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {

void PoolState::Inconclusive(uint32_t cell, LeaseCell& lease, Record& record, Effects& effects) {
  if (lease.has_pending_bind) {
    pending_binds.erase(cell);
    lease.has_pending_bind = false;
  }
  ProviderState& state = provider(record.provider);
  if (lease.probe) {
    lease.probe = false;
    --state.stats.probes_out;
    const Slot slot = lease.slot;
    std::vector<ModelId> probed;
    for (ScopeRecords& scope : record.scopes) {
      if (scope.probe().lease != lease.seq) continue;
      ProbeState& probe = scope.mutable_probe();
      probe.lease = kNoLease;
      ++probe.inconclusive;
      probe.next_allowed = now + InconclusiveDelay(probe.inconclusive);
      probed.push_back(scope.model());
    }
    if (!probed.empty()) {
      state.budget.OnResult(ProbeBudget::Result::kInconclusive);
      ++state.stats.probes_inconclusive;
      for (ModelId model : probed) RederiveModel(slot, model, effects);
      Rederive(slot, Why::kReportedFailure, lease.principal, effects);
    }
  }
  if (!lease.breaker_probe) return;
  lease.breaker_probe = false;
  for (GroupId group : waits.groups()) pump.insert(group);  // the next probe is at another time
  if (state.guard.breaker.probe() == lease.seq) state.guard.breaker.ProbeInconclusive(now);
  for (ScopeRecords& backoff : state.backoffs) {
    if (backoff.probe().lease == lease.seq) backoff.mutable_probe().lease = kNoLease;
  }
  if (record.egress.number() != 0) {
    EgressState& own = egress[record.egress.number()];
    Breaker& breaker = own.guard.breaker;
    if (!breaker.closed() && breaker.probe() == lease.seq) breaker.ProbeInconclusive(now);
    if (own.backoff.probe().lease == lease.seq) own.backoff.mutable_probe().lease = kNoLease;
  }
}

void PoolState::EndLease(uint32_t cell, LeaseEnd end, Effects& effects) {
  LeaseCell& lease = leases.at(cell);
  const Slot slot = lease.slot;
  Record& record = records.at(slot);
  if (lease.probe || lease.breaker_probe || lease.has_pending_bind) {
    Inconclusive(cell, lease, record, effects);  // a verdict came before and took the marks off
  }
  const ModelId model = lease.model;
  if (lease.in_session) LeaveSession(cell, end);
  if (record.model_cap > 0 || !model_in_flight.empty()) {
    auto it = model_in_flight.find({slot, model});
    if (it != model_in_flight.end()) {
      if (--it->second == 0) model_in_flight.erase(it);
    }
  }
  leases.End(cell, record, end, now_ns);
  GroupIndex& group = *groups[record.group.number()];
  --group.stats(record.provider).in_flight;
  if (model != kNoModel) {
    if (record.model_cap > 0) RederiveModel(slot, model, effects);
    models.Unref(model);
    lease.model = kNoModel;
  }
  if (record.cap > 0) Rederive(slot, Why::kReportedSuccess, PrincipalId(), effects);
  group.Touch(slot);
}

void PoolState::ForgetEnded(int limit) {
  leases.Forget(now_ns - ended_retention_ns, static_cast<size_t>(settings.limits.max_ended_leases),
                limit, [&](uint32_t cell, LeaseCell& lease) {
                  if (lease.in_session) {
                    models.Unref(sessions.link(cell).model);
                    sessions.Forget(cell);
                  }
                  if (!lease.has_request) return;
                  auto it = request_of_cell.find(cell);
                  CB_CHECK(it != request_of_cell.end());
                  requests.erase(it->second);
                  request_of_cell.erase(it);
                });
}

RenewReply PoolState::Renew(absl::string_view principal, const LeaseClaims& claims,
                            absl::Duration ttl, Effects&) {
  // Numbers start again after a restart: one of before may stand for another lease now.
  LeaseCell* lease = claims.epoch == options.epoch ? leases.Find(claims.cell, claims.seq) : nullptr;
  if (lease == nullptr || principal_names.Name(lease->principal) != principal) return RenewReply();
  return Extend(claims.cell, *lease, ttl);
}

RenewReply PoolState::Extend(uint32_t cell, const LeaseCell& lease, absl::Duration ttl) {
  RenewReply reply;
  // One whose time is over has ended, even if that is still to be done.
  if (lease.end != LeaseEnd::kLive || lease.expires_ns <= now_ns) return reply;
  const Record& record = records.at(lease.slot);
  if (record.standing.state == State::kDisabled) {
    reply.result = RenewResult::kDisabled;
    return reply;
  }
  if (ttl <= absl::ZeroDuration()) ttl = settings.limits.default_ttl;
  // The hard maximum counts from the grant. A renewal never shortens the lease.
  const int64_t hard = lease.granted_ns + absl::ToInt64Nanoseconds(settings.limits.max_ttl);
  const int64_t wanted = now_ns + absl::ToInt64Nanoseconds(std::min(ttl, settings.limits.max_ttl));
  const int64_t expires = std::max(lease.expires_ns, std::min(wanted, hard));
  reply.at_max = wanted > hard && lease.expires_ns >= hard;
  leases.Extend(cell, expires);
  reply.result = RenewResult::kRenewed;
  reply.expires = absl::FromUnixNanos(expires);
  return reply;
}

bool PoolState::Release(absl::string_view principal, const LeaseClaims& claims, Effects& effects) {
  Step(effects);
  // Numbers start again after a restart: one of before may stand for another lease now.
  const bool ours = claims.epoch == options.epoch || Fault("old_epoch_accepted");
  LeaseCell* lease = ours ? leases.Find(claims.cell, claims.seq) : nullptr;
  if (lease == nullptr || lease->end != LeaseEnd::kLive ||
      principal_names.Name(lease->principal) != principal) {
    return false;
  }
  EndLease(claims.cell, LeaseEnd::kReleased, effects);
  return true;
}

}  // namespace credbroker::core
