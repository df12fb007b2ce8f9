#include "core/pool.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {

PoolState::PoolState(PoolOptions given)
    : options(std::move(given)),
      settings(options.settings),
      next_uid(options.first_uid.number()),
      affinity(options.settings.limits.max_bindings) {
  ended_retention_ns = absl::ToInt64Nanoseconds(settings.limits.ended_retention);
  groups.push_back(nullptr);
  providers.push_back(nullptr);
  egress.emplace_back();
  Group("default");
  for (const GroupSettings& group : settings.groups) Group(group.name);
  for (const ProviderSettings& provider : settings.providers) Provider(provider.name);
}

GroupIndex& PoolState::Group(absl::string_view name) {
  const GroupId id = group_names.Ref(name);
  if (id.number() >= groups.size()) {
    GroupSettings own;
    own.name = std::string(name);
    for (const GroupSettings& group : settings.groups) {
      if (group.name == name) own = group;
    }
    CB_CHECK(id.number() == groups.size());
    groups.push_back(std::make_unique<GroupIndex>(id, std::move(own), &records, &rules, &models));
  }
  return *groups[id.number()];
}

GroupIndex* PoolState::FindGroup(absl::string_view name) {
  const auto id = group_names.Find(name);
  return id && id->number() != 0 ? groups[id->number()].get() : nullptr;
}

ProviderId PoolState::Provider(absl::string_view name) {
  const ProviderId id = provider_names.Ref(name);
  if (id.number() >= providers.size()) {
    auto state = std::make_unique<ProviderState>();
    state->name = std::string(name);
    state->settings.name = state->name;
    for (const ProviderSettings& provider : settings.providers) {
      if (provider.name == name) state->settings = provider;
    }
    state->stats.provider = state->name;
    providers.push_back(std::move(state));
  }
  return id;
}

absl::Time PoolState::Latest(absl::Time told) {
  if (told > now) {
    now = told;
    now_ns = Nanos(told);
  }
  return now;
}

void PoolState::ResolveCaps(Record& record) {
  const GroupSettings& group = groups[record.group.number()]->settings();
  const ProviderSettings& own = provider(record.provider).settings;
  const Document& document = *record.document;
  auto first = [](const std::optional<int32_t>& a, const std::optional<int32_t>& b,
                  const std::optional<int32_t>& c) {
    return a ? *a : b ? *b : c.value_or(0);
  };
  record.cap = first(document.max_in_flight, group.max_in_flight, own.max_in_flight);
  record.model_cap = first(document.max_in_flight_per_model, group.max_in_flight_per_model,
                           own.max_in_flight_per_model);
}

namespace {

// Where a half-open scope stands with its probes.
void FillProbe(const ScopeRecords& scope, absl::Time now, Standing* standing) {
  const ProbeState& probe = scope.probe();
  standing->half_open = true;
  standing->cause = Cause::kHalfOpen;
  standing->probed_ns = probe.last == absl::InfinitePast() ? INT64_MIN : Nanos(probe.last);
  if (probe.lease != kNoLease && !SeededFault("half_open_not_exclusive")) {
    standing->returns_ns = Nanos(probe.started + kProbeVerdict);
  } else if (probe.next_allowed > now) {
    standing->returns_ns = Nanos(probe.next_allowed);
  } else {
    standing->probe_ready = true;
  }
}

// Expired material is looked at again every 60 s.
absl::Time NextLook(absl::Time expired, absl::Time now) {
  constexpr absl::Duration kEvery = absl::Seconds(60);
  absl::Duration rest;
  const int64_t looks = absl::IDivDuration(now - expired, kEvery, &rest);
  return expired + (looks + 1) * kEvery;
}

}  // namespace

