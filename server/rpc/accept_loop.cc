#include "server/rpc/accept_loop.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "server/obs/log.h"

namespace credbroker::rpc {
namespace {

// After a failure such as "too many open files": the connection stays in the backlog meanwhile.
constexpr int kRetryMs = 50;

}  // namespace

AcceptLoop::AcceptLoop(int fd, int wake, Options options)
    : options_(std::move(options)), fd_(fd), wake_(wake), open_(options_.max_connections) {}

AcceptLoop::~AcceptLoop() {
  Stop();
  ::close(fd_);
  ::close(wake_);
}

void AcceptLoop::Start(std::function<void(int)> hand_over) {
  hand_over_ = std::move(hand_over);
  thread_ = std::thread([this] { Accept(); });
}

bool AcceptLoop::Stop() {
  if (stopped_.exchange(true)) return false;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
  // A client that comes now is refused at once instead of waiting in a backlog nobody reads.
  ::shutdown(fd_, SHUT_RDWR);
  return true;
}

void AcceptLoop::Accept() {
  while (!stopped_.load()) {
    pollfd ready[2] = {{fd_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0 && errno != EINTR) return;
    if (ready[1].revents != 0) return;
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      obs::LogWarning("rpc", "accept failed",
                      {{"socket", options_.name}, {"error", std::strerror(errno)}});
      ::poll(&ready[1], 1, kRetryMs);
      continue;
    }
    if (Admitted(fd)) {
      hand_over_(fd);
    } else {
      ::close(fd);
    }
  }
}

bool AcceptLoop::Admitted(int fd) {
  if (options_.admits && !options_.admits(fd)) return false;
  if (open_.Add(fd)) return true;
  // The first one is worth a line; a flood of them is not.
  if (over_limit_.fetch_add(1, std::memory_order_relaxed) % 1000 == 0) {
    obs::LogWarning("rpc", "refused a connection: limits.max_connections are open",
                    {{"socket", options_.name}, {"limit", options_.max_connections}});
  }
  return false;
}

}  // namespace credbroker::rpc
