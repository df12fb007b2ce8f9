// Selection: which credential a request would get now. Chooses only; Commit (pool_acquire.cc)
// takes. Order: pin, session, probe, highest tier by the group's strategy.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {

std::optional<Refusal> PoolState::Resolve(const AcquireCommand& command, Request* request) {
  request->command = &command;
  request->group = FindGroup(command.group.empty() ? "default" : command.group);
  if (request->group == nullptr) return Refusal::kNoSuchGroup;
  for (absl::string_view name : command.providers) {
    const auto id = provider_names.Find(name);
    if (id && id->number() != 0) request->providers.push_back(*id);
  }
  if (command.providers.empty() && !command.credential_id.empty()) {
    // A pin says which provider it is.
    const Slot pinned = records.Find(command.credential_id);
    if (pinned == kNoSlot) return Refusal::kNoSuchCredential;
    request->providers.push_back(records.at(pinned).provider);
  }
  if (request->providers.empty()) return Refusal::kNoSuchProvider;
  if (request->providers.size() > 1) {
    std::sort(request->providers.begin(), request->providers.end());
  }
  const absl::string_view model = CanonicalModel(command.model);
  switch (request->group->Resolve(absl::MakeConstSpan(request->providers), command.kind,
                                  command.labels, model, &request->demand)) {
    case GroupIndex::Miss::kNone:
      break;
    case GroupIndex::Miss::kNoProvider:
      return Refusal::kNoSuchProvider;
    case GroupIndex::Miss::kUnserved:
      return Refusal::kNoSuchModel;
    case GroupIndex::Miss::kNoMatch:
      return Refusal::kNoMatch;
  }
  if (!command.session_key.empty()) {
    absl::StrAppend(&request->session, request->group->id().number(), "|");
    for (ProviderId id : request->providers) absl::StrAppend(&request->session, id.number(), ",");
    absl::StrAppend(&request->session, "|", command.session_key);
  }
  return std::nullopt;
}

Cause PoolState::Gate(ProviderId id, absl::string_view model, absl::Time* until,
                      bool* probe) const {
  const ProviderState& state = *providers[id.number()];
  if (!state.guard.breaker.closed()) {
    if (!state.guard.breaker.CanProbe(now)) {
      *until = std::max(state.guard.breaker.probe_at(), now);
      return Cause::kBreaker;
    }
    *probe = true;
  }
  // All of them have to let it through: the last one's moment counts.
  absl::Time blocked = absl::InfinitePast(), half_open = absl::InfinitePast();
  for (const ScopeRecords& backoff : state.backoffs) {
    if (backoff.model() != kNoModel && models.Name(backoff.model()) != model) continue;
    absl::Time end = absl::InfinitePast();
    const Cause cause = BackoffGate(backoff, &end, probe);
    absl::Time& last = cause == Cause::kNone ? half_open : blocked;
    last = std::max(last, end);
  }
  if (blocked != absl::InfinitePast()) {
    *until = blocked;
    return Cause::kOverloaded;
  }
  if (half_open != absl::InfinitePast()) *until = half_open;
  return Cause::kNone;
}

Cause PoolState::BackoffGate(const ScopeRecords& backoff, absl::Time* until, bool* probe) const {
  switch (backoff.PhaseAt(now)) {
    case Phase::kOpen:
      break;
    case Phase::kBlocked:
      *until = backoff.block_until();
      return Cause::kOverloaded;
    case Phase::kHalfOpen:
      if (backoff.probe().lease != kNoLease && now < backoff.probe().started + kProbeVerdict) {
        // Without a verdict it ends by itself.
        *until = std::min(backoff.probe().started + kProbeVerdict, backoff.avoid_until());
        return Cause::kOverloaded;
      }
      *probe = true;
      *until = backoff.avoid_until();  // for those who may not be its probe
      break;
  }
  return Cause::kNone;
}

bool PoolState::IsExcluded(const Request& request, const Record& record) {
  for (absl::string_view id : request.command->excluded) {
    if (id == record.id()) return true;
  }
  return false;
}

