#include "server/http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/http/event_loop.h"
#include "server/http/exchange.h"
#include "server/http/file_descriptor.h"
#include "server/http/worker_pool.h"

namespace credbroker::http {
namespace {

constexpr int kBacklog = 128;
// For handlers to return after the deadline; Stop promises grace + 1 s in all.
constexpr absl::Duration kReturnPatience = absl::Milliseconds(800);

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  bool loopback = false;
};

absl::StatusOr<Address> ParseAddress(const std::string& host, int port) {
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("HTTP port ", port, " is not in 0..65535"));
  }
  Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  const std::string numeric = host == "localhost" ? "127.0.0.1" : host;
  if (inet_pton(AF_INET, numeric.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof v4;
    address.loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
  } else if (inet_pton(AF_INET6, numeric.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof v6;
    address.loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("HTTP host \"", host, "\" is not a numeric address"));
  }
  return address;
}

absl::Status CheckOptions(const ListenerOptions& options) {
  if (options.worker_threads < 1 || options.worker_threads > 256) {
    return absl::InvalidArgumentError("HTTP worker threads must be 1 to 256");
  }
  if (options.max_connections < 1 || options.max_requests_per_connection < 1) {
    return absl::InvalidArgumentError("HTTP connection limits must be at least 1");
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> Bind(const ListenerOptions& options) {
  const absl::StatusOr<Address> address = ParseAddress(options.host, options.port);
  if (!address.ok()) return address.status();
  if (!address->loopback && !options.allow_non_loopback) {
    return absl::FailedPreconditionError(
        absl::StrCat("the HTTP listener is plain text; ", options.host,
                     " is not a loopback address, and serving there was not allowed explicitly"));
  }
  FileDescriptor fd(
      socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  // Not SO_REUSEPORT: a second server must fail instead of taking half of the requests.
  if (fd.valid()) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!fd.valid() ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.host, " port ",
                                               options.port, ": ", std::strerror(errno)));
  }
  return fd;
}

int BoundPort(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

class Listener::Impl {
 public:
  Impl(FileDescriptor listen, Router router, const ListenerOptions& options)
      : host_(options.host == "localhost" ? "127.0.0.1" : options.host),
        port_(listen.valid() ? BoundPort(listen.get()) : 0),
        workers_(options.worker_threads),
        loop_(std::move(listen), options, mailbox_,
              // A job owns what it uses, so that a handler that never returns touches no freed
              // memory.
              [this, exchange = std::make_shared<const Exchange>(
                         std::move(router), options.limits.max_body_bytes)](uint64_t connection,
                                                                            EventLoop::Job job) {
                workers_.Submit([exchange, mailbox = mailbox_, connection, job = std::move(job)] {
                  mailbox->Post({connection,
                                 exchange->Run(job.head, job.body, job.remote_address, job.last)});
                });
              }),
        thread_([this] { loop_.Run(); }) {}

  absl::Status Stop(absl::Duration grace) {
    const std::lock_guard lock(stop_mutex_);
    if (!thread_.joinable()) return stopped_;
    const auto deadline = EventLoop::Clock::now() + absl::ToChronoNanoseconds(grace);
    loop_.RequestStop(deadline);
    thread_.join();
    // Where every request was answered no handler runs, and its thread only needs a core to leave
    // on: others may have them all, so there is no saying when.
    if (!workers_.Shutdown(loop_.all_answered() ? absl::InfiniteDuration() : kReturnPatience)) {
      stopped_ = absl::DeadlineExceededError("an HTTP handler did not return");
    }
    return stopped_;
  }

  void HandOver(int socket) {
    fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
    mailbox_->HandOver(FileDescriptor(socket));
  }

  uint64_t refused() const { return loop_.refused(); }

  int port() const { return port_; }
  std::string address() const {
    const bool is_v6 = host_.find(':') != std::string::npos;
    return is_v6 ? absl::StrCat("[", host_, "]:", port_) : absl::StrCat(host_, ":", port_);
  }

 private:
  const std::string host_;
  const int port_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  WorkerPool workers_;
  EventLoop loop_;
  std::mutex stop_mutex_;  // Guards stopped_, and Stop as a whole.
  absl::Status stopped_;
  std::thread thread_;  // Last: it uses all of the above.
};

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(Router router,
                                                          const ListenerOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<FileDescriptor> listen =
      options.bind ? Bind(options) : absl::StatusOr<FileDescriptor>(FileDescriptor());
  if (!listen.ok()) return listen.status();
  auto impl = std::make_unique<Impl>(*std::move(listen), std::move(router), options);
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Listener::~Listener() { impl_->Stop(absl::ZeroDuration()).IgnoreError(); }

int Listener::port() const { return impl_->port(); }

void Listener::HandOver(int socket) { impl_->HandOver(socket); }

uint64_t Listener::refused() const { return impl_->refused(); }

std::string Listener::address() const { return impl_->address(); }

absl::Status Listener::Stop(absl::Duration grace) { return impl_->Stop(grace); }

}  // namespace credbroker::http
