#include "server/rpc/grpc_server.h"

#include <algorithm>
#include <climits>
#include <thread>
#include <utility>

#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#ifdef CREDBROKER_REFLECTION
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#endif

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "server/obs/log.h"
#include "server/rpc/accept_loop.h"
#include "server/rpc/tag.h"
#include "server/rpc/tcp_listener.h"
#include "server/rpc/wire.h"

namespace credbroker::rpc {
namespace {

int Millis(absl::Duration duration) {
  const int64_t ms = absl::ToInt64Milliseconds(duration);
  return ms > INT_MAX ? INT_MAX : static_cast<int>(ms);
}

// A linked plugin adds itself to every server; this takes it away again where it is not wanted.
class NoPlugins final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
  }
};

void ApplyLimits(const TransportLimits& limits, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(limits.max_receive_bytes);
  builder.SetMaxSendMessageSize(limits.max_send_bytes);
  builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Millis(limits.max_idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Millis(limits.max_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Millis(limits.age_grace));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(limits.keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(limits.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Millis(limits.min_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, limits.max_ping_strikes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Millis(limits.handshake_timeout));
  builder.SetResourceQuota(grpc::ResourceQuota("credbroker").Resize(limits.memory_bytes));
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, limits.max_read_bytes);
}

class PassedTag final : public Tag {
 public:
  void Proceed(bool) override { passed.Notify(); }
  absl::Notification passed;
};

// Waits until the loop of `queue` has seen everything that is in it by now.
void PassThrough(grpc::ServerCompletionQueue& queue) {
  PassedTag tag;
  grpc::Alarm alarm;
  // Over already, so that no timer is waited for: those of gRPC come late where the wall clock is
  // set back.
  alarm.Set(&queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), &tag);
  tag.passed.WaitForNotification();
}

}  // namespace

absl::Status CheckPlaintextAddress(absl::string_view address, bool plaintext) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", address, "' is not an address: write host:port, port 0 to 65535"));
  }
  if (!plaintext) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", address,
        "' would be served in plain text: use a unix socket, or allow plain text explicitly"));
  }
  const absl::string_view host = address.substr(0, colon);
  // Numbers only: what a name resolves to may change.
  const bool v4 = host.substr(0, 4) == "127." &&
                  host.find_first_not_of("0123456789.") == absl::string_view::npos;
  if (!v4 && host != "[::1]") {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", address,
        "' is not a loopback address; plain text is served on 127.x.x.x and [::1] only"));
  }
  return absl::OkStatus();
}

// One principal: a grpc::Server with its queues, threads, bound services and guard.
class GrpcServer::Listener {
 public:
  Listener(const Options& options, std::string principal, bool tcp)
      : guard_(GuardOptions(options.guard, std::move(principal), tcp)) {}
  ~Listener() { Stop(gpr_now(GPR_CLOCK_MONOTONIC)); }

  absl::Status StartUnix(const Options& options, const Endpoint& endpoint,
                         obs::GrpcServerMetrics& metrics) {
    UnixListener::Options socket = *endpoint.unix_socket;
    socket.max_connections = options.max_connections;
    auto opened = UnixListener::Open(socket);
    if (!opened.ok()) return opened.status();
    unix_ = *std::move(opened);
    target_ = absl::StrCat("unix:", socket.path);
    absl::Status status = Build(options, options.limits, endpoint.services, metrics);
    if (status.ok()) unix_->Start([this](int fd) { HandOver(fd); });
    return status;
  }

  absl::Status StartTcp(const Options& options, const Endpoint& endpoint,
                        obs::GrpcServerMetrics& metrics) {
    const std::string& address = endpoint.tcp_address;
    auto opened = TcpListener::Open(address, options.max_connections);
    if (!opened.ok()) return opened.status();
    tcp_ = std::move(opened->loop);
    target_ =
        absl::StrCat(absl::string_view(address).substr(0, address.rfind(':')), ":", opened->port);
    TransportLimits limits = options.limits;
    // Clients behind a balancer learn of new servers only when their connection ends.
    if (limits.max_age == absl::InfiniteDuration()) limits.max_age = absl::Hours(1);
    absl::Status status = Build(options, limits, endpoint.services, metrics);
    if (status.ok()) tcp_->Start([this](int fd) { HandOver(fd); });
    return status;
  }

  // Stops accepting, so that no connection comes between the servers' ends.
  void StopAccepting() {
    if (unix_ != nullptr) unix_->Stop();
    if (tcp_ != nullptr) tcp_->Stop();
  }
  // `deadline` on the monotonic clock: a step of the wall clock neither cuts nor prolongs a stop.
  void Stop(gpr_timespec deadline) {
    StopAccepting();
    // Calls need the loops to end, so the queues go last.
    if (server_ != nullptr) {
      absl::Notification ended;
      std::thread idle([&] { CutIdleConnections(ended); });
      server_->Shutdown(deadline);
      ended.Notify();
      idle.join();
      AwaitCalls();
    }
    for (auto& queue : queues_) queue->Shutdown();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    if (server_ == nullptr) {
      // Never built or its loops never ran: nobody else empties the queues.
      for (auto& queue : queues_) RunLoop(*queue);
    }
    queues_.clear();
    server_.reset();
  }

  const std::string& target() const { return target_; }
  const Guard& guard() const { return guard_; }
  uint64_t refused() const { return unix_ == nullptr ? 0 : unix_->refused(); }
  uint64_t over_limit() const {
    return unix_ == nullptr ? tcp_->over_limit() : unix_->over_limit();
  }

