// Reads: one credential, a range of them, statistics, and the walk over all invariants.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {
namespace {

const Intent& IntentOf(const Record& record) {
  static const Intent* const kUntouched = new Intent();
  return record.intent == nullptr ? *kUntouched : *record.intent;
}

// Each live lease of a session is in its list and in no other; the others are remembered only.
void CheckSessions(const PoolState& state) {
  const SessionTable& sessions = state.sessions;
  size_t open = 0, detached = 0, leases = 0, linked = 0;
  for (uint32_t place = 0; place < sessions.limit(); ++place) {
    const Session& session = sessions.at(place);
    if (session.id == kNoSession) {
      CB_CHECK(session.first == kNoCell && session.leases == 0);
      continue;
    }
    CB_CHECK(SessionTable::PlaceOf(session.id) == place);
    // An open one ends by a call only, the others by time.
    const bool timed = sessions.DeadlineOf(session.id) != TimerHeap::kNever;
    CB_CHECK(timed == (session.state != Session::State::kOpen));
    if (session.state == Session::State::kOpen) ++open;
    if (session.state == Session::State::kDetached) ++detached;
    uint32_t held = 0, before = kNoCell;
    for (uint32_t cell = session.first; cell != kNoCell; cell = sessions.link(cell).next) {
      const LeaseCell& lease = state.leases.at(cell);
      CB_CHECK(sessions.Holds(session.id, cell) && sessions.link(cell).prev == before);
      CB_CHECK(lease.in_session && lease.end == LeaseEnd::kLive);
      CB_CHECK(lease.principal == session.principal);
      CB_CHECK(sessions.link(cell).granted_ns == lease.granted_ns);
      before = cell;
      ++held;
    }
    CB_CHECK(held == session.leases);
    leases += held;
  }
  for (uint32_t cell = 0; cell < sessions.links(); ++cell) {
    const SessionLink& link = sessions.link(cell);
    const LeaseCell& lease = state.leases.at(cell);
    CB_CHECK((link.session != kNoSession) == (lease.seq != kNoLease && lease.in_session));
    if (link.session != kNoSession && lease.end == LeaseEnd::kLive) ++linked;
  }
  CB_CHECK(open == sessions.open() && detached == sessions.detached());
  CB_CHECK(leases == sessions.leases() && leases == linked);
}

// A call that several providers could serve counts for the one it named first.
std::map<ProviderId, uint64_t> ParkedByProvider(const PoolState& state, GroupId group) {
  std::map<ProviderId, uint64_t> parked;
  if (state.waits.size(group) == 0) return parked;
  state.waits.ForEach(group, [&](const ParkedCall& call) {
    const AcquireCommand command = call.View();
    for (absl::string_view name : command.providers) {
      const auto provider = state.provider_names.Find(name);
      if (!provider) continue;
      ++parked[*provider];
      break;
    }
  });
  return parked;
}

void AddBreaker(const Breaker& breaker, const std::string& provider, const std::string& egress,
                PoolStats* stats) {
  if (breaker.closed()) return;
  stats->breakers.push_back({provider, egress, breaker.probe_at(), breaker.level()});
}

void AddBackoff(const PoolState& state, const ScopeRecords& backoff, const std::string& provider,
                const std::string& egress, PoolStats* stats) {
  if (backoff.PhaseAt(state.now) == Phase::kOpen) return;
  stats->backoffs.push_back({provider, state.models.Name(backoff.model()), egress,
                             backoff.block_until(), backoff.avoid_until(),
                             backoff.LeadingCause(state.now)});
}

void AddProvider(const PoolState& state, const ProviderState& provider, PoolStats* stats) {
  ProviderStats copy = provider.stats;
  copy.breaker_open = !provider.guard.breaker.closed();
  copy.breaker_half_open = provider.guard.breaker.StateAt(state.now) == Breaker::State::kProbing;
  copy.breaker_opened = provider.guard.breaker.times_opened();
  copy.probes_per_minute = provider.budget.RatePerMinute(state.now, /*dry=*/false);
  copy.next_probe = provider.budget.NextToken(state.now, /*dry=*/false);
  AddBreaker(provider.guard.breaker, provider.name, "", stats);
  for (const ScopeRecords& backoff : provider.backoffs) {
    if (backoff.PhaseAt(state.now) != Phase::kOpen) ++copy.backoffs;
    AddBackoff(state, backoff, provider.name, "", stats);
  }
  copy.backing_off = copy.backoffs != 0;
  stats->providers.push_back(std::move(copy));
}

}  // namespace

