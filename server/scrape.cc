#include "server/scrape.h"

#include <map>
#include <utility>

namespace credbroker {
namespace {

obs::GroupProviderCounts ToCounts(const core::GroupProviderStats& from) {
  obs::GroupProviderCounts out;
  out.group = from.group;
  out.provider = from.provider;
  for (int i = 0; i < core::kStateCount; ++i) {
    out.states.push_back(
        {core::Name(static_cast<core::State>(i)), from.by_state[static_cast<size_t>(i)]});
  }
  for (int i = 1; i < core::kCauseCount; ++i) {
    out.causes.push_back(
        {core::Name(static_cast<core::Cause>(i)), from.by_cause[static_cast<size_t>(i)]});
  }
  out.acquisitions.push_back({"granted", from.granted});
  out.acquisitions.push_back({"waited", from.waited});
  for (int i = 0; i < core::kRefusalCount; ++i) {
    out.acquisitions.push_back(
        {core::Name(static_cast<core::Refusal>(i)), from.refused[static_cast<size_t>(i)]});
  }
  out.half_open = from.half_open;
  out.busy = from.busy;
  out.leases_in_flight = from.in_flight;
  return out;
}

void AddReports(const core::GroupProviderStats& from, obs::ProviderCounts* out) {
  // Of an unknown lease nobody knows the provider: credbroker_leases_total counts those.
  for (const core::Disposition disposition :
       {core::Disposition::kAccepted, core::Disposition::kNoted, core::Disposition::kLate,
        core::Disposition::kStale, core::Disposition::kDuplicate}) {
    const auto& by_outcome = from.reports[static_cast<size_t>(disposition)];
    for (int i = 0; i < core::kOutcomeCount; ++i) {
      out->reports.push_back({core::Name(static_cast<core::Outcome>(i)), core::Name(disposition),
                              by_outcome[static_cast<size_t>(i)]});
    }
  }
}

void AddSessions(const core::PoolStats& pool, const session::SessionRegistry& registry,
                 obs::PoolSnapshot& out) {
  const session::SessionRegistry::Stats now = registry.stats(0);
  const session::Counters& total = registry.counters();
  out.sessions = {{"open", now.open}, {"detached", now.detached}};
  out.session_leases = pool.session_leases;
  out.session_events = {
      {"opened", total.opened.value()},     {"resumed", total.resumed.value()},
      {"replaced", total.replaced.value()}, {"silent", total.silent.value()},
      {"cut", total.cut.value()},           {"lost", pool.sessions_lost},
      {"refused", total.refused.value()},   {"bad_frame", total.bad_frames.value()}};
  out.session_items = {{"stock", total.stocked.value()},
                       {"grant", total.granted.value()},
                       {"refusal", total.not_granted.value()},
                       {"report", total.reports.value()},
                       {"unknown_lease", total.unknown_leases.value()},
                       {"release", total.releases.value()},
                       {"renewal", total.renewals.value()},
                       {"resumed_lease", total.resumed_leases.value()},
                       {"refused_lease", total.refused_leases.value()},
                       {"freed_lease", pool.leases_freed},
                       {"material", total.materials.value()},
                       {"revocation", total.revocations.value()},
                       {"acknowledgement", total.acknowledged.value()}};
}

}  // namespace

obs::PoolSnapshot ToPoolSnapshot(const engine::EngineStats& stats,
                                 const session::SessionRegistry& sessions, absl::Time now) {
  obs::PoolSnapshot out;
  std::map<std::string, obs::ProviderCounts> providers;
  uint64_t granted = 0;
  for (const core::GroupProviderStats& pool : stats.pool.groups) {
    out.groups.push_back(ToCounts(pool));
    granted += pool.granted;
    obs::ProviderCounts& provider = providers[pool.provider];
    AddReports(pool, &provider);
    if (pool.next_recover == absl::InfiniteFuture()) continue;
    const double left = absl::ToDoubleSeconds(pool.next_recover - now);
    if (provider.next_recovery_seconds == 0 || left < provider.next_recovery_seconds) {
      provider.next_recovery_seconds = left;
    }
  }
  for (const core::ProviderStats& from : stats.pool.providers) {
    obs::ProviderCounts& provider = providers[from.provider];
    provider.probes = {{"granted", from.probes_granted},
                       {"succeeded", from.probes_succeeded},
                       {"failed", from.probes_failed},
                       {"inconclusive", from.probes_inconclusive}};
    provider.breaker = from.breaker_half_open ? obs::BreakerState::kHalfOpen
                       : from.breaker_open    ? obs::BreakerState::kOpen
                                              : obs::BreakerState::kClosed;
    provider.breaker_opened_total = from.breaker_opened;
    provider.backoffs_active = from.backoffs;
    provider.backoffs_started_total = from.backoffs_started;
  }
  for (auto& [name, provider] : providers) {
    provider.provider = name;
    out.providers.push_back(std::move(provider));
  }
  out.leases = {{"granted", granted},
                {"expired", stats.pool.leases_expired},
                {"late", stats.pool.reports_late},
                {"duplicate", stats.pool.reports_duplicate},
                {"stale", stats.pool.reports_stale},
                {"unknown", stats.pool.reports_unknown}};
  out.egress_breakers_open = stats.pool.egress_breakers_open;
  out.egress_backoffs = stats.pool.egress_backoffs;
  out.wait_queue_depth = stats.pool.parked;
  out.affinity_bindings = stats.pool.bindings;
  out.affinity_rebinds_total = stats.pool.rebinds;
  out.model_records_dropped_total = stats.pool.model_records_dropped;
  AddSessions(stats.pool, sessions, out);
  return out;
}

obs::StoreSnapshot ToStoreSnapshot(const engine::EngineStats& stats) {
  obs::StoreSnapshot out;
  out.up = stats.committer.healthy;
  out.commits = {{"committed", stats.committer.commits},
                 {"failed", stats.committer.failures},
                 {"fenced", stats.committer.fenced}};
  out.rows_written_total = stats.committer.rows;
  out.write_behind_delay_seconds = absl::ToDoubleSeconds(stats.committer.oldest_health);
  out.quarantined_rows = stats.load.quarantined;
  return out;
}

}  // namespace credbroker
