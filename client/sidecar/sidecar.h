// Sidecar: wires session, desk, gRPC, HTTP and the log receiver in the order of their dependencies,
// and stops them in the reverse one.
//
// Thread-safety: Start, Stop and the destructor belong to one thread.
#ifndef CREDBROKER_CLIENT_SIDECAR_SIDECAR_H_
#define CREDBROKER_CLIENT_SIDECAR_SIDECAR_H_

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/session/mutex.h"
#include "client/sidecar/desk.h"
#include "client/sidecar/grpc_service.h"
#include "client/sidecar/log_receiver.h"
#include "client/sidecar/metrics.h"
#include "client/sidecar/route_table.h"
#include "client/sidecar/session_source.h"
#include "credbroker/sidecar/v1/config.pb.h"
#include "server/http/listener.h"
#include "server/obs/health_state.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/unix_listener.h"

namespace credbroker::sidecar {

class Sidecar {
 public:
  // Serves when it returns; the session connects in the background. `config` was loaded by
  // settings.h.
  static absl::StatusOr<std::unique_ptr<Sidecar>> Start(pb::Config config);
  ~Sidecar();  // Stop
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  // Not ready; grants nothing; takes reports until no lease is live or drain_timeout is over; gives
  // the rest back; ends. Idempotent.
  void Stop();
  // The longest a Stop may take before whoever asked should end the process.
  absl::Duration LongestStop() const;

  std::vector<std::string> grpc_targets() const;
  std::vector<std::string> http_addresses() const;

 private:
  struct HttpPort {
    std::unique_ptr<http::Listener> listener;
    std::unique_ptr<rpc::UnixListener> socket;  // hands over to `listener`; null: a loopback port
  };

  explicit Sidecar(pb::Config config);
  absl::Status StartSession();
  absl::Status StartGrpc();
  absl::Status StartHttp();
  absl::Status StartLog();
  absl::StatusOr<HttpPort> OpenPort(const pb::Listener& listener, http::Router router);
  http::Router MakeRouter();
  void TakeLine(absl::string_view datagram);
  void RunTicker();
  Gauges ReadGauges() const;

  const pb::Config config_;
  const RouteTable routes_;
  Metrics metrics_;
  obs::HealthState health_;
  std::unique_ptr<SessionSource> source_;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<GrpcService> service_;
  std::unique_ptr<rpc::GrpcServer> grpc_;
  std::vector<HttpPort> http_;
  std::unique_ptr<LogReceiver> log_;
  client::Mutex mutex_;
  client::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ = false;
  std::thread ticker_;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_SIDECAR_H_