std::optional<CredentialView> Pool::Get(absl::string_view id, absl::Time) const {
  const Slot slot = state_->records.Find(id);
  if (slot == kNoSlot) return std::nullopt;
  const Record& record = state_->records.at(slot);
  CredentialView view;
  view.document = record.document;
  view.intent = IntentOf(record);
  view.uid = record.uid;
  view.auth = record.auth;
  view.policy_cause = record.policy_cause;
  view.policy_since = record.policy_since;
  view.state = record.standing.state;
  view.cause = record.standing.cause;
  view.half_open = record.standing.half_open;
  view.busy = record.cap > 0 && record.in_flight >= static_cast<uint32_t>(record.cap);
  view.in_flight = record.in_flight;
  view.max_in_flight = record.cap;
  view.max_in_flight_per_model = record.model_cap;
  if (view.state == State::kWaiting) {
    view.next_recover = FromNanosOrNever(record.standing.returns_ns);
  }
  for (const ScopeRecords& scope : record.scopes) {
    const std::string& model = state_->models.Name(scope.model());
    for (const AvailabilityRecord& entry : scope.records()) view.records.push_back({model, entry});
    if (scope.model() != kNoModel && scope.PhaseAt(state_->now) == Phase::kBlocked) {
      view.waiting_models.push_back(model);
    }
  }
  std::sort(view.waiting_models.begin(), view.waiting_models.end());
  if (record.windows != nullptr) view.windows = *record.windows;
  if (record.material != nullptr) {
    view.material_version = record.material->version;
    view.material_expire = record.material->expire_time;
  }
  if (record.last_grant != 0) {
    view.last_used = absl::FromUnixSeconds(static_cast<int64_t>(record.last_grant >> 32));
  }
  record.history.ForEachNewestFirst([&](const Transition& line) {
    view.history.push_back(
        {line, state_->models.Name(line.model), state_->principal_names.Name(line.actor)});
  });
  return view;
}

absl::string_view Pool::IdOf(Uid uid) const {
  const Slot slot = state_->records.Find(uid);
  if (slot == kNoSlot) return {};
  return state_->records.at(slot).id();
}

std::string Pool::Scan(absl::string_view after_id, int limit, absl::Time,
                       absl::FunctionRef<bool(const CredentialRow&)> visit) const {
  const Record* last = nullptr;
  int visited = 0;
  const bool all = state_->records.ForEachAfter(after_id, [&](const Record& record) {
    if (visited == limit) return false;
    ++visited;
    CredentialRow row;
    row.document = record.document.get();
    row.intent = &IntentOf(record);
    row.uid = record.uid;
    row.auth = record.auth;
    row.state = record.standing.state;
    row.cause = record.standing.cause;
    row.half_open = record.standing.half_open;
    row.busy = record.standing.cause == Cause::kBusy;
    row.in_flight = record.in_flight;
    if (row.state == State::kWaiting) {
      row.next_recover = FromNanosOrNever(record.standing.returns_ns);
    }
    row.material_version = record.material == nullptr ? 0 : record.material->version;
    last = &record;
    return visit(row);
  });
  return all || last == nullptr ? std::string() : std::string(last->id());
}

std::shared_ptr<const HealthRecord> Pool::Health(absl::string_view id) const {
  const Slot slot = state_->records.Find(id);
  return slot == kNoSlot ? nullptr : state_->HealthOf(state_->records.at(slot));
}

