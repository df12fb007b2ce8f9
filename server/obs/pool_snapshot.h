// PoolSnapshot and StoreSnapshot: the numbers the engine keeps, copied when somebody scrapes.
//
// The pool counts its own decisions in plain integers under its own lock; the engine copies them
// into these structs in the callback given to Metrics. So a decision costs no metric call at all.
//
// Names (states, causes, outcomes, ...) are the snake_case names of closed enums and must have
// static storage. To keep the number of series constant, list every name of the enum in every
// entry, also those that are zero. Counters only ever rise.
//
// Thread-safety: plain values.
#ifndef CREDBROKER_SERVER_OBS_POOL_SNAPSHOT_H_
#define CREDBROKER_SERVER_OBS_POOL_SNAPSHOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace credbroker::obs {

struct NamedCount {
  absl::string_view name;
  uint64_t count = 0;
};

struct ReportCount {
  absl::string_view outcome;      // success, rate_limited, transient, ...
  absl::string_view disposition;  // accepted, noted, late, stale, duplicate
  uint64_t count = 0;
};

// One (group, provider) that has a credential or has been asked for.
struct GroupProviderCounts {
  std::string group;
  std::string provider;
  std::vector<NamedCount> states;        // available, waiting, disabled
  std::vector<NamedCount> causes;        // of those that are not fully available
  std::vector<NamedCount> acquisitions;  // granted, waited, and each refusal reason; running totals
  uint64_t half_open = 0;
  uint64_t busy = 0;
  uint64_t leases_in_flight = 0;
};

enum class BreakerState { kClosed = 0, kHalfOpen = 1, kOpen = 2 };

struct ProviderCounts {
  std::string provider;
  double next_recovery_seconds = 0;  // 0 when none waits; a negative or NaN value is shown as 0.
  std::vector<ReportCount> reports;  // Running totals.
  std::vector<NamedCount> probes;    // granted, succeeded, failed, inconclusive; running totals
  BreakerState breaker = BreakerState::kClosed;
  uint64_t breaker_opened_total = 0;
  uint64_t backoffs_active = 0;
  uint64_t backoffs_started_total = 0;
};

struct PoolSnapshot {
  std::vector<GroupProviderCounts> groups;
  std::vector<ProviderCounts> providers;
  std::vector<NamedCount> leases;  // granted, expired, late, duplicate, stale, unknown; totals
  uint64_t egress_breakers_open = 0;
  uint64_t egress_backoffs = 0;
  uint64_t wait_queue_depth = 0;
  uint64_t affinity_bindings = 0;
  uint64_t affinity_rebinds_total = 0;
  uint64_t model_records_dropped_total = 0;
  std::vector<NamedCount> sessions;        // open, detached
  std::vector<NamedCount> session_events;  // running totals
  std::vector<NamedCount> session_items;   // running totals
  uint64_t session_leases = 0;
};

struct StoreSnapshot {
  bool up = false;
  std::vector<NamedCount> commits;  // committed, failed, fenced; running totals
  uint64_t rows_written_total = 0;
  double write_behind_delay_seconds = 0;  // 0 when everything is written.
  uint64_t quarantined_rows = 0;
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_POOL_SNAPSHOT_H_
