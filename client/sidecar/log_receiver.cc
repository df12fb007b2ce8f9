#include "client/sidecar/log_receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/sidecar/access_log.h"

namespace credbroker::sidecar {
namespace {

constexpr int kReceiveBuffer = 4 << 20;
constexpr int kBurst = 256;

absl::Status SystemError(absl::string_view what, absl::string_view where) {
  return absl::UnavailableError(absl::StrCat(what, " ", where, ": ", std::strerror(errno)));
}

http::FileDescriptor MakeSocket(int family) {
  http::FileDescriptor fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // A burst of requests ends in a burst of lines.
  if (fd.valid()) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  return fd;
}

// Removes the file of a dead receiver; leaves everything else alone.
absl::Status ClearStale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : SystemError("cannot look at", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " exists and is not a socket; move it away or choose another path"));
  }
  const http::FileDescriptor probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another process receives on ", path, "; stop it first"));
  }
  if (errno != ECONNREFUSED) return SystemError("cannot tell whether somebody receives on", path);
  if (::unlink(path.c_str()) != 0) return SystemError("cannot remove the old socket", path);
  return absl::OkStatus();
}

}  // namespace

LogReceiver::LogReceiver(Take take)
    : take_(std::move(take)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

absl::StatusOr<std::unique_ptr<LogReceiver>> LogReceiver::Start(const pb::AccessLog& config,
                                                                Take take) {
  std::unique_ptr<LogReceiver> receiver(new LogReceiver(std::move(take)));
  if (config.has_unix_socket()) {
    if (absl::Status status = receiver->OpenUnix(config.unix_socket()); !status.ok()) return status;
  }
  if (!config.udp().empty()) {
    if (absl::Status status = receiver->OpenUdp(config.udp()); !status.ok()) return status;
  }
  receiver->thread_ = std::thread([raw = receiver.get()] { raw->Run(); });
  return receiver;
}

absl::Status LogReceiver::OpenUnix(const pb::UnixSocket& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.path().size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError("the path of a socket has at most 107 bytes");
  }
  std::memcpy(address.sun_path, socket.path().data(), socket.path().size());
  if (absl::Status status = ClearStale(socket.path(), address); !status.ok()) return status;
  const auto mode = static_cast<mode_t>(std::strtoul(socket.mode().c_str(), nullptr, 8));
  unix_ = MakeSocket(AF_UNIX);
  const int on = 1;
  if (!unix_.valid() || ::fchmod(unix_.get(), mode) != 0 ||
      ::setsockopt(unix_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ::bind(unix_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return SystemError("cannot receive on", socket.path());
  }
  path_ = socket.path();
  if (::chmod(path_.c_str(), mode) != 0) return SystemError("cannot set the mode of", path_);
  uids_.assign(socket.admitted_uids().begin(), socket.admitted_uids().end());
  uids_.push_back(0);
  uids_.push_back(::geteuid());
  return absl::OkStatus();
}

absl::Status LogReceiver::OpenUdp(const std::string& text) {
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port)) {
    return absl::InvalidArgumentError("access_log.udp: write host:port");
  }
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (text.substr(0, colon) == "[::1]") {
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    size = sizeof v6;
  } else if (::inet_pton(AF_INET, text.substr(0, colon).c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    size = sizeof v4;
  } else {
    return absl::InvalidArgumentError("access_log.udp: write a loopback address and a port");
  }
  udp_ = MakeSocket(storage.ss_family);
  if (!udp_.valid() || ::bind(udp_.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
      ::getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return SystemError("cannot receive on", text);
  }
  udp_port_ = ntohs(storage.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
  return absl::OkStatus();
}

void LogReceiver::Stop() {
  if (stopped_.exchange(true)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  if (!path_.empty()) ::unlink(path_.c_str());
}

void LogReceiver::Run() {
  std::vector<char> buffer(kMaxDatagramBytes + 1);
  while (!stopped_.load()) {
    pollfd ready[] = {{wake_.get(), POLLIN, 0}, {unix_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}};
    if (::poll(ready, 3, -1) < 0 && errno != EINTR) return;
    if (ready[1].revents != 0) Drain(unix_.get(), true, buffer);
    if (ready[2].revents != 0) Drain(udp_.get(), false, buffer);
  }
}

void LogReceiver::Drain(int fd, bool check_sender, std::vector<char>& buffer) {
  for (int i = 0; i < kBurst; ++i) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return;
    if (check_sender) {
      const cmsghdr* header = CMSG_FIRSTHDR(&message);
      ucred sender{};
      if (header != nullptr && header->cmsg_type == SCM_CREDENTIALS) {
        std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
      } else {
        sender.uid = static_cast<uid_t>(-1);
      }
      if (std::find(uids_.begin(), uids_.end(), sender.uid) == uids_.end()) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
    }
    take_(absl::string_view(buffer.data(), static_cast<size_t>(got)));
  }
}

}  // namespace credbroker::sidecar
