#include "client/sidecar/metrics.h"

#include <utility>

#include "server/obs/exposition.h"
#include "server/obs/metric_table.h"
#include "server/obs/process_stats.h"

namespace credbroker::sidecar {
namespace {

using obs::MetricSpec;
using enum obs::MetricType;

constexpr MetricSpec kAcquired = {
    "credbroker_sidecar_acquisitions_total",
    kCounter,
    "Requests for a lease, by who asked, route and what became of them.",
    {"face", "route", "result"}};
constexpr MetricSpec kShadowed = {"credbroker_sidecar_shadow_decisions_total",
                                  kCounter,
                                  "Decisions of shadow routes against what the requests carried.",
                                  {"route", "result"}};
constexpr MetricSpec kReportedTotal = {"credbroker_sidecar_reports_total",
                                       kCounter,
                                       "Reports, by where they came from and what was done.",
                                       {"face", "result"}};
constexpr MetricSpec kEnded = {
    "credbroker_sidecar_leases_ended_total", kCounter, "Leases that ended, by how.", {"how"}};
constexpr MetricSpec kLive = {"credbroker_sidecar_leases", kGauge, "Leases given out and live."};
constexpr MetricSpec kStock = {"credbroker_sidecar_stock_leases", kGauge, "Leases at hand."};
constexpr MetricSpec kState = {
    "credbroker_sidecar_session_state", kGauge, "1 for the state the session is in.", {"state"}};
constexpr MetricSpec kReconnects = {"credbroker_sidecar_session_reconnects_total", kCounter,
                                    "Times the session was taken up again."};
constexpr MetricSpec kRevocations = {"credbroker_sidecar_revocations_total", kCounter,
                                     "Revocations received."};
constexpr MetricSpec kStockRevoked = {"credbroker_sidecar_stock_revoked_total", kCounter,
                                      "Leases taken out of stock by revocations."};
constexpr MetricSpec kEndsDropped = {"credbroker_sidecar_ends_dropped_total", kCounter,
                                     "Reports and releases that never reached the broker."};
constexpr MetricSpec kHttpRefused = {
    "credbroker_sidecar_http_refused_total", kCounter,
    "HTTP requests refused as malformed, too large or too slow, before any handler."};
constexpr MetricSpec kLogDropped = {"credbroker_sidecar_log_datagrams_refused_total", kCounter,
                                    "Datagrams refused because of who sent them."};
constexpr MetricSpec kLeaseDuration = {"credbroker_sidecar_lease_request_seconds",
                                       kHistogram,
                                       "Time an HTTP request for a lease took.",
                                       {},
                                       obs::metric::kLatencyBuckets};
constexpr MetricSpec kBuild = {
    "credbroker_sidecar_build_info", kGauge, "1, labelled with the version.", {"version"}};

constexpr const MetricSpec* kTable[] = {&kAcquired,
                                        &kShadowed,
                                        &kReportedTotal,
                                        &kEnded,
                                        &kLive,
                                        &kStock,
                                        &kState,
                                        &kReconnects,
                                        &kRevocations,
                                        &kStockRevoked,
                                        &kEndsDropped,
                                        &kHttpRefused,
                                        &kLogDropped,
                                        &kLeaseDuration,
                                        &kBuild,
                                        &obs::metric::kGrpcStarted,
                                        &obs::metric::kGrpcHandled,
                                        &obs::metric::kGrpcReceived,
                                        &obs::metric::kGrpcSent,
                                        &obs::metric::kGrpcHandling,
                                        &obs::metric::kProcessCpu,
                                        &obs::metric::kProcessResident,
                                        &obs::metric::kProcessVirtual,
                                        &obs::metric::kProcessOpenFds,
                                        &obs::metric::kProcessMaxFds,
                                        &obs::metric::kProcessThreads,
                                        &obs::metric::kProcessStart};

constexpr const char* kFaceNames[kFaces] = {"grpc", "http", "log"};
constexpr const char* kGrantingNames[kGrantings] = {
    "stock",           "direct",           "served_last",  "bypass",
    "shadow",          "refused_disabled", "refused_busy", "refused_away",
    "refused_invalid", "refused_unusable"};
constexpr const char* kShadowNames[kShadows] = {"same", "different", "absent", "refused"};
constexpr const char* kReportedNames[kReporteds] = {"accepted", "early",     "duplicate", "late",
                                                    "unknown",  "malformed", "no_lease"};
constexpr const char* kEndingNames[kEndings] = {"reported", "released", "expired", "stopped"};
constexpr const char* kStates[] = {"connecting", "connected", "reconnecting", "lost", "closed"};

double Number(const obs::Counter& counter) { return static_cast<double>(counter.value()); }

void AddGauges(const Gauges& gauges, obs::Exposition& out) {
  const auto add = [&out](const MetricSpec& spec, uint64_t value) {
    out.Add(spec, {}, static_cast<double>(value));
  };
  add(kLive, gauges.live_leases);
  add(kStock, gauges.in_stock);
  add(kReconnects, gauges.reconnects);
  add(kRevocations, gauges.revocations);
  add(kStockRevoked, gauges.stock_revoked);
  add(kEndsDropped, gauges.ends_dropped);
  add(kHttpRefused, gauges.http_refused);
  add(kLogDropped, gauges.log_dropped);
  for (const char* state : kStates) {
    out.Add(kState, {state}, gauges.session_state == state ? 1 : 0);
  }
}

void AddProcess(obs::Exposition& out) {
  const obs::ProcessStats stats = obs::ReadProcessStats();
  out.Add(obs::metric::kProcessCpu, {}, stats.cpu_seconds);
  out.Add(obs::metric::kProcessResident, {}, stats.resident_bytes);
  out.Add(obs::metric::kProcessVirtual, {}, stats.virtual_bytes);
  out.Add(obs::metric::kProcessOpenFds, {}, stats.open_fds);
  out.Add(obs::metric::kProcessMaxFds, {}, stats.max_fds);
  out.Add(obs::metric::kProcessThreads, {}, stats.threads);
  out.Add(obs::metric::kProcessStart, {}, stats.start_time_seconds);
}

}  // namespace

Metrics::Metrics(std::vector<std::string> routes, const std::vector<obs::GrpcMethod>& methods)
    : names_(std::move(routes)),
      routes_(std::make_unique<Route[]>(names_.size())),
      lease_duration_(kLeaseDuration),
      grpc_(methods) {}

std::string Metrics::Text() const {
  obs::Exposition out(kTable);
  for (size_t route = 0; route < names_.size(); ++route) {
    // Nothing asks for a lease by a log line.
    for (const Face face : {Face::kGrpc, Face::kHttp}) {
      for (size_t what = 0; what < kGrantings; ++what) {
        out.Add(kAcquired,
                {kFaceNames[static_cast<size_t>(face)], names_[route], kGrantingNames[what]},
                Number(routes_[route].acquired[static_cast<size_t>(face)][what]));
      }
    }
    for (size_t what = 0; what < kShadows; ++what) {
      out.Add(kShadowed, {names_[route], kShadowNames[what]}, Number(routes_[route].shadow[what]));
    }
  }
  for (size_t face = 0; face < kFaces; ++face) {
    for (size_t what = 0; what < kReporteds; ++what) {
      out.Add(kReportedTotal, {kFaceNames[face], kReportedNames[what]},
              Number(reported_[face][what]));
    }
  }
  for (size_t how = 0; how < kEndings; ++how) {
    out.Add(kEnded, {kEndingNames[how]}, Number(ended_[how]));
  }
  out.Add({}, lease_duration_);
  out.Add(kBuild, {CREDBROKER_VERSION}, 1);
  if (gauges_) AddGauges(gauges_(), out);
  grpc_.Collect(out);
  AddProcess(out);
  return out.Text();
}

}  // namespace credbroker::sidecar