Standing PoolState::StandingOf(const Record& record) const {
  Standing standing;
  if (!record.enabled()) {
    standing.cause = Cause::kOperator;
    if (record.intent->until) standing.returns_ns = NanosOrNever(*record.intent->until);
    return standing;
  }
  if (record.auth == AuthHealth::kReauthRequired || record.material == nullptr) {
    standing.cause = Cause::kReauth;
    return standing;
  }
  if (record.auth == AuthHealth::kDisabledByPolicy) {
    standing.cause = Cause::kDisabledByPolicy;
    return standing;
  }
  const ScopeRecords* scope = record.Find(kNoModel);
  const Phase phase = scope == nullptr ? Phase::kOpen : scope->PhaseAt(now);
  const auto& expires = record.material->expire_time;
  const bool expired = expires.has_value() && *expires <= now;
  if (phase == Phase::kBlocked || expired) {
    standing.state = State::kWaiting;
    absl::Time returns = absl::InfinitePast();
    if (phase == Phase::kBlocked) {
      standing.cause = scope->LeadingCause(now);
      returns = scope->block_until();
    }
    if (expired && NextLook(*expires, now) > returns) {
      standing.cause = record.material->refreshable ? Cause::kRefresh : Cause::kExpired;
      returns = NextLook(*expires, now);
    }
    standing.returns_ns = NanosOrNever(returns);
    return standing;
  }
  standing.state = State::kAvailable;
  const uint32_t over = Fault("cap_off_by_one") ? 1 : 0;
  const bool busy = record.cap > 0 &&
                    record.in_flight >= static_cast<uint32_t>(record.cap) + over &&
                    !Fault("cap_ignored");
  if (phase == Phase::kHalfOpen) {
    FillProbe(*scope, now, &standing);
    if (busy || record.document->weight <= 0) standing.probe_ready = false;
    if (Capped(record) && now < options.resume_only_until) {
      standing.probe_ready = false;
      const int64_t resumed = NanosOrNever(options.resume_only_until);
      standing.returns_ns =
          standing.returns_ns == INT64_MAX ? resumed : std::max(standing.returns_ns, resumed);
    }
    return standing;
  }
  standing.open = record.document->weight > 0;
  if (busy) {
    standing.cause = Cause::kBusy;
  } else if (Capped(record) && now < options.resume_only_until) {
    standing.cause = Cause::kBusy;
    standing.returns_ns = NanosOrNever(options.resume_only_until);
  } else if (record.document->weight <= 0) {
    standing.cause = Cause::kWeight;
  } else {
    standing.ready = true;
  }
  return standing;
}

Standing PoolState::ModelStandingOf(const Record& record, const ScopeRecords* scope,
                                    ModelId model) const {
  Standing standing;
  standing.state = State::kAvailable;
  const Phase phase = scope == nullptr ? Phase::kOpen : scope->PhaseAt(now);
  if (phase == Phase::kBlocked) {
    standing.state = State::kWaiting;
    standing.cause = scope->LeadingCause(now);
    standing.returns_ns = NanosOrNever(scope->block_until());
    return standing;
  }
  bool busy = false;
  if (record.model_cap > 0) {
    auto it = model_in_flight.find({records.Find(record.uid), model});
    busy = it != model_in_flight.end() && it->second >= static_cast<uint32_t>(record.model_cap);
  }
  if (phase == Phase::kHalfOpen) {
    FillProbe(*scope, now, &standing);
    if (busy) standing.probe_ready = false;
    return standing;
  }
  standing.open = true;
  standing.ready = !busy;
  if (busy) standing.cause = Cause::kBusy;
  return standing;
}

void PoolState::SetTimer(Slot slot) {
  // A due one is left to its turn: put off, it would be lost.
  if (timers.TimeOf(slot.number()) <= now_ns && !Fault("timer_lost")) return;
  const Record& record = records.at(slot);
  absl::Time next = absl::InfiniteFuture();
  for (const ScopeRecords& scope : record.scopes) {
    next = std::min(next, scope.NextEvent(now));
    const ProbeState& probe = scope.probe();
    if (probe.lease != kNoLease) {
      next = std::min(next, probe.started + kProbeVerdict);
    } else if (probe.next_allowed > now) {
      next = std::min(next, probe.next_allowed);
    }
  }
  if (!record.enabled() && record.intent->until) next = std::min(next, *record.intent->until);
  if (record.material != nullptr && record.material->expire_time) {
    const absl::Time expires = *record.material->expire_time;
    next = std::min(next, expires > now ? expires : NextLook(expires, now));
  }
  if (Capped(record) && now < options.resume_only_until) {
    next = std::min(next, options.resume_only_until);
  }
  timers.Set(slot.number(), NanosOrNever(next));
}

