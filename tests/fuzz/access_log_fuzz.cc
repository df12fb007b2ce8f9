// Any bytes as a line of an access log, or as the body of a report: no crash, and what is passed on
// to the broker is within its bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "client/sidecar/access_log.h"
#include "client/sidecar/check_request.h"
#include "client/sidecar/report_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sidecar = credbroker::sidecar;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto call = sidecar::ParseAccessLog(text); call.ok()) {
    const bool report = call->kind == sidecar::LoggedCall::Kind::kReport;
    if (report && sidecar::Check(call->item).has_value()) std::abort();
    if (call->kind != sidecar::LoggedCall::Kind::kNoLease && call->item.lease_id().empty()) {
      std::abort();
    }
  }
  if (const auto items = sidecar::ParseReportBody(text); items.ok()) {
    if (items->empty() || items->size() > 256) std::abort();
    for (const auto& item : *items) {
      if (sidecar::Check(item).has_value() || item.lease_id().empty()) std::abort();
    }
  }
  return 0;
}
