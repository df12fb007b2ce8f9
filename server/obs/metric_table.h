// Every metric of the broker: name, type, help, labels and buckets, in this one table.
//
// Nothing else in the tree spells a metric name. Conventions: prefix `credbroker_`, base units
// (seconds, bytes), counters end in `_total`. The gRPC server metrics use the names of
// go-grpc-middleware and the process metrics those of the Prometheus client libraries, so that
// existing dashboards work.
//
// Label values are closed sets: group and provider come from the configuration (anything else is
// folded into "other"), the rest are enums. A credential, lease, model or caller's string is never
// a label, so the number of series does not move with traffic.
//
// Thread-safety: constant data.
#ifndef CREDBROKER_SERVER_OBS_METRIC_TABLE_H_
#define CREDBROKER_SERVER_OBS_METRIC_TABLE_H_

#include <array>
#include <cstddef>

#include "absl/types/span.h"

namespace credbroker::obs {

enum class MetricType { kCounter, kGauge, kHistogram };

struct MetricSpec {
  const char* name;
  MetricType type;
  const char* help;  // One line: the text format of 0.0.4 has no multi-line help.
  std::array<const char*, 4> labels = {};  // Unused places are nullptr.
  absl::Span<const double> buckets = {};   // Upper bounds in seconds, ascending, without +Inf.

