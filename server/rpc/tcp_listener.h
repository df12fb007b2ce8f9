// TcpListener: a TCP port with an accept loop of its own, which bounds the connections.
#ifndef CREDBROKER_SERVER_RPC_TCP_LISTENER_H_
#define CREDBROKER_SERVER_RPC_TCP_LISTENER_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/rpc/accept_loop.h"

namespace credbroker::rpc {

struct TcpListener {
  int port = 0;  // that was bound
  std::unique_ptr<AcceptLoop> loop;

  // Binds and listens on "127.0.0.1:7300" or "[::1]:0" (port 0: any that is free); no names.
  // INVALID_ARGUMENT: no such address; UNAVAILABLE: the system refused.
  static absl::StatusOr<TcpListener> Open(absl::string_view address, size_t max_connections);
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_TCP_LISTENER_H_
