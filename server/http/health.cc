#include "server/http/health.h"

#include <string>
#include <utility>

#include "server/obs/json_line.h"

namespace credbroker::http {
namespace {

constexpr size_t kMaxReasonBytes = 512;

Response Livez(const obs::HealthState& health) {
  const absl::Status status = health.Liveness();
  Response response;
  obs::JsonLine body(kMaxReasonBytes);
  body.AddString("status", status.ok() ? "ok" : "failed");
  if (!status.ok()) {
    response.status = 503;
    body.AddString("reason", absl::string_view(status.message()));
  }
  response.body = std::move(body).Finish() + "\n";
  return response;
}

Response Readyz(const obs::HealthState& health) {
  const obs::HealthState::Readiness readiness = health.CheckReadiness();
  Response response;
  obs::JsonLine body(kMaxReasonBytes);
  body.AddString("status", readiness.ready ? "ready" : "not_ready");
  if (!readiness.ready) {
    response.status = 503;
    std::string failures = "[";
    for (const auto& failure : readiness.failures) {
      if (failures.size() > 1) failures += ',';
      obs::JsonLine entry(kMaxReasonBytes);
      entry.AddString("check", failure.name);
      entry.AddString("reason", failure.reason);
      failures += std::move(entry).Finish();
    }
    failures += ']';
    body.AddLiteral("failures", failures);
  }
  response.body = std::move(body).Finish() + "\n";
  return response;
}

}  // namespace

void AddHealthPages(Router& router, const obs::HealthState& health) {
  router.Handle("GET", "/livez", [&health](const Request&) { return Livez(health); });
  router.Handle("GET", "/readyz", [&health](const Request&) { return Readyz(health); });
}

}  // namespace credbroker::http