  // Number of labels in use.
  constexpr size_t LabelCount() const {
    size_t n = 0;
    while (n < labels.size() && labels[n] != nullptr) ++n;
    return n;
  }
};

namespace metric {

// Acquire answers in microseconds unless it parks; an RPC over TCP in fractions of a millisecond.
inline constexpr double kLatencyBuckets[] = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025,
                                             0.0005,  0.001,    0.0025,  0.005,  0.01,
                                             0.025,   0.05,     0.1,     0.25,   1};
// A parked call waits for a freed slot (milliseconds) or a recovery (up to the 60 s of max_wait).
inline constexpr double kWaitBuckets[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5,
                                          1,     2.5,   5,    10,   20,  30,   60};
inline constexpr double kRpcBuckets[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                         0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                         1,      2.5,     5,      10,    60};
// One fsync of a good disk to a struggling network volume.
inline constexpr double kCommitBuckets[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                            0.1,    0.25,  0.5,    1,     2.5,  5};

using enum MetricType;

// --- Acquire ------------------------------------------------------------------------------------
inline constexpr MetricSpec kAcquisitions = {
    "credbroker_acquisitions_total",
    kCounter,
    "Acquire calls by outcome: granted, granted after waiting, or the reason of the refusal.",
    {"group", "provider", "outcome"}};
inline constexpr MetricSpec kAcquireDuration = {
    "credbroker_acquire_duration_seconds",
    kHistogram,
    "Time from a decoded Acquire call to its answer, without the time it was parked.",
    {},
    kLatencyBuckets};
inline constexpr MetricSpec kWaitQueueDepth = {"credbroker_wait_queue_depth", kGauge,
                                               "Acquire calls parked until a credential is free."};
inline constexpr MetricSpec kWaitDuration = {
    "credbroker_wait_duration_seconds",
    kHistogram,
    "Time an Acquire call was parked, whatever its outcome.",
    {},
    kWaitBuckets};

// --- Fleet --------------------------------------------------------------------------------------
inline constexpr MetricSpec kCredentials = {"credbroker_credentials",
                                            kGauge,
                                            "Credentials by derived state.",
                                            {"group", "provider", "state"}};
inline constexpr MetricSpec kCredentialsByCause = {
    "credbroker_credentials_by_cause",
    kGauge,
    "Credentials that are not fully available, by the cause that decides it.",
    {"group", "provider", "cause"}};
inline constexpr MetricSpec kHalfOpen = {
    "credbroker_credentials_half_open",
    kGauge,
    "Available credentials that take one probing lease at a time.",
    {"group", "provider"}};
inline constexpr MetricSpec kBusy = {"credbroker_credentials_busy",
                                     kGauge,
                                     "Available credentials at their in-flight cap.",
                                     {"group", "provider"}};
// 0 when nothing is waiting, as Prometheus advises against series that come and go; join with
// credbroker_credentials{state="waiting"} > 0 where the difference matters.
inline constexpr MetricSpec kNextRecovery = {
    "credbroker_next_recovery_seconds",
    kGauge,
    "Seconds until the next waiting credential of the provider recovers; 0 when none is waiting.",
    {"provider"}};

// --- Leases and reports -------------------------------------------------------------------------
inline constexpr MetricSpec kInFlight = {
    "credbroker_leases_in_flight", kGauge, "Live leases.", {"group", "provider"}};
inline constexpr MetricSpec kLeases = {
    "credbroker_leases_total",
    kCounter,
    "Lease events: granted, expired, and reports or releases that came late, twice or unknown.",
    {"event"}};
inline constexpr MetricSpec kReports = {"credbroker_reports_total",
                                        kCounter,
                                        "Reports by outcome and by how the broker took them.",
                                        {"provider", "outcome", "disposition"}};

// --- Recovery -----------------------------------------------------------------------------------
inline constexpr MetricSpec kProbes = {
    "credbroker_probes_total",
    kCounter,
    "Probing leases of half-open credentials: granted, and how they ended.",
    {"provider", "event"}};
inline constexpr MetricSpec kBreakerState = {
    "credbroker_breaker_state",
    kGauge,
    "Breaker of the provider: 0 closed, 1 half-open, 2 open.",
    {"provider"}};
inline constexpr MetricSpec kBreakerOpened = {"credbroker_breaker_opened_total",
                                              kCounter,
                                              "Times a breaker of the provider opened.",
                                              {"provider"}};
inline constexpr MetricSpec kBackoffs = {"credbroker_backoffs",
                                         kGauge,
                                         "Backoffs of a provider or of its models now in force.",
                                         {"provider"}};
inline constexpr MetricSpec kBackoffsStarted = {"credbroker_backoffs_started_total",
                                                kCounter,
                                                "Backoffs of a provider or of its models begun.",
                                                {"provider"}};
inline constexpr MetricSpec kEgressBreakersOpen = {"credbroker_egress_breakers_open", kGauge,
                                                   "Egress proxies whose breaker is not closed."};
inline constexpr MetricSpec kEgressBackoffs = {"credbroker_egress_backoffs", kGauge,
                                               "Egress proxies that are backed off from."};
inline constexpr MetricSpec kModelRecordsDropped = {
    "credbroker_model_records_dropped_total", kCounter,
    "Model-scoped cooldowns dropped because a credential had too many."};

// --- Affinity -----------------------------------------------------------------------------------
inline constexpr MetricSpec kAffinityBindings = {"credbroker_affinity_bindings", kGauge,
                                                 "Session keys bound to a credential."};
inline constexpr MetricSpec kAffinityRebinds = {
    "credbroker_affinity_rebinds_total", kCounter,
    "Session keys moved to another credential because theirs was blocked."};

// --- Sessions -----------------------------------------------------------------------------------
inline constexpr MetricSpec kSessions = {"credbroker_sessions",
                                         kGauge,
                                         "Sessions by state: open, or detached and resumable.",
                                         {"state"}};
inline constexpr MetricSpec kSessionLeases = {"credbroker_session_leases", kGauge,
                                              "Live leases of sessions, stock included."};
inline constexpr MetricSpec kSessionEvents = {
    "credbroker_session_events_total",
    kCounter,
    "What happened to sessions: opened, resumed, replaced, silent, cut, lost, refused, bad_frame.",
    {"event"}};
inline constexpr MetricSpec kSessionItems = {
    "credbroker_session_items_total",
    kCounter,
    "Items that went over session streams: stock, grants, reports, revocations and so on.",
    {"item"}};

// --- Store --------------------------------------------------------------------------------------
inline constexpr MetricSpec kStoreUp = {"credbroker_store_up", kGauge,
                                        "1 if the last store operation succeeded, else 0."};
inline constexpr MetricSpec kStoreCommits = {
    "credbroker_store_commits_total", kCounter, "Store transactions by result.", {"result"}};
inline constexpr MetricSpec kStoreCommitDuration = {"credbroker_store_commit_duration_seconds",
                                                    kHistogram,
                                                    "Time of one store transaction.",
                                                    {},
                                                    kCommitBuckets};
inline constexpr MetricSpec kStoreRows = {"credbroker_store_rows_written_total", kCounter,
                                          "Records written by committed transactions."};
inline constexpr MetricSpec kStoreWriteBehind = {
    "credbroker_store_write_behind_delay_seconds", kGauge,
    "Age of the oldest health change that is not yet in the store."};
inline constexpr MetricSpec kStoreQuarantined = {
    "credbroker_store_quarantined_rows", kGauge,
    "Stored records that could not be opened or read and were set aside."};

// --- Import and configuration -------------------------------------------------------------------
inline constexpr MetricSpec kImports = {"credbroker_imports_total",
                                        kCounter,
                                        "Credential documents looked at by an import.",
                                        {"source", "result"}};
inline constexpr MetricSpec kConfigReloads = {
    "credbroker_config_reloads_total", kCounter, "Configuration reloads by result.", {"result"}};
inline constexpr MetricSpec kConfigLastOk = {
    "credbroker_config_last_reload_successful", kGauge,
    "1 if the newest configuration was taken, 0 if the one before is still in force."};
inline constexpr MetricSpec kConfigLastOkTime = {
    "credbroker_config_last_reload_success_timestamp_seconds", kGauge,
    "When the configuration in force was loaded, Unix time."};
inline constexpr MetricSpec kBuildInfo = {"credbroker_build_info",
                                          kGauge,
                                          "Always 1; the build is in the labels.",
                                          {"version", "revision", "compiler"}};

// --- gRPC server (names of go-grpc-middleware) --------------------------------------------------
inline constexpr MetricSpec kGrpcStarted = {"grpc_server_started_total",
                                            kCounter,
                                            "RPCs started on the server.",
                                            {"grpc_type", "grpc_service", "grpc_method"}};
inline constexpr MetricSpec kGrpcHandled = {
    "grpc_server_handled_total",
    kCounter,
    "RPCs completed on the server, whatever their code.",
    {"grpc_type", "grpc_service", "grpc_method", "grpc_code"}};
inline constexpr MetricSpec kGrpcReceived = {"grpc_server_msg_received_total",
                                             kCounter,
                                             "RPC stream messages received on the server.",
                                             {"grpc_type", "grpc_service", "grpc_method"}};
inline constexpr MetricSpec kGrpcSent = {"grpc_server_msg_sent_total",
                                         kCounter,
                                         "RPC stream messages sent by the server.",
                                         {"grpc_type", "grpc_service", "grpc_method"}};
inline constexpr MetricSpec kGrpcHandling = {"grpc_server_handling_seconds",
                                             kHistogram,
                                             "Time the application took to answer RPCs.",
                                             {"grpc_type", "grpc_service", "grpc_method"},
                                             kRpcBuckets};

// --- Process (names of the Prometheus client libraries) -----------------------------------------
inline constexpr MetricSpec kProcessCpu = {"process_cpu_seconds_total", kCounter,
                                           "User and system CPU time spent, in seconds."};
inline constexpr MetricSpec kProcessResident = {"process_resident_memory_bytes", kGauge,
                                                "Resident memory size in bytes."};
inline constexpr MetricSpec kProcessVirtual = {"process_virtual_memory_bytes", kGauge,
                                               "Virtual memory size in bytes."};
inline constexpr MetricSpec kProcessOpenFds = {"process_open_fds", kGauge,
                                               "Number of open file descriptors."};
inline constexpr MetricSpec kProcessMaxFds = {"process_max_fds", kGauge,
                                              "Maximum number of open file descriptors."};
inline constexpr MetricSpec kProcessThreads = {"process_threads", kGauge,
                                               "Number of threads of the process."};
inline constexpr MetricSpec kProcessStart = {"process_start_time_seconds", kGauge,
                                             "Start time of the process, Unix time in seconds."};

// Every metric above, in the order of the exposition.
inline constexpr const MetricSpec* kAll[] = {&kAcquisitions,
                                             &kAcquireDuration,
                                             &kWaitQueueDepth,
                                             &kWaitDuration,
                                             &kCredentials,
                                             &kCredentialsByCause,
                                             &kHalfOpen,
                                             &kBusy,
                                             &kNextRecovery,
                                             &kInFlight,
                                             &kLeases,
                                             &kReports,
                                             &kProbes,
                                             &kBreakerState,
                                             &kBreakerOpened,
                                             &kBackoffs,
                                             &kBackoffsStarted,
                                             &kEgressBreakersOpen,
                                             &kEgressBackoffs,
                                             &kModelRecordsDropped,
                                             &kAffinityBindings,
                                             &kAffinityRebinds,
                                             &kSessions,
                                             &kSessionLeases,
                                             &kSessionEvents,
                                             &kSessionItems,
                                             &kStoreUp,
                                             &kStoreCommits,
                                             &kStoreCommitDuration,
                                             &kStoreRows,
                                             &kStoreWriteBehind,
                                             &kStoreQuarantined,
                                             &kImports,
                                             &kConfigReloads,
                                             &kConfigLastOk,
                                             &kConfigLastOkTime,
                                             &kBuildInfo,
                                             &kGrpcStarted,
                                             &kGrpcHandled,
                                             &kGrpcReceived,
                                             &kGrpcSent,
                                             &kGrpcHandling,
                                             &kProcessCpu,
                                             &kProcessResident,
                                             &kProcessVirtual,
                                             &kProcessOpenFds,
                                             &kProcessMaxFds,
                                             &kProcessThreads,
                                             &kProcessStart};

}  // namespace metric
}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_METRIC_TABLE_H_
