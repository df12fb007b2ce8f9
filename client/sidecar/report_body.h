// The JSON body of POST /report: one report, or {"items": [...]} with 1 to 256 of them. README.md
// has the fields.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_REPORT_BODY_H_
#define CREDBROKER_CLIENT_SIDECAR_REPORT_BODY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;

// Checked. INVALID_ARGUMENT naming item and field, never what was sent; then none is applied.
absl::StatusOr<std::vector<api::ReportItem>> ParseReportBody(absl::string_view body);

// {"results": [{"lease": "...", "disposition": "accepted", "advice": "retry-other", ...}]}
std::string ReportAnswerBody(const api::ReportResponse& response);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_REPORT_BODY_H_
