// The broker's bounds of what callers hand in. A stream ends with a message that breaks them, for
// everybody who uses the session: so what one caller got wrong is found here.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SESSION_REQUEST_CHECK_H_
#define CREDBROKER_CLIENT_SESSION_REQUEST_CHECK_H_

#include "absl/status/status.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::client {

// INVALID_ARGUMENT (LocalReason::kInvalidArgument, INVALID_FIELD with the fields), as the broker
// would say it. max_wait is not looked at.
absl::Status CheckRequest(const v1::AcquireRequest& request);

// Cuts or leaves out what the broker would refuse: a report is worth sending without it. An item
// that says nothing becomes OUTCOME_NETWORK_ERROR.
void MakeSendable(v1::ReportItem* item);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_REQUEST_CHECK_H_