 private:
  // gRPC waits for every connection to close, and some clients keep an idle one after they were
  // told to go. Once no call has been in flight for a while, nobody is served by waiting for them.
  void CutIdleConnections(const absl::Notification& ended) {
    constexpr absl::Duration kStep = absl::Milliseconds(20);
    constexpr int kQuietSteps = 10;
    for (int quiet = 0; quiet < kQuietSteps;) {
      if (ended.WaitForNotificationWithTimeout(kStep)) return;
      quiet = guard_.in_flight() == 0 ? quiet + 1 : 0;
    }
    grpc_server_cancel_all_calls(server_->c_server());
  }

  // That every connection is closed does not mean that every call is over: what came of it may
  // still wait in a queue for its loop, which answers by sending an end or setting an alarm. gRPC
  // aborts where that is tried on a queue that was shut down.
  void AwaitCalls() {
    constexpr absl::Duration kStep = absl::Milliseconds(1);
    // From here on every call that ever came is known to the guard, or was refused by it.
    for (auto& queue : queues_) PassThrough(*queue);
    while (guard_.in_flight() > 0) absl::SleepFor(kStep);
  }

  static Guard::Options GuardOptions(Guard::Options options, std::string principal, bool tcp) {
    options.principal = std::move(principal);
    options.count_peers = tcp;
    return options;
  }

  void HandOver(int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor_->HandleNewConnection(&connection);
  }

  absl::Status Build(const Options& options, const TransportLimits& limits,
                     const std::vector<RpcService*>& services, obs::GrpcServerMetrics& metrics) {
    grpc::ServerBuilder builder;
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    ApplyLimits(limits, builder);
    if (!options.reflection) builder.SetOption(std::make_unique<NoPlugins>());
    for (RpcService* service : services) {
      bound_.push_back(service->Bind());
      builder.RegisterService(&bound_.back()->service());
    }
    const unsigned cores = std::thread::hardware_concurrency();
    const int loops =
        options.loop_threads > 0 ? options.loop_threads : std::max(1, static_cast<int>(cores) / 2);
    for (int i = 0; i < loops; ++i) queues_.push_back(builder.AddCompletionQueue());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::UnavailableError("gRPC did not start");
    for (auto& queue : queues_) {
      for (auto& service : bound_) service->Serve(guard_, metrics, *queue);
      threads_.emplace_back([q = queue.get()] { RunLoop(*q); });
    }
    return absl::OkStatus();
  }

  Guard guard_;
  std::string target_;
  // One of them.
  std::unique_ptr<UnixListener> unix_;
  std::unique_ptr<AcceptLoop> tcp_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::vector<std::unique_ptr<BoundService>> bound_;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::thread> threads_;
};

GrpcServer::GrpcServer(std::vector<RpcService*> services,
                       std::vector<std::unique_ptr<Listener>> listeners)
    : services_(std::move(services)), listeners_(std::move(listeners)) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const Options& options,
                                                              obs::GrpcServerMetrics& metrics) {
  InstallParseLog();
  // The packaged abseil looks for cycles in the order of locks, a check for debugging that every
  // lock of gRPC pays for: a tenth of a call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#ifdef CREDBROKER_REFLECTION
  if (options.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
#else
  if (options.reflection) {
    return absl::InvalidArgumentError("this build has no reflection; turn it off");
  }
#endif
  if (options.endpoints.empty()) {
    return absl::InvalidArgumentError("no listener: name a unix socket or a loopback address");
  }
  std::vector<RpcService*> services;
  for (const Endpoint& endpoint : options.endpoints) {
    for (RpcService* service : endpoint.services) {
      if (std::find(services.begin(), services.end(), service) == services.end()) {
        services.push_back(service);
      }
    }
    if (endpoint.unix_socket.has_value()) continue;
    absl::Status status = CheckPlaintextAddress(endpoint.tcp_address, endpoint.plaintext);
    if (!status.ok()) return status;
  }
  std::vector<std::unique_ptr<Listener>> listeners;
  listeners.reserve(options.endpoints.size());
  for (const Endpoint& endpoint : options.endpoints) {
    const bool tcp = !endpoint.unix_socket.has_value();
    listeners.push_back(std::make_unique<Listener>(
        options, tcp ? "loopback" : absl::StrCat("unix:", endpoint.unix_socket->path), tcp));
    absl::Status status = tcp ? listeners.back()->StartTcp(options, endpoint, metrics)
                              : listeners.back()->StartUnix(options, endpoint, metrics);
    if (!status.ok()) return status;
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(services), std::move(listeners)));
}

GrpcServer::~GrpcServer() { Stop(absl::ZeroDuration()); }

void GrpcServer::Stop(absl::Duration patience) {
  if (stopped_) return;
  stopped_ = true;
  for (auto& listener : listeners_) listener->StopAccepting();
  for (RpcService* service : services_) service->StartDraining();
  const gpr_timespec deadline =
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                   gpr_time_from_nanos(absl::ToInt64Nanoseconds(patience), GPR_TIMESPAN));
  for (auto& listener : listeners_) listener->Stop(deadline);
}

std::vector<std::string> GrpcServer::targets() const {
  std::vector<std::string> targets;
  targets.reserve(listeners_.size());
  for (const auto& listener : listeners_) targets.push_back(listener->target());
  return targets;
}

std::vector<const Guard*> GrpcServer::guards() const {
  std::vector<const Guard*> guards;
  guards.reserve(listeners_.size());
  for (const auto& listener : listeners_) guards.push_back(&listener->guard());
  return guards;
}

uint64_t GrpcServer::refused_connections() const {
  uint64_t refused = 0;
  for (const auto& listener : listeners_) refused += listener->refused();
  return refused;
}

uint64_t GrpcServer::connections_over_limit() const {
  uint64_t refused = 0;
  for (const auto& listener : listeners_) refused += listener->over_limit();
  return refused;
}

}  // namespace credbroker::rpc
