#include "server/http/event_loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "server/obs/log.h"

namespace credbroker::http {
namespace {

constexpr size_t kReadBytes = 16 * 1024;
constexpr size_t kMaxDiscardedBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kAcceptPause{100};

std::chrono::nanoseconds Chrono(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

std::string NumericAddress(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.ss_family == AF_INET) {
    bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  } else if (address.ss_family == AF_INET6) {
    bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  }
  if (bytes == nullptr ||
      inet_ntop(address.ss_family, bytes, text.data(), text.size()) == nullptr) {
    return "unknown";
  }
  return text.data();
}

bool WouldBlock() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

Mailbox::Mailbox() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Mailbox::Post(Letter letter) {
  {
    const std::lock_guard lock(mutex_);
    letters_.push_back(std::move(letter));
  }
  Wake();
}

void Mailbox::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake already.
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
}

std::vector<Mailbox::Letter> Mailbox::TakeAll() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(letters_, {});
}

void Mailbox::HandOver(FileDescriptor socket) {
  {
    const std::lock_guard lock(mutex_);
    sockets_.push_back(std::move(socket));
  }
  Wake();
}

std::vector<FileDescriptor> Mailbox::TakeSockets() {
  const std::lock_guard lock(mutex_);
  return std::exchange(sockets_, {});
}

EventLoop::EventLoop(FileDescriptor listen, const ListenerOptions& options,
                     std::shared_ptr<Mailbox> mailbox, Submit submit)
    : listen_(std::move(listen)),
      options_(options),
      mailbox_(std::move(mailbox)),
      submit_(std::move(submit)) {}

void EventLoop::RequestStop(Clock::time_point deadline) {
  {
    const std::lock_guard lock(stop_mutex_);
    if (!stop_at_.has_value() || deadline < *stop_at_) stop_at_ = deadline;
  }
  mailbox_->Wake();
}

// True when Run is to return. The first time it is asked to stop it closes the port.
bool EventLoop::Stopping(Clock::time_point now) {
  std::optional<Clock::time_point> stop_at;
  {
    const std::lock_guard lock(stop_mutex_);
    stop_at = stop_at_;
  }
  if (!stop_at.has_value()) return false;
  listen_ = FileDescriptor();
  std::erase_if(connections_, [](const auto& entry) {
    const Phase phase = entry.second.phase;
    return phase == Phase::kHead || phase == Phase::kLingering;
  });
  for (auto& [id, connection] : connections_) {
    connection.close_after_write = true;
    if (connection.phase != Phase::kHandling) {
      connection.deadline = std::min(connection.deadline, *stop_at);
    }
  }
  return connections_.empty() || now >= *stop_at;
}

void EventLoop::Run() {
  for (;;) {
    const Clock::time_point now = Clock::now();
    if (Stopping(now)) break;
    Poll(now);
    Deliver();
    for (size_t i = 2; i < polled_.size(); ++i) {
      if (polled_[i].revents == 0) continue;
      const auto found = connections_.find(polled_ids_[i]);
      if (found == connections_.end()) continue;
      if (!OnEvent(found->first, found->second, polled_[i].revents)) connections_.erase(found);
    }
    if (polled_[1].revents != 0) Accept();
    Adopt();
    Expire(Clock::now());
  }
  all_answered_ = std::none_of(connections_.begin(), connections_.end(), [](const auto& entry) {
    return entry.second.phase == Phase::kHandling;
  });
  connections_.clear();
}

void EventLoop::Poll(Clock::time_point now) {
  polled_.clear();
  polled_ids_.assign(2, 0);
  polled_.push_back({mailbox_->fd(), POLLIN, 0});
  // A negative descriptor is ignored by poll.
  polled_.push_back({now >= accept_again_ ? listen_.get() : -1, POLLIN, 0});
  Clock::time_point next = now + std::chrono::seconds(1);
  if (now < accept_again_) next = std::min(next, accept_again_);
  for (const auto& [id, connection] : connections_) {
    if (connection.phase == Phase::kHandling) continue;
    const short events = connection.phase == Phase::kWriting ? POLLOUT : POLLIN;
    polled_.push_back({connection.socket.get(), events, 0});
    polled_ids_.push_back(id);
    next = std::min(next, connection.deadline);
  }
  {
    const std::lock_guard lock(stop_mutex_);
    if (stop_at_.has_value()) next = std::min(next, *stop_at_);
  }
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  if (poll(polled_.data(), polled_.size(), static_cast<int>(std::max<int64_t>(wait, 0))) < 0) {
    for (pollfd& entry : polled_) entry.revents = 0;
  }
}

