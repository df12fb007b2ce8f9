// GrpcServer: one gRPC server a listener, its loop threads, limits and orderly end.
//
// A listener is a principal: "unix:<path>" or "loopback". Plain text is served on unix sockets and,
// only when asked for explicitly, on loopback addresses.
//
// Thread-safety: Start, Stop and the destructor belong to one thread.
#ifndef CREDBROKER_SERVER_RPC_GRPC_SERVER_H_
#define CREDBROKER_SERVER_RPC_GRPC_SERVER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/obs/grpc_metrics.h"
#include "server/rpc/guard.h"
#include "server/rpc/method_set.h"
#include "server/rpc/unix_listener.h"

namespace credbroker::rpc {

// What gRPC enforces; guard.h has what it cannot. Bytes and times are those of one connection.
struct TransportLimits {
  int max_receive_bytes = 4 * 1024 * 1024;
  int max_send_bytes = 64 * 1024 * 1024;
  int max_metadata_bytes = 16 * 1024;
  int max_streams = 1024;
  absl::Duration max_idle = absl::Minutes(30);
  absl::Duration max_age = absl::InfiniteDuration();  // TCP: 1 h unless set
  absl::Duration age_grace = absl::Minutes(5);
  absl::Duration keepalive = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration min_ping_interval = absl::Seconds(5);  // of clients; more often is a strike
  int max_ping_strikes = 4;
  absl::Duration handshake_timeout = absl::Seconds(5);
  size_t memory_bytes = size_t{256} * 1024 * 1024;  // of one listener's transport buffers
  // What is taken from a socket at once. gRPC makes a call (12 kB) of each HEADERS in it before it
  // looks at the RST_STREAM that may follow: its own 4 MiB are 20,000 calls at a time.
  int max_read_bytes = 64 * 1024;
};

class GrpcServer {
 public:
  // Exactly one of unix_socket and tcp_address is set.
  struct Endpoint {
    std::optional<UnixListener::Options> unix_socket;
    // "127.0.0.1:7300" or "[::1]:0". Refused unless it is a loopback address and `plaintext` is
    // set.
    std::string tcp_address;
    bool plaintext = false;
    std::vector<RpcService*> services;  // served here; they outlive the server
  };
  struct Options {
    std::vector<Endpoint> endpoints;
    int loop_threads = 0;  // per endpoint; 0: max(1, cores / 2)
    bool reflection = false;
    TransportLimits limits;
    Guard::Options guard;           // principal and count_peers are set per listener
    size_t max_connections = 1024;  // of each listener
  };

  // Builds every listener or none. `metrics` outlives the server. INVALID_ARGUMENT and
  // FAILED_PRECONDITION: the address may not or cannot be used, and why; UNAVAILABLE: the system
  // refused.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const Options& options,
                                                           obs::GrpcServerMetrics& metrics);
  ~GrpcServer();  // Stop(ZeroDuration)
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // Takes no new connection or call, lets calls end for `patience`, cancels the rest, waits until
  // all have ended. Idempotent. A handler that never answers makes this wait for ever: keep a hard
  // exit timer behind it.
  void Stop(absl::Duration patience);

  // Targets a client can connect to, in the order of the options: "unix:/run/x.sock",
  // "127.0.0.1:34567" (the port that was bound).
  std::vector<std::string> targets() const;
  // Of each listener, in the same order. For tests and statistics.
  std::vector<const Guard*> guards() const;
  uint64_t refused_connections() const;     // of users that are not admitted
  uint64_t connections_over_limit() const;  // closed because max_connections were open

 private:
  class Listener;
  GrpcServer(std::vector<RpcService*> services, std::vector<std::unique_ptr<Listener>> listeners);

  const std::vector<RpcService*> services_;  // of all endpoints, each once
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool stopped_ = false;
};

// OK if plain text may be served on `address` ("host:port").
absl::Status CheckPlaintextAddress(absl::string_view address, bool plaintext);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_GRPC_SERVER_H_
