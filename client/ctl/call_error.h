// What the broker says no with: from grpc::Status to absl::Status and to a person.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_CTL_CALL_ERROR_H_
#define CREDBROKER_CLIENT_CTL_CALL_ERROR_H_

#include <string>

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/status.pb.h"

namespace credbroker::ctl {

// The same code and message, and the google.rpc.Status of the trailer as a payload, so that it
// travels like any other status. `server` is named where the broker was not reached.
absl::Status FromGrpc(const grpc::Status& status, absl::string_view server);

// One line, and below it indented ones with causes, wrong fields and other facts:
//   RESOURCE_EXHAUSTED COOLING: every candidate waits; retry in 29 s
//     causes: rate_limited 12
// Statuses of our own are their message. Printable.
std::string ErrorText(const absl::Status& status);
// The same for a status that came inside a response.
std::string ErrorText(const google::rpc::Status& status);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_CALL_ERROR_H_
