#include "server/rpc/unix_listener.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/obs/log.h"

namespace credbroker::rpc {
namespace {

constexpr int kBacklog = 512;

absl::Status SystemError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Removes what a dead server left at `path`; leaves everything else alone.
absl::Status ClearStale(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : SystemError("cannot look at", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " exists and is not a socket; move it away or choose another path"));
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return SystemError("cannot make a socket for", path);
  const sockaddr_un address = AddressOf(path);
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::close(fd);
  // EAGAIN: its backlog is full, so somebody listens.
  if (result == 0 || error == EAGAIN) {
    return absl::FailedPreconditionError(
        absl::StrCat("another server listens on ", path, "; stop it first"));
  }
  if (error != ECONNREFUSED) {
    errno = error;
    return SystemError("cannot tell whether a server listens on", path);
  }
  if (::unlink(path.c_str()) != 0) return SystemError("cannot remove the old socket", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Open(Options options) {
  const std::string& path = options.path;
  if (path.empty() || path[0] != '/' || path.size() >= sizeof(sockaddr_un{}.sun_path) ||
      path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("socket path '", path,
                                                   "' must be absolute and at most ",
                                                   sizeof(sockaddr_un{}.sun_path) - 1, " bytes"));
  }
  if (absl::Status status = ClearStale(path); !status.ok()) return status;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return SystemError("cannot make a socket for", path);
  // Before bind: the file never exists with wider rights than asked for. After it: the umask may
  // have taken some away.
  const sockaddr_un address = AddressOf(path);
  struct stat info {};
  if (::fchmod(fd, options.mode) != 0 ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::chmod(path.c_str(), options.mode) != 0 || ::lstat(path.c_str(), &info) != 0 ||
      ::listen(fd, kBacklog) != 0) {
    absl::Status status = SystemError("cannot listen on", path);
    ::close(fd);
    return status;
  }
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) {
    ::close(fd);
    return SystemError("cannot make an eventfd for", path);
  }
  return std::unique_ptr<UnixListener>(
      new UnixListener(std::move(options), fd, wake, info.st_dev, info.st_ino));
}

UnixListener::UnixListener(Options options, int fd, int wake, dev_t device, ino_t inode)
    : options_(std::move(options)),
      device_(device),
      inode_(inode),
      loop_(fd, wake,
            {.name = options_.path,
             .max_connections = options_.max_connections,
             .admits = [this](int connection) { return Admitted(connection); }}) {}

UnixListener::~UnixListener() { Stop(); }

void UnixListener::Start(std::function<void(int)> hand_over) { loop_.Start(std::move(hand_over)); }

void UnixListener::Stop() {
  if (!loop_.Stop()) return;
  struct stat info {};
  if (::lstat(path().c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    ::unlink(path().c_str());
  }
}

bool UnixListener::Admitted(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  const std::vector<uid_t>& uids = options_.uids;
  if (peer.uid == 0 || peer.uid == ::geteuid() ||
      std::find(uids.begin(), uids.end(), peer.uid) != uids.end()) {
    return true;
  }
  // The first one is worth a line; a flood of them is not.
  if (refused_.fetch_add(1, std::memory_order_relaxed) % 1000 == 0) {
    obs::LogWarning("rpc", "refused a connection: its user is not admitted",
                    {{"socket", path()}, {"uid", peer.uid}});
  }
  return false;
}

}  // namespace credbroker::rpc
