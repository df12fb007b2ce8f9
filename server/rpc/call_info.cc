#include "server/rpc/call_info.h"

#include <chrono>
#include <optional>

namespace credbroker::rpc {

CallInfo ReadCallInfo(const grpc::ServerContext& context, const Guard& guard,
                      bool* has_deadline) {
  CallInfo info;
  info.principal = guard.principal();
  const std::chrono::system_clock::time_point deadline = context.deadline();
  // gRPC hands an absent deadline as the end of time; beyond a day nobody can tell.
  const absl::Duration left = absl::FromChrono(deadline) - absl::Now();
  *has_deadline = left < absl::Hours(24);
  info.remaining = *has_deadline ? left : kDefaultDeadline;
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("traceparent");
  if (it != metadata.end()) {
    const std::optional<obs::TraceContext> trace =
        obs::ParseTraceparent(absl::string_view(it->second.data(), it->second.size()));
    if (trace.has_value()) info.trace = *trace;
  }
  return info;
}

}  // namespace credbroker::rpc