// Makes place for one more connection; false if all of them are busy with a request.
bool EventLoop::MakeRoom() {
  if (connections_.size() < options_.max_connections) return true;
  auto idlest = connections_.end();
  for (auto it = connections_.begin(); it != connections_.end(); ++it) {
    if (it->second.phase != Phase::kHead && it->second.phase != Phase::kLingering) continue;
    if (idlest == connections_.end() || it->second.deadline < idlest->second.deadline) idlest = it;
  }
  if (idlest == connections_.end()) return false;
  connections_.erase(idlest);
  return true;
}

void EventLoop::Accept() {
  for (int i = 0; i < 64; ++i) {
    if (!MakeRoom()) {
      accept_again_ = Clock::now() + kAcceptPause;
      return;
    }
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    FileDescriptor socket(accept4(listen_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                                  SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // The port stays readable, so without a pause this thread would spin.
        obs::LogError("http", "out of descriptors or memory, pausing accept");
        accept_again_ = Clock::now() + kAcceptPause;
      }
      return;
    }
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Add(std::move(socket), NumericAddress(address));
  }
}

// Connections accepted elsewhere. One for which there is no room is closed.
void EventLoop::Adopt() {
  for (FileDescriptor& socket : mailbox_->TakeSockets()) {
    if (MakeRoom()) Add(std::move(socket), "unix");
  }
}

void EventLoop::Add(FileDescriptor socket, std::string remote_address) {
  Connection connection;
  connection.socket = std::move(socket);
  connection.remote_address = std::move(remote_address);
  connection.deadline = Clock::now() + Chrono(options_.head_timeout);
  connections_.emplace(next_id_++, std::move(connection));
}

bool EventLoop::OnEvent(uint64_t id, Connection& connection, short events) {
  if (connection.phase == Phase::kWriting) {
    return (events & (POLLERR | POLLNVAL)) == 0 && Flush(id, connection);
  }
  return OnReadable(id, connection);
}

bool EventLoop::OnReadable(uint64_t id, Connection& connection) {
  std::array<char, kReadBytes> buffer;
  const ssize_t got = recv(connection.socket.get(), buffer.data(), buffer.size(), 0);
  if (got < 0) return WouldBlock();
  if (got == 0) return false;
  const auto size = static_cast<size_t>(got);
  if (connection.phase == Phase::kLingering) {
    connection.discarded += size;
    return connection.discarded <= kMaxDiscardedBytes;
  }
  if (connection.phase == Phase::kHead && connection.in.empty() && connection.requests > 0) {
    connection.deadline = Clock::now() + Chrono(options_.head_timeout);
  }
  connection.in.append(buffer.data(), size);
  return Advance(id, connection);
}

bool EventLoop::Advance(uint64_t id, Connection& connection) {
  if (connection.phase == Phase::kHead && !AdvanceHead(connection)) return false;
  if (connection.phase == Phase::kBody && !AdvanceBody(id, connection)) return false;
  // A refusal is ready to go out; most often it fits the socket's buffer at once.
  if (connection.phase == Phase::kWriting) return Flush(id, connection);
  return true;
}

