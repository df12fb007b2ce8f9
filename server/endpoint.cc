#include "server/endpoint.h"

#include <sys/stat.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace credbroker {
namespace {

absl::StatusOr<mode_t> SocketMode(const config::v1::UnixListener& listener) {
  if (listener.mode().empty()) return listener.admitted_uids().empty() ? 0600 : 0660;
  char* end = nullptr;
  const unsigned long mode = std::strtoul(listener.mode().c_str(), &end, 8);
  if (*end != '\0' || mode > 0777) {
    return absl::InvalidArgumentError(
        absl::StrCat("mode '", listener.mode(), "' must be octal, e.g. 0660"));
  }
  return static_cast<mode_t>(mode);
}

}  // namespace

absl::StatusOr<rpc::GrpcServer::Endpoint> ToEndpoint(const config::v1::Listener& listener,
                                                     std::vector<rpc::RpcService*> services) {
  rpc::GrpcServer::Endpoint endpoint;
  endpoint.services = std::move(services);
  if (listener.has_tcp()) {
    endpoint.tcp_address = listener.tcp().address();
    endpoint.plaintext = listener.tcp().plaintext();
    return endpoint;
  }
  const config::v1::UnixListener& socket = listener.unix_socket();
  absl::StatusOr<mode_t> mode = SocketMode(socket);
  if (!mode.ok()) return mode.status();
  endpoint.unix_socket = rpc::UnixListener::Options{
      .path = socket.path(),
      .mode = *mode,
      .uids = {socket.admitted_uids().begin(), socket.admitted_uids().end()}};
  return endpoint;
}

}  // namespace credbroker
