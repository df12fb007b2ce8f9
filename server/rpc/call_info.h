// What a handler knows of a call besides its request, and what all calls of a method on a queue
// share.
#ifndef CREDBROKER_SERVER_RPC_CALL_INFO_H_
#define CREDBROKER_SERVER_RPC_CALL_INFO_H_

#include <string>

#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/obs/grpc_metrics.h"
#include "server/obs/trace.h"
#include "server/rpc/guard.h"

namespace credbroker::rpc {

struct CallInfo {
  absl::string_view principal;  // lives as long as the server
  absl::Duration remaining;     // until its deadline; never infinite for unary calls
  obs::TraceContext trace;      // not valid(): the caller sent none
};

// One method on one queue of one listener. Constant after start.
struct MethodSite {
  const MethodRule* rule = nullptr;
  obs::GrpcMethodMetrics* metrics = nullptr;
  Guard* guard = nullptr;
  grpc::ServerCompletionQueue* queue = nullptr;
};

// Reads deadline and traceparent. *has_deadline: whether the caller set one.
CallInfo ReadCallInfo(const grpc::ServerContext& context, const Guard& guard, bool* has_deadline);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_CALL_INFO_H_
