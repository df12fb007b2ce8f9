#include "server/rpc/tcp_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace credbroker::rpc {
namespace {

constexpr int kBacklog = 512;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

bool Parse(absl::string_view text, Address* out) {
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return false;
  }
  absl::string_view host = text.substr(0, colon);
  const bool v6 = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (v6) {
    auto* to = reinterpret_cast<sockaddr_in6*>(&out->storage);
    to->sin6_family = AF_INET6;
    to->sin6_port = htons(static_cast<uint16_t>(port));
    out->size = sizeof(*to);
    return ::inet_pton(AF_INET6, std::string(host).c_str(), &to->sin6_addr) == 1;
  }
  auto* to = reinterpret_cast<sockaddr_in*>(&out->storage);
  to->sin_family = AF_INET;
  to->sin_port = htons(static_cast<uint16_t>(port));
  out->size = sizeof(*to);
  return ::inet_pton(AF_INET, std::string(host).c_str(), &to->sin_addr) == 1;
}

int PortOf(const Address& address) {
  return ntohs(address.storage.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

absl::Status SystemError(absl::string_view address) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ",
                                             std::strerror(errno), "; is the port in use?"));
}

}  // namespace

absl::StatusOr<TcpListener> TcpListener::Open(absl::string_view text, size_t max_connections) {
  Address address;
  if (!Parse(text, &address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not an address: write numbers, like 127.0.0.1:7300"));
  }
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return SystemError(text);
  absl::Cleanup closer = [fd] { ::close(fd); };
  // Without it a restart would wait for the connections of before; never a port that is in use.
  const int on = 1;
  // Connections inherit it. gRPC reads on without looking at anything else while there is more in
  // the socket than it takes at once (TransportLimits::max_read_bytes), and nobody handles what it
  // read meanwhile: 60,000 streams that were reset on one connection took 600 MB. A sender that
  // fills the socket again during the read, as on loopback, still makes it read on.
  const int receive_buffer = 32 * 1024;  // the kernel doubles it for its own overhead
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer)) != 0 ||
      ::bind(fd, address.get(), address.size) != 0 || ::listen(fd, kBacklog) != 0 ||
      ::getsockname(fd, address.get(), &address.size) != 0) {
    return SystemError(text);
  }
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) return SystemError(text);
  std::move(closer).Cancel();
  TcpListener listener;
  listener.port = PortOf(address);
  AcceptLoop::Options options;
  options.name = std::string(text);
  options.max_connections = max_connections;
  options.admits = [](int connection) {
    // Small messages both ways: none may wait for another's acknowledgement.
    const int yes = 1;
    return ::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0;
  };
  listener.loop = std::make_unique<AcceptLoop>(fd, wake, std::move(options));
  return listener;
}

}  // namespace credbroker::rpc