void PoolState::Rederive(Slot slot, Why why, PrincipalId actor, Effects& effects) {
  Record& record = records.at(slot);
  const Standing before = record.standing;
  record.standing = StandingOf(record);
  SetTimer(slot);
  const Standing& after = record.standing;
  if (before == after) return;
  GroupIndex& group = *groups[record.group.number()];
  group.Update(slot, before);
  GroupProviderStats& stats = group.stats(record.provider);
  --stats.by_state[static_cast<size_t>(before.state)];
  ++stats.by_state[static_cast<size_t>(after.state)];
  if (before.cause != Cause::kNone) --stats.by_cause[static_cast<size_t>(before.cause)];
  if (after.cause != Cause::kNone) ++stats.by_cause[static_cast<size_t>(after.cause)];
  stats.half_open +=
      static_cast<uint64_t>(after.half_open) - static_cast<uint64_t>(before.half_open);
  stats.busy += static_cast<uint64_t>(after.cause == Cause::kBusy) -
                static_cast<uint64_t>(before.cause == Cause::kBusy);
  // One without weight is never ready, but a pin may wait for it.
  const bool pinnable = after.state == State::kAvailable && record.document->weight <= 0;
  // Nor is a call held by its busy session any longer once that is busy no more.
  if ((after.ready || after.probe_ready || pinnable || SessionDecides(group)) &&
      waits.size() != 0) {
    pump.insert(record.group);
  }
  const bool told = before.state != after.state || before.half_open != after.half_open ||
                    (after.state != State::kAvailable && before.cause != after.cause);
  if (!told) return;
  RevokeIfLeft(record, kNoModel, before, after, effects);
  Transition line;
  line.at_ms = absl::ToUnixMillis(now);
  if (after.state == State::kWaiting) line.until_ms = after.returns_ns / 1'000'000;
  line.actor = actor;
  line.from = before.state;
  line.to = after.state;
  line.why = why;
  line.cause = after.cause;
  PushHistory(record, line);
  Change change;
  change.kind = RecordKind::kHealth;
  change.why = why;
  change.id = std::string(record.id());
  change.uid = record.uid;
  change.at = now;
  change.transition = record.history.Newest();
  effects.changes.push_back(std::move(change));
}

void PoolState::RederiveModel(Slot slot, ModelId model, Effects& effects) {
  if (model == kNoModel) return;
  const Record& record = records.at(slot);
  const Standing standing = ModelStandingOf(record, record.Find(model), model);
  GroupIndex& group = *groups[record.group.number()];
  if (MayBeKnown(record)) {
    Standing before;
    before.state = State::kAvailable;
    if (const Standing* held = group.ModelStanding(slot, model)) before = *held;
    RevokeIfLeft(record, model, before, standing, effects);
  }
  const bool plain = standing.open && standing.ready;
  group.SetModel(slot, model, plain ? nullptr : &standing);
  if ((plain || standing.probe_ready || SessionDecides(group)) && waits.size() != 0) {
    pump.insert(record.group);
  }
  SetTimer(slot);
}

// --- the public face ---

Pool::Pool(PoolOptions options) : state_(std::make_unique<PoolState>(std::move(options))) {}
Pool::~Pool() = default;

AcquireReply Pool::Acquire(const AcquireCommand& command, absl::Time now, Effects& effects) {
  state_->Latest(now);
  return state_->Acquire(command, effects);
}

void Pool::CancelWait(WaiterId waiter, absl::Time now, Effects& effects) {
  state_->Latest(now);
  const ParkedCall* call = state_->waits.Find(waiter);
  if (call == nullptr) return;
  state_->ForgetRequest(*call);
  AcquireReply reply;
  reply.refusal.reason = Refusal::kCancelled;
  reply.waited = state_->now - call->parked;
  state_->waits.Remove(waiter);
  if (!SeededFault("waiter_lost_on_cancel")) state_->Answer(waiter, std::move(reply), effects);
}

ReportReply Pool::Report(const ReportCommand& command, absl::Time now, Effects& effects) {
  state_->Latest(now);
  ReportReply reply = state_->Report(command, effects);
  state_->Pump(effects);
  return reply;
}

RenewReply Pool::Renew(absl::string_view principal, const LeaseClaims& claims, absl::Duration ttl,
                       absl::Time now, Effects& effects) {
  state_->Latest(now);
  state_->Step(effects);
  return state_->Renew(principal, claims, ttl, effects);
}

bool Pool::Release(absl::string_view principal, const LeaseClaims& claims, absl::Time now,
                   Effects& effects) {
  state_->Latest(now);
  const bool released = state_->Release(principal, claims, effects);
  state_->Pump(effects);
  return released;
}

bool Pool::Advance(absl::Time now, int limit, Effects& effects) {
  state_->Latest(now);
  return state_->Advance(limit, effects);
}

absl::Time Pool::NextEvent() const { return state_->NextEvent(); }

absl::StatusOr<RowEdit> Pool::Prepare(const Edit& edit, absl::Time now) const {
  return state_->Prepare(edit, std::max(now, state_->now));
}

void Pool::Install(const RowEdit& row, absl::Time now, Effects& effects) {
  state_->Latest(now);
  state_->Install(row, effects);
  state_->Pump(effects);
}

void Pool::Configure(Settings settings, absl::Time now, Effects& effects) {
  state_->Latest(now);
  state_->Configure(std::move(settings), effects);
  state_->Pump(effects);
}

Uid Pool::next_uid() const { return Uid(state_->next_uid); }

}  // namespace credbroker::core
