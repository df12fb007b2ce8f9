#include "server/rpc/call_info.h"

#include <grpc/support/time.h>

#include <optional>

namespace credbroker::rpc {

CallInfo ReadCallInfo(const grpc::ServerContext& context, const Guard& guard, bool* has_deadline) {
  CallInfo info;
  info.principal = guard.principal();
  // On gRPC's own monotonic clock: through the wall clock a step of it would end or prolong calls.
  const gpr_timespec deadline = context.raw_deadline();
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  // gRPC hands an absent deadline as the end of time; beyond a day nobody can tell.
  *has_deadline = left.tv_sec < absl::ToInt64Seconds(absl::Hours(24));
  info.remaining = *has_deadline ? absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec)
                                 : guard.default_deadline();
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