bool PoolState::Admissible(const Request& request, Slot slot,
                           absl::flat_hash_set<EgressId>* held_back) const {
  const Record& record = records.at(slot);
  if (IsExcluded(request, record)) return false;
  if (!open_egress.empty() && open_egress.contains(record.egress)) {
    absl::Time until;
    bool probe = false;
    const Cause cause = EgressGate(record.egress, &until, &probe);
    if (cause != Cause::kNone || (probe && !request.command->allow_probe)) {
      if (held_back != nullptr) held_back->insert(record.egress);
      return false;
    }
  }
  if (request.providers.size() > 1 || !request.demand.uniform) {
    absl::Time until;
    bool probe = false;
    absl::string_view upstream = request.demand.model;
    rules.at(record.rules).Serves(request.demand.model, &upstream);
    if (Gate(record.provider, upstream, &until, &probe) != Cause::kNone) return false;
    if (probe && !request.command->allow_probe) return false;
  }
  return true;
}

bool PoolState::KeyIsDry(const Request& request) const {
  return OpenOnes(request, request.demand) == 0;
}

uint32_t PoolState::OpenOnes(const Request& request, const GroupIndex::Demand& demand) const {
  uint32_t open = demand.view->open();
  if (open == 0) return 0;
  request.group->ForEachHeld(demand, [&](Slot slot, const Standing& standing) {
    if (!standing.open && records.at(slot).standing.open) --open;
  });
  return open;
}

bool PoolState::ChoosePinned(Request& request, Choice* choice, RefusalInfo* refusal) {
  const AcquireCommand& command = *request.command;
  const Slot slot = records.Find(command.credential_id);
  if (slot == kNoSlot || records.at(slot).group != request.group->id()) {
    refusal->reason = Refusal::kNoSuchCredential;
    return false;
  }
  const Record& record = records.at(slot);
  refusal->members = 1;
  if (!request.demand.view->IsMember(record.position)) {
    refusal->reason = Refusal::kPinUnavailable;
    return false;
  }
  if (IsExcluded(request, record)) {
    refusal->reason = Refusal::kNoMatch;
    return false;
  }
  const Standing* held = request.group->ModelStanding(request.demand, slot);
  const Standing standing = held ? Combine(record.standing, *held) : record.standing;
  const bool pickable = standing.ready || standing.cause == Cause::kWeight;
  bool probe_ready = standing.probe_ready;
  if (standing.half_open && !probe_ready && record.document->weight <= 0) {
    // Without weight nobody but a pin may probe it.
    const bool full = record.cap > 0 && record.in_flight >= static_cast<uint32_t>(record.cap);
    const bool own = record.standing.half_open ? !full && record.standing.returns_ns == INT64_MAX
                                               : record.standing.cause == Cause::kWeight;
    probe_ready = own && (held == nullptr ||
                          (held->half_open ? held->probe_ready : held->cause != Cause::kBusy));
  }
  if (!pickable && !(probe_ready && command.allow_probe)) {
    if (standing.cause != Cause::kNone) ++refusal->counts[static_cast<size_t>(standing.cause)];
    refusal->earliest = FromNanosOrNever(standing.returns_ns);
    refusal->reason = standing.state == State::kDisabled ? Refusal::kPinUnavailable
                      : standing.cause == Cause::kBusy   ? BusyReason()
                                                         : Refusal::kCooling;
    return false;
  }
  if (!Admissible(request, slot)) {
    absl::Time until = absl::InfiniteFuture();
    bool probe = false;
    absl::string_view upstream = request.demand.model;
    rules.at(record.rules).Serves(request.demand.model, &upstream);
    Cause gate = Gate(record.provider, upstream, &until, &probe);
    if (gate == Cause::kNone && open_egress.contains(record.egress)) {
      gate = EgressGate(record.egress, &until, &probe);
    }
    refusal->reason =
        gate == Cause::kOverloaded ? Refusal::kProviderBackoff : Refusal::kBreakerOpen;
    if (until > now) refusal->earliest = until;
    return false;
  }
  choice->slot = slot;
  choice->probe = standing.half_open;
  return true;
}

