#include "client/retry/grpc_status.h"

#include "credbroker/client/error.h"
#include "google/rpc/status.pb.h"

namespace credbroker::client {

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status wire;
  if (!wire.ParseFromString(status.error_details())) wire.Clear();
  wire.set_code(status.error_code());
  wire.set_message(status.error_message());
  return FromRpcStatus(wire);
}

}  // namespace credbroker::client
