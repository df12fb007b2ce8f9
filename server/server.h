// Server: wires the broker in the order of its dependencies and stops it in the reverse one.
//
// Without a keyring that opens the store it runs sealed: it lives, is not ready, and answers
// SEALED.
//
// Thread-safety: Start, Reload, Stop and the destructor belong to one thread.
#ifndef CREDBROKER_SERVER_SERVER_H_
#define CREDBROKER_SERVER_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config/config.h"
#include "server/engine/engine.h"
#include "server/http/listener.h"
#include "server/obs/health_state.h"
#include "server/obs/metrics.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/broker_service.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/health_service.h"
#include "server/rpc/watchdog.h"
#include "server/sources.h"
#include "server/store/store.h"

namespace credbroker {

class Server {
 public:
  // Everything is up when it returns. `path` is the file `config` came from; Reload reads it again.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      std::string path, std::shared_ptr<const config::Loaded> config);
  ~Server();  // Stop
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Reads the configuration again and goes over to it as a whole, or keeps the present one and says
  // why in the log, the metrics and GetStats.
  absl::Status Reload();

  // Not ready, drain, stop. Takes drain_delay + drain_timeout and a little. Idempotent.
  void Stop();
  // The longest a Stop may take before whoever asked should end the process.
  absl::Duration LongestStop() const;

  std::vector<std::string> targets() const { return grpc_->targets(); }
  bool sealed() const { return gate_.state() == rpc::ServingGate::State::kSealed; }

 private:
  Server(std::string path, std::shared_ptr<const config::Loaded> config);

  absl::Status OpenStore();
  absl::StatusOr<std::shared_ptr<const store::Keyring>> OpenKeyring();
  absl::Status StartEngine();
  absl::Status StartHttp();
  absl::Status StartGrpc();
  void StartWatchdog();
  void Publish(const config::Loaded& config);

  const std::string path_;
  std::shared_ptr<const config::Loaded> config_;
  obs::HealthState health_;
  obs::Metrics metrics_;
  rpc::ServingGate gate_;
  engine::BootClock clock_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Sources> sources_;
  engine::Mutex mutex_;
  rpc::ConfigStatus config_status_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::BrokerService> broker_;
  std::unique_ptr<rpc::AdminService> admin_;
  std::unique_ptr<rpc::HealthService> health_service_;
  std::unique_ptr<http::Listener> http_;
  std::unique_ptr<rpc::GrpcServer> grpc_;
  std::unique_ptr<rpc::Watchdog> watchdog_;
  bool stopped_ = false;
};

}  // namespace credbroker

#endif  // CREDBROKER_SERVER_SERVER_H_