PoolState::Bound PoolState::ChooseBound(Request& request, Choice* choice, RefusalInfo* refusal) {
  const std::optional<Binding> bound =
      request.reading ? affinity.Peek(request.session, now) : affinity.Find(request.session, now);
  if (!bound.has_value()) {
    choice->bind = true;
    return Bound::kFree;
  }
  const Binding& binding = *bound;
  choice->expected_binding = binding.version;
  const Record* record = nullptr;
  if (records.live(binding.slot) && records.at(binding.slot).uid == binding.uid) {
    record = &records.at(binding.slot);
  }
  if (record == nullptr || record->group != request.group->id()) {
    choice->bind = choice->rebound = true;  // deleted or moved away
    return Bound::kFree;
  }
  // Serves another model or is excluded by this call: spill without moving the session.
  if (!request.demand.view->IsMember(record->position) || IsExcluded(request, *record)) {
    return Bound::kFree;
  }
  const Standing* held = request.group->ModelStanding(request.demand, binding.slot);
  const Standing standing = held ? Combine(record->standing, *held) : record->standing;
  const GroupSettings& group = request.group->settings();
  // Held whatever breakers say meanwhile: it is for the end of the business that the call waits.
  const bool stays = standing.open && standing.cause == Cause::kBusy && !group.session_spill &&
                     !Fault("session_spills_always");
  if (!stays && !Admissible(request, binding.slot)) return Bound::kFree;
  if (!standing.open) {
    choice->bind = choice->rebound = true;  // blocked, half-open or disabled
    return Bound::kFree;
  }
  if (!standing.ready && Fault("session_moves_when_busy")) choice->bind = choice->rebound = true;
  if (!standing.ready && !stays) return Bound::kFree;  // spill for this call
  if (group.failback && ChooseReady(request, choice, record->document->priority)) {
    choice->bind = choice->rebound = true;
    return Bound::kChosen;
  }
  choice->by_binding = true;
  if (!stays) {
    choice->slot = binding.slot;
    return Bound::kChosen;
  }
  FillRefusal(request, refusal);
  refusal->reason = BusyReason();
  const absl::Time own = std::min(FromNanosOrNever(standing.returns_ns), binding.idle_until);
  refusal->earliest = group.failback ? std::min(refusal->earliest, own) : own;
  return Bound::kHeld;
}

void PoolState::ForEachProbe(Request& request,
                             absl::FunctionRef<bool(Slot, int64_t probed_ns)> visit) const {
  const IndexView& view = *request.demand.view;
  if (!request.command->allow_probe) return;
  if (!request.session.empty() && !KeyIsDry(request)) return;
  // Those held back for the model as well stand in two lists; the second knows their order.
  bool more = true;
  for (const auto& [probed_ns, position] : view.probes()) {
    if (!more) break;
    const Slot slot = request.group->SlotAt(position);
    if (!Admissible(request, slot, &request.held_back_by)) continue;
    if (!request.demand.dedicated &&
        request.group->ModelStanding(request.demand, slot) != nullptr) {
      continue;
    }
    more = visit(slot, probed_ns);
  }
  request.group->ForEachHeld(request.demand, [&](Slot slot, const Standing& standing) {
    const Standing both = Combine(records.at(slot).standing, standing);
    if (both.probe_ready && Admissible(request, slot, &request.held_back_by)) {
      visit(slot, both.probed_ns);
    }
  });
}