bool EventLoop::AdvanceHead(Connection& connection) {
  if (connection.in.empty()) return true;
  // Every method is upper case; TLS, HTTP/2 and noise are not worth waiting for.
  if (!absl::ascii_isupper(static_cast<unsigned char>(connection.in[0]))) {
    return Refuse(connection, {400, "malformed request line"});
  }
  const HeadScan scan = FindHeadEnd(connection.in);
  if (scan.bare_lf) return Refuse(connection, {400, "bare line feed"});
  if (scan.size == 0) {
    if (connection.in.size() <= options_.limits.max_head_bytes) return true;
    return Refuse(connection, {431, "headers too large"});
  }
  auto parsed =
      ParseRequestHead(absl::string_view(connection.in).substr(0, scan.size), options_.limits);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return Refuse(connection, *refusal);
  connection.head = std::get<RequestHead>(std::move(parsed));
  connection.in.erase(0, scan.size);
  connection.phase = Phase::kBody;
  connection.deadline = Clock::now() + Chrono(options_.body_timeout);
  if (connection.head->expects_continue && connection.in.size() < connection.head->content_length) {
    constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // Nothing else is under way, so the few bytes fit; if not, the client sends after a while.
    send(connection.socket.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL);
  }
  return true;
}

bool EventLoop::AdvanceBody(uint64_t id, Connection& connection) {
  const size_t length = connection.head->content_length;
  if (connection.in.size() < length) return true;
  Job job;
  job.head = *std::exchange(connection.head, std::nullopt);
  job.body = connection.in.substr(0, length);
  connection.in.erase(0, length);
  job.remote_address = connection.remote_address;
  ++connection.requests;
  job.last =
      connection.close_after_write || connection.requests >= options_.max_requests_per_connection;
  connection.phase = Phase::kHandling;
  submit_(id, std::move(job));
  return true;
}

bool EventLoop::Refuse(Connection& connection, const Refusal& refusal) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  obs::LogDebug("http", "request refused",
                {{"peer", connection.remote_address},
                 {"status", refusal.status},
                 {"reason", refusal.reason}});
  return StartWriting(connection, RefusalBytes(refusal), true);
}

bool EventLoop::StartWriting(Connection& connection, std::string bytes, bool close_after) {
  connection.out = std::move(bytes);
  connection.out_at = 0;
  connection.close_after_write = connection.close_after_write || close_after;
  connection.phase = Phase::kWriting;
  connection.deadline = Clock::now() + Chrono(options_.write_timeout);
  return true;
}

bool EventLoop::Flush(uint64_t id, Connection& connection) {
  while (connection.out_at < connection.out.size()) {
    const ssize_t sent =
        send(connection.socket.get(), connection.out.data() + connection.out_at,
             connection.out.size() - connection.out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return WouldBlock();
    connection.out_at += static_cast<size_t>(sent);
  }
  connection.out = std::string();
  if (connection.close_after_write) {
    // Closing with unread input would reset the connection, and the answer with it.
    shutdown(connection.socket.get(), SHUT_WR);
    connection.in = std::string();
    connection.phase = Phase::kLingering;
    connection.deadline = Clock::now() + Chrono(options_.linger_timeout);
    return true;
  }
  connection.phase = Phase::kHead;
  const bool pipelined = !connection.in.empty();
  connection.deadline =
      Clock::now() + Chrono(pipelined ? options_.head_timeout : options_.idle_timeout);
  return !pipelined || Advance(id, connection);
}

bool EventLoop::OnDeadline(Connection& connection) {
  const bool half_a_request = connection.phase == Phase::kBody ||
                              (connection.phase == Phase::kHead && !connection.in.empty());
  return half_a_request && Refuse(connection, {408, "request timeout"});
}

void EventLoop::Deliver() {
  for (Mailbox::Letter& letter : mailbox_->TakeAll()) {
    const auto found = connections_.find(letter.connection);
    if (found == connections_.end()) continue;
    Connection& connection = found->second;
    StartWriting(connection, std::move(letter.answer.bytes), !letter.answer.keep_alive);
    if (!Flush(found->first, connection)) connections_.erase(found);
  }
}

void EventLoop::Expire(Clock::time_point now) {
  for (auto it = connections_.begin(); it != connections_.end();) {
    Connection& connection = it->second;
    const bool due = connection.phase != Phase::kHandling && now >= connection.deadline;
    if (due && (!OnDeadline(connection) || !Flush(it->first, connection))) {
      it = connections_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace credbroker::http
