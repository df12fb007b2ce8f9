// grpc.health.v1.Health over obs::HealthState.
//
// Services known: "liveness" (depends on nothing outside the process), "" and "readiness" and the
// full names of our services (ready to serve). Watch sends the status now and after each change.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_SERVER_RPC_HEALTH_SERVICE_H_
#define CREDBROKER_SERVER_RPC_HEALTH_SERVICE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "grpc/health/v1/health.pb.h"
#include "server/obs/health_state.h"
#include "server/rpc/method_set.h"

namespace credbroker::rpc {

class HealthWatcher;

class HealthService final : public RpcService {
 public:
  // `health` outlives this.
  explicit HealthService(obs::HealthState& health);
  ~HealthService() override;

  std::unique_ptr<BoundService> Bind() override;
  // Ends every Watch after a last NOT_SERVING.
  void StartDraining() override;
  // Looks again and tells the watchers; for checks that turn without an event.
  void Poll();

  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;
  // Nothing: no such service.
  std::optional<Status> StatusOf(absl::string_view service) const;

 private:
  class Bound;
  // Shared with the listener of `health`, which cannot be taken back.
  struct Watchers;

  void Check(Responder<grpc::health::v1::HealthCheckRequest, grpc::health::v1::HealthCheckResponse>
                 responder) const;
  void Watch(const grpc::health::v1::HealthCheckRequest& request,
             const std::shared_ptr<ServerStream>& stream);

  obs::HealthState& health_;
  const std::shared_ptr<Watchers> watchers_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_HEALTH_SERVICE_H_
