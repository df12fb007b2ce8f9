#include "server/obs/snapshot_samples.h"

#include "absl/strings/string_view.h"

namespace credbroker::obs {
namespace {

std::string Known(const absl::flat_hash_set<std::string>& names, const std::string& name) {
  return names.contains(name) ? std::string(CleanLabel(name)) : "other";
}

double Number(uint64_t value) { return static_cast<double>(value); }

void AddGroup(const GroupProviderCounts& counts, const KnownNames& known, Exposition& out) {
  const std::string group = Known(known.groups, counts.group);
  const std::string provider = Known(known.providers, counts.provider);
  const auto add_all = [&](const MetricSpec& spec, const std::vector<NamedCount>& entries) {
    for (const NamedCount& entry : entries) {
      out.Add(spec, {group, provider, std::string(CleanLabel(entry.name))}, Number(entry.count));
    }
  };
  add_all(metric::kCredentials, counts.states);
  add_all(metric::kCredentialsByCause, counts.causes);
  add_all(metric::kAcquisitions, counts.acquisitions);
  out.Add(metric::kHalfOpen, {group, provider}, Number(counts.half_open));
  out.Add(metric::kBusy, {group, provider}, Number(counts.busy));
  out.Add(metric::kInFlight, {group, provider}, Number(counts.leases_in_flight));
}

void AddProvider(const ProviderCounts& counts, const KnownNames& known, Exposition& out) {
  const std::string provider = Known(known.providers, counts.provider);
  out.Add(metric::kNextRecovery, {provider}, counts.next_recovery_seconds,
          Exposition::Merge::kMinPositive);
  for (const ReportCount& report : counts.reports) {
    out.Add(metric::kReports,
            {provider, std::string(CleanLabel(report.outcome)),
             std::string(CleanLabel(report.disposition))},
            Number(report.count));
  }
  for (const NamedCount& probe : counts.probes) {
    out.Add(metric::kProbes, {provider, std::string(CleanLabel(probe.name))}, Number(probe.count));
  }
  out.Add(metric::kBreakerState, {provider}, static_cast<double>(counts.breaker),
          Exposition::Merge::kMax);
  out.Add(metric::kBreakerOpened, {provider}, Number(counts.breaker_opened_total));
  out.Add(metric::kBackoffs, {provider}, Number(counts.backoffs_active));
  out.Add(metric::kBackoffsStarted, {provider}, Number(counts.backoffs_started_total));
}

}  // namespace

void AddPoolSamples(const PoolSnapshot& pool, const KnownNames& known, Exposition& out) {
  for (const GroupProviderCounts& counts : pool.groups) AddGroup(counts, known, out);
  for (const ProviderCounts& counts : pool.providers) AddProvider(counts, known, out);
  for (const NamedCount& lease : pool.leases) {
    out.Add(metric::kLeases, {std::string(CleanLabel(lease.name))}, Number(lease.count));
  }
  out.Add(metric::kWaitQueueDepth, {}, Number(pool.wait_queue_depth));
  out.Add(metric::kAffinityBindings, {}, Number(pool.affinity_bindings));
  out.Add(metric::kAffinityRebinds, {}, Number(pool.affinity_rebinds_total));
  out.Add(metric::kEgressBreakersOpen, {}, Number(pool.egress_breakers_open));
  out.Add(metric::kEgressBackoffs, {}, Number(pool.egress_backoffs));
  out.Add(metric::kModelRecordsDropped, {}, Number(pool.model_records_dropped_total));
  for (const NamedCount& session : pool.sessions) {
    out.Add(metric::kSessions, {std::string(CleanLabel(session.name))}, Number(session.count));
  }
  out.Add(metric::kSessionLeases, {}, Number(pool.session_leases));
  for (const NamedCount& event : pool.session_events) {
    out.Add(metric::kSessionEvents, {std::string(CleanLabel(event.name))}, Number(event.count));
  }
  for (const NamedCount& item : pool.session_items) {
    out.Add(metric::kSessionItems, {std::string(CleanLabel(item.name))}, Number(item.count));
  }
}

void AddStoreSamples(const StoreSnapshot& store, Exposition& out) {
  out.Add(metric::kStoreUp, {}, store.up ? 1 : 0);
  for (const NamedCount& commit : store.commits) {
    out.Add(metric::kStoreCommits, {std::string(CleanLabel(commit.name))}, Number(commit.count));
  }
  out.Add(metric::kStoreRows, {}, Number(store.rows_written_total));
  out.Add(metric::kStoreWriteBehind, {}, store.write_behind_delay_seconds);
  out.Add(metric::kStoreQuarantined, {}, Number(store.quarantined_rows));
}

}  // namespace credbroker::obs
