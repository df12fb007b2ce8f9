// Results of reports: from the broker's answer, and from the status alone where the broker has not
// answered (yet).
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_REPORT_RESULT_H_
#define CREDBROKER_CLIENT_SIDECAR_REPORT_RESULT_H_

#include <string>

#include "credbroker/client/outcome.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;

// The upstream answered 2xx, or the reporter says so.
bool IsSuccess(const api::ReportItem& item);

// ACCEPTED (early: NOTED), with the advice of the broker's default policy for the status; the
// credential's state is not known, and stays unspecified.
api::ReportResult ResultByStatus(const api::ReportItem& item);

api::ReportResult UnknownResult();

api::ReportResult ToResult(const std::string& lease_id, const client::ReportAnswer& answer);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_REPORT_RESULT_H_
