// From gRPC's status to absl's.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_RETRY_GRPC_STATUS_H_
#define CREDBROKER_CLIENT_RETRY_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace credbroker::client {

// The same code and message; the details of the trailer are what error.h reads.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_RETRY_GRPC_STATUS_H_