PoolStats Pool::Stats(absl::Time) const {
  PoolStats stats = state_->totals;
  stats.credentials = state_->records.size();
  stats.leases = state_->leases.live();
  stats.remembered = state_->leases.ended();
  stats.parked = state_->waits.size();
  stats.sessions_open = state_->sessions.open();
  stats.sessions_detached = state_->sessions.detached();
  stats.session_leases = state_->sessions.leases();
  stats.bindings = state_->affinity.size();
  stats.binding_evictions = state_->affinity.evictions();
  stats.model_names = state_->models.size();
  for (const auto& group : state_->groups) {
    if (group == nullptr) continue;
    stats.indexes += group->indexes();
    const std::map<ProviderId, uint64_t> parked = ParkedByProvider(*state_, group->id());
    for (const auto& [provider, own] : group->all_stats()) {
      GroupProviderStats copy = *own;
      copy.group = group->settings().name;
      copy.provider = state_->provider_names.Name(provider);
      copy.next_recover = FromNanosOrNever(group->NextReturn(provider));
      if (const auto calls = parked.find(provider); calls != parked.end()) {
        copy.parked = calls->second;
      }
      stats.groups.push_back(std::move(copy));
    }
  }
  for (const auto& state : state_->providers) {
    if (state != nullptr) AddProvider(*state_, *state, &stats);
  }
  for (const EgressId id : state_->open_egress) {
    const EgressState& state = state_->egress[id.number()];
    const std::string proxy(state_->egress_names.Name(id));
    if (!state.guard.breaker.closed()) ++stats.egress_breakers_open;
    if (state.backoff.PhaseAt(state_->now) != Phase::kOpen) ++stats.egress_backoffs;
    AddBreaker(state.guard.breaker, "", proxy, &stats);
    AddBackoff(*state_, state.backoff, "", proxy, &stats);
  }
  return stats;
}

void Pool::CheckInvariants(absl::Time) const {
  const PoolState& state = *state_;
  const absl::Time until_resumed = state.options.resume_only_until;
  size_t live = 0, in_groups = 0;
  for (uint32_t i = 0; i < state.records.limit(); ++i) {
    const Slot slot(i);
    if (!state.records.live(slot)) continue;
    const Record& record = state.records.at(slot);
    uint32_t held = 0, in_sessions = 0;
    for (uint32_t cell = record.first_lease; cell != kNoCell; cell = state.leases.at(cell).next) {
      const LeaseCell& lease = state.leases.at(cell);
      CB_CHECK(lease.slot == slot && lease.uid == record.uid && lease.end == LeaseEnd::kLive);
      CB_CHECK(!(lease.for_stock && (!lease.in_session || lease.probe || lease.breaker_probe)));
      ++held;
      if (lease.in_session) ++in_sessions;
    }
    CB_CHECK(held == record.in_flight && in_sessions == record.session_leases);
    CB_CHECK(!(record.standing.ready && Capped(record) && state.now < until_resumed &&
               state.timers.TimeOf(i) > state.now_ns));
    live += held;
    // The clock may have moved since the last Advance: a timer that is due excuses a difference.
    if (state.timers.TimeOf(i) > state.now_ns) {
      CB_CHECK(record.standing == state.StandingOf(record));
    }
    CB_CHECK(!(record.standing.ready && record.standing.state != State::kAvailable));
    int model_scopes = 0;
    for (const ScopeRecords& scope : record.scopes) {
      CB_CHECK(!scope.empty());
      if (scope.model() != kNoModel) ++model_scopes;
    }
    CB_CHECK(model_scopes <= kMaxModelScopes);
  }
  CB_CHECK(live == state.leases.live());
  CheckSessions(state);
  for (const auto& group : state.groups) {
    if (group == nullptr) continue;
    in_groups += group->size();
    group->CheckInvariants();
    for (const auto& [provider, stats] : group->all_stats()) {
      std::array<uint64_t, kStateCount> by_state{};
      uint64_t in_flight = 0;
      for (const auto& [id, position] : group->order().by_id()) {
        const Record& record = state.records.at(group->SlotAt(position));
        if (record.provider != provider) continue;
        ++by_state[static_cast<size_t>(record.standing.state)];
        in_flight += record.in_flight;
      }
      CB_CHECK(by_state == stats->by_state && in_flight == stats->in_flight);
    }
  }
  CB_CHECK(in_groups == state.records.size());
}

}  // namespace credbroker::core