bool PoolState::ChooseProbe(Request& request, Choice* choice) {
  if (!request.command->allow_probe) return false;
  if (request.demand.view->probes().empty() && request.demand.overlay == nullptr &&
      request.demand.uniform) {
    return false;
  }
  const bool dry = KeyIsDry(request);
  auto has_token = [&](ProviderId id) {
    return providers[id.number()]->budget.NextToken(now, dry) <= now || Fault("probe_unlimited");
  };
  if (request.providers.size() == 1 && !has_token(request.providers[0])) return false;
  std::optional<std::pair<int64_t, uint32_t>> best;
  ForEachProbe(request, [&](Slot slot, int64_t probed_ns) {
    const Record& record = records.at(slot);
    if (!has_token(record.provider)) return true;
    const std::pair<int64_t, uint32_t> candidate{probed_ns, record.position};
    if (!best || candidate < *best) best = candidate;
    return false;
  });
  if (!best) return false;
  choice->slot = request.group->SlotAt(best->second);
  choice->probe = true;
  return true;
}

bool PoolState::ChooseReady(Request& request, Choice* choice, std::optional<int64_t> above) {
  const bool plain = request.command->excluded.empty() && open_egress.empty() &&
                     request.providers.size() == 1 && request.demand.uniform;
  const GroupIndex::Demand& demand = request.demand;
  const bool held_possible = !demand.dedicated && (demand.overlay != nullptr || !demand.uniform);
  const bool for_stock = request.command->for_stock && !Fault("stock_of_capped");
  const bool any = plain && !held_possible && !for_stock;
  bool gave_up = false;
  auto admissible = [&](uint32_t position) {
    if (any) return true;
    const Slot slot = request.group->SlotAt(position);
    if (held_possible && request.group->ModelStanding(demand, slot) != nullptr) return false;
    if (!plain && !Admissible(request, slot, &request.held_back_by)) return false;
    if (!for_stock || !Capped(records.at(slot))) return true;
    // A call could have it. Taking it ends the search, in vain.
    return gave_up = ++request.passed_over > kMostPassedOver;
  };
  for (auto& [priority, tier] : demand.view->tiers()) {
    if (above.has_value() && priority <= *above) return false;
    if (tier.ready->empty()) continue;
    const int passed_over = request.passed_over;
    const auto position = tier.ready->Pick(admissible, now);
    if (gave_up) return false;
    if (!position) {
      // Stock of a lower tier would be handed out ahead of those passed over.
      if (request.passed_over != passed_over && !Fault("stock_of_lower_tier")) return false;
      continue;
    }
    choice->slot = request.group->SlotAt(*position);
    choice->picked_from = tier.ready.get();
    return true;
  }
  return false;
}

bool PoolState::Choose(Request& request, Choice* choice, RefusalInfo* refusal) {
  // Gates: a provider with an open breaker or a backoff lets nobody through.
  bool gate_probe = false;
  absl::Time gate_until = absl::InfiniteFuture();
  Cause gated = Cause::kNone;
  for (ProviderId id : request.providers) {
    absl::Time until = absl::InfiniteFuture();
    bool probe = false;
    const Cause cause = Gate(id, request.demand.model, &until, &probe);
    if (cause == Cause::kNone && (!probe || request.command->allow_probe)) {
      gated = Cause::kNone;
      gate_probe = probe;
      break;
    }
    gated = cause == Cause::kNone ? Cause::kBreaker : cause;
    gate_until = std::min(gate_until, until);
  }
  if (gated != Cause::kNone) {
    FillRefusal(request, refusal);
    refusal->reason = gated == Cause::kBreaker ? Refusal::kBreakerOpen : Refusal::kProviderBackoff;
    refusal->earliest = gate_until;
    return false;
  }
  choice->breaker_probe = choice->backoff_probe = gate_probe;
  if (!request.command->credential_id.empty()) return ChoosePinned(request, choice, refusal);
  if (!request.session.empty()) {
    const Bound bound = ChooseBound(request, choice, refusal);
    if (bound != Bound::kFree) return bound == Bound::kChosen;
  }
  if (ChooseProbe(request, choice)) return true;
  if (ChooseReady(request, choice, std::nullopt)) return true;
  FillRefusal(request, refusal);
  return false;
}

}  // namespace credbroker::core
