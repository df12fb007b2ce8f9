// Listener: one HTTP/1.1 port, plain text, for metrics, health and (later) the console.
//
// One thread owns every socket and gathers whole requests under deadlines and limits; a few workers
// run the handlers. So a slow, silent or hostile client costs a small buffer and never a worker.
// Whoever reaches the port may read what the router serves: it therefore refuses any but a loopback
// address unless told otherwise.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_SERVER_HTTP_LISTENER_H_
#define CREDBROKER_SERVER_HTTP_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/http/request_head.h"
#include "server/http/router.h"

namespace credbroker::http {

struct ListenerOptions {
  std::string host = "127.0.0.1";  // A numeric IPv4 or IPv6 address, or "localhost" (127.0.0.1).
  int port = 0;                    // 0: any free one, see Listener::port().
  bool allow_non_loopback = false;
  bool bind = true;              // false: no port; every connection comes through HandOver.
  size_t worker_threads = 4;     // 1 to 256.
  size_t max_connections = 256;  // At least 1. A new one beyond it replaces the idlest.
  int max_requests_per_connection = 1000;
  HeadLimits limits;  // max_body_bytes bounds what a connection buffers.
  absl::Duration idle_timeout = absl::Seconds(1);    // Between requests of a connection.
  absl::Duration head_timeout = absl::Seconds(2);    // From accept or first byte to the empty line.
  absl::Duration body_timeout = absl::Seconds(10);   // From there to the last byte of the body.
  absl::Duration write_timeout = absl::Seconds(10);  // For a whole answer.
  absl::Duration linger_timeout = absl::Milliseconds(500);  // For the client to read the last one.
};

class Listener {
 public:
  // Binds, listens and serves. INVALID_ARGUMENT: a host that is no address, a port or a limit out
  // of range. FAILED_PRECONDITION: not loopback and not allowed. UNAVAILABLE: the address is in use
  // or not of this machine (SO_REUSEPORT is off: two servers never share a port unnoticed).
  static absl::StatusOr<std::unique_ptr<Listener>> Start(Router router,
                                                         const ListenerOptions& options);
  // Stops with no grace.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int port() const;             // 0 without `bind`.
  std::string address() const;  // "127.0.0.1:9090", "[::1]:9090"

  // Serves a connected stream socket that was accepted elsewhere, e.g. on a unix socket; owns it
  // from here on, and makes it non-blocking. Its peer is called "unix".
  void HandOver(int socket);

  // Requests answered without a handler: malformed, too large, too slow.
  uint64_t refused() const;

  // Accepts nothing new, lets requests under way finish for `grace`, closes the rest. Returns
  // within grace + 1 s. DEADLINE_EXCEEDED: a handler was still running; then nothing it uses may be
  // destroyed, so exit the process. Idempotent.
  absl::Status Stop(absl::Duration grace);

 private:
  class Impl;
  explicit Listener(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_LISTENER_H_
