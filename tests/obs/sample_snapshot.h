// A pool and a store with a bit of everything, for the tests of the metrics.
#ifndef CREDBROKER_TESTS_OBS_SAMPLE_SNAPSHOT_H_
#define CREDBROKER_TESTS_OBS_SAMPLE_SNAPSHOT_H_

#include <string>

#include "server/obs/pool_snapshot.h"

namespace credbroker::obs {

inline GroupProviderCounts SampleGroup(const std::string& group, const std::string& provider) {
  GroupProviderCounts counts;
  counts.group = group;
  counts.provider = provider;
  counts.states = {{"available", 7}, {"waiting", 2}, {"disabled", 1}};
  counts.causes = {{"rate_limit", 2}, {"operator", 1}};
  counts.acquisitions = {{"granted", 100}, {"waited", 3}, {"cooling", 4}};
  counts.half_open = 1;
  counts.busy = 2;
  counts.leases_in_flight = 5;
  return counts;
}

inline PoolSnapshot SamplePool() {
  PoolSnapshot pool;
  pool.groups = {SampleGroup("default", "codex"), SampleGroup("batch", "codex")};
  ProviderCounts codex;
  codex.provider = "codex";
  codex.next_recovery_seconds = 12.5;
  codex.reports = {{"success", "applied", 90}, {"rate_limited", "duplicate", 1}};
  codex.probes = {{"granted", 4}, {"succeeded", 3}, {"failed", 1}, {"inconclusive", 0}};
  codex.breaker = BreakerState::kOpen;
  codex.breaker_opened_total = 1;
  codex.backoffs_active = 1;
  codex.backoffs_started_total = 6;
  pool.providers = {codex};
  pool.leases = {{"granted", 103}, {"expired", 2}, {"late", 1}, {"duplicate", 1}, {"unknown", 0}};
  pool.wait_queue_depth = 8;
  pool.affinity_bindings = 9;
  pool.affinity_rebinds_total = 2;
  pool.model_records_dropped_total = 1;
  pool.sessions = {{"open", 3}, {"detached", 1}};
  pool.session_events = {{"opened", 4}};
  pool.session_items = {{"grants", 70}};
  pool.session_leases = 12;
  return pool;
}

inline StoreSnapshot SampleStore() {
  StoreSnapshot store;
  store.up = true;
  store.commits = {{"committed", 11}, {"failed", 1}, {"fenced", 0}};
  store.rows_written_total = 400;
  store.write_behind_delay_seconds = 0.05;
  store.quarantined_rows = 1;
  return store;
}

}  // namespace credbroker::obs

#endif  // CREDBROKER_TESTS_OBS_SAMPLE_SNAPSHOT_H_
