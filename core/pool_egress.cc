// Egress proxies: who goes through them, and whether they let anybody through.
#include <algorithm>

#include "core/pool_state.h"

namespace credbroker::core {

EgressId PoolState::JoinEgress(absl::string_view proxy_url) {
  // No proxy: what fails there is the provider's (rule 8).
  const EgressId id = egress_names.Ref(proxy_url == kDirect ? absl::string_view() : proxy_url);
  if (id.number() >= egress.size()) egress.resize(id.number() + 1);
  ++egress[id.number()].members;
  return id;
}

void PoolState::LeaveEgress(EgressId id, Effects& effects) {
  EgressState& state = egress[id.number()];
  if (--state.members == 0) {  // the number may come back for another proxy
    if (state.backoff.Erase(Cause::kNone, absl::InfiniteFuture())) {
      EmitBackoff(state.backoff, "", egress_names.Name(id), Why::kRecordExpired, effects);
    }
    for (const Mark& mark : state.guard.marks) models.Unref(mark.model);
    state = EgressState();
    open_egress.erase(id);
  }
  egress_names.Unref(id);
}

Cause PoolState::EgressGate(EgressId id, absl::Time* until, bool* probe) const {
  const EgressState& state = egress[id.number()];
  if (!state.guard.breaker.closed()) {
    if (!state.guard.breaker.CanProbe(now)) {
      *until = std::max(state.guard.breaker.probe_at(), now);
      return Cause::kBreaker;
    }
    *probe = true;
  }
  return BackoffGate(state.backoff, until, probe);
}

void PoolState::TakeEgressProbe(LeaseCell& lease, EgressId id) {
  EgressState& state = egress[id.number()];
  if (state.guard.breaker.TryProbe(lease.seq, now)) lease.breaker_probe = true;
  if (state.backoff.PhaseAt(now) != Phase::kHalfOpen) return;
  ProbeState& probe = state.backoff.mutable_probe();
  probe.lease = lease.seq;
  probe.started = probe.last = now;
  lease.breaker_probe = true;
}

// Those that let everybody through again, so that selection need not look at them.
void PoolState::SweepEgress() {
  absl::erase_if(open_egress, [this](EgressId id) {
    const EgressState& state = egress[id.number()];
    return state.guard.breaker.closed() && state.backoff.PhaseAt(now) == Phase::kOpen;
  });
}

}  // namespace credbroker::core
