// The gRPC server metrics, by the names of go-grpc-middleware, created at zero for every known
// method and code so that a rate() over the first error is right.
//
// A handler resolves its method once, at registration, and keeps the pointer.
//
// Thread-safety: GrpcServerMetrics is immutable after construction; GrpcMethodMetrics are counters.
#ifndef CREDBROKER_SERVER_OBS_GRPC_METRICS_H_
#define CREDBROKER_SERVER_OBS_GRPC_METRICS_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/obs/exposition.h"
#include "server/obs/instruments.h"

namespace credbroker::obs {

enum class GrpcType { kUnary, kClientStream, kServerStream, kBidiStream };

struct GrpcMethod {
  std::string service;  // "credbroker.v1.BrokerService"
  std::string method;   // "Acquire"
  GrpcType type = GrpcType::kUnary;
};

// The 17 codes of gRPC, by number: "OK", "Canceled", "Unknown", "InvalidArgument", ...
// (the spelling of grpc-go, one l in Canceled). Any other number gives "Unknown".
absl::string_view GrpcCodeName(int code);

class GrpcMethodMetrics {
 public:
  explicit GrpcMethodMetrics(GrpcMethod method);

  // `code` is a grpc::StatusCode as an integer; anything out of range counts as Unknown.
  void Handled(int code, absl::Duration took) noexcept;

  Counter started;
  Counter received;  // Messages; one for a unary call.
  Counter sent;      // Messages; one for a unary call that succeeded.

 private:
  friend class GrpcServerMetrics;
  void Collect(Exposition& out) const;

  const GrpcMethod method_;
  std::array<Counter, 17> handled_;
  Histogram handling_;
};

class GrpcServerMetrics {
 public:
  explicit GrpcServerMetrics(const std::vector<GrpcMethod>& methods);

  // `path` is "/service/method" or "service/method". An unknown path gives one shared entry, so
  // that a caller's invention is no series of its own. Never null; valid as long as this.
  GrpcMethodMetrics* Method(absl::string_view path);

  void Collect(Exposition& out) const;

 private:
  GrpcMethodMetrics unknown_;
  absl::flat_hash_map<std::string, std::unique_ptr<GrpcMethodMetrics>> methods_;
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_GRPC_METRICS_H_
