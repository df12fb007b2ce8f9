// From the listeners of the configuration to endpoints of gRPC.
#ifndef CREDBROKER_SERVER_ENDPOINT_H_
#define CREDBROKER_SERVER_ENDPOINT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "credbroker/config/v1/config.pb.h"
#include "server/rpc/grpc_server.h"

namespace credbroker {

// INVALID_ARGUMENT: the mode of its socket is not octal.
absl::StatusOr<rpc::GrpcServer::Endpoint> ToEndpoint(const config::v1::Listener& listener,
                                                     std::vector<rpc::RpcService*> services);

}  // namespace credbroker

#endif  // CREDBROKER_SERVER_ENDPOINT_H_
