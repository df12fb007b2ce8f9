#include "client/sidecar/sidecar.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/sidecar/access_log.h"
#include "client/sidecar/pages.h"
#include "client/sidecar/settings.h"
#include "server/http/health.h"
#include "server/obs/log.h"

namespace credbroker::sidecar {
namespace {

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr absl::Duration kCloseTimeout = absl::Seconds(2);
constexpr absl::Duration kStopMargin = absl::Seconds(6);

// From the kernel, some hundreds at a time: one system call an id would be most of its cost.
uint64_t RandomBits() {
  thread_local std::array<uint64_t, 256> pool;
  thread_local size_t left = 0;
  if (left == 0) {
    while (::getrandom(pool.data(), sizeof pool, 0) != static_cast<ssize_t>(sizeof pool)) {
    }
    left = pool.size();
  }
  // A used one does not stay in memory.
  return std::exchange(pool[--left], 0);
}

std::vector<std::string> NamesOf(const RouteTable& routes) {
  std::vector<std::string> names;
  for (const Route& route : routes.routes()) names.push_back(route.rules.name());
  return names;
}

rpc::UnixListener::Options ToSocket(const pb::UnixSocket& socket) {
  return {.path = socket.path(),
          .mode = static_cast<mode_t>(std::strtoul(socket.mode().c_str(), nullptr, 8)),
          .uids = {socket.admitted_uids().begin(), socket.admitted_uids().end()}};
}

}  // namespace

Sidecar::Sidecar(pb::Config config)
    : config_(std::move(config)),
      routes_(config_),
      metrics_(NamesOf(routes_), GrpcService::Methods()) {}

Sidecar::~Sidecar() { Stop(); }

absl::StatusOr<std::unique_ptr<Sidecar>> Sidecar::Start(pb::Config config) {
  std::unique_ptr<Sidecar> sidecar(new Sidecar(std::move(config)));
  for (absl::Status (Sidecar::*step)() :
       {&Sidecar::StartSession, &Sidecar::StartGrpc, &Sidecar::StartHttp, &Sidecar::StartLog}) {
    if (absl::Status status = (sidecar.get()->*step)(); !status.ok()) return status;
  }
  sidecar->ticker_ = std::thread([raw = sidecar.get()] { raw->RunTicker(); });
  return sidecar;
}

absl::Status Sidecar::StartSession() {
  auto source = SessionSource::Open(config_, routes_);
  if (!source.ok()) return source.status();
  source_ = *std::move(source);
  Desk::Options options;
  options.clock = client::SystemClock();
  options.leases.max_leases = config_.limits().max_leases();
  options.leases.ended_retention = ToDuration(config_.limits().ended_retention());
  options.leases.random = &RandomBits;
  desk_ = std::make_unique<Desk>(*source_, metrics_, std::move(options));
  metrics_.SetGauges([this] { return ReadGauges(); });
  // Away from the broker it still serves by the routes' modes; but a proxy that starts should wait
  // for the first connection.
  health_.AddCheck("session", [this] {
    const client::ConnectionState state = source_->state();
    if (state == client::ConnectionState::kConnected ||
        state == client::ConnectionState::kReconnecting) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(
        absl::StrCat("the session is ", client::ConnectionStateName(state)));
  });
  return absl::OkStatus();
}

absl::Status Sidecar::StartGrpc() {
  if (config_.grpc().empty()) return absl::OkStatus();
  service_ = std::make_unique<GrpcService>(*desk_, routes_.defaults());
  rpc::GrpcServer::Options options;
  options.loop_threads = static_cast<int>(config_.limits().grpc_threads());
  for (const pb::Listener& listener : config_.grpc()) {
    rpc::GrpcServer::Endpoint endpoint;
    endpoint.services = {service_.get()};
    if (listener.has_unix_socket()) {
      endpoint.unix_socket = ToSocket(listener.unix_socket());
    } else {
      endpoint.tcp_address = listener.loopback();
      endpoint.plaintext = true;
    }
    options.endpoints.push_back(std::move(endpoint));
  }
  auto server = rpc::GrpcServer::Start(options, metrics_.grpc());
  if (!server.ok()) return server.status();
  grpc_ = *std::move(server);
  for (const std::string& target : grpc_->targets()) {
    obs::LogInfo("sidecar", "gRPC is served", {{"address", target}});
  }
  return absl::OkStatus();
}

http::Router Sidecar::MakeRouter() {
  http::Router router;
  AddPages(router, {.answers = &config_.forward_auth(),
                    .routes = &routes_,
                    .desk = desk_.get(),
                    .metrics = &metrics_});
  http::AddHealthPages(router, health_);
  router.Handle("GET", "/metrics", [this](const http::Request&) {
    http::Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = metrics_.Text();
    return response;
  });
  return router;
}

absl::StatusOr<Sidecar::HttpPort> Sidecar::OpenPort(const pb::Listener& listener,
                                                    http::Router router) {
  http::ListenerOptions options;
  options.worker_threads = config_.limits().http_threads();
  options.max_connections = config_.limits().max_connections();
  // Proxies keep connections, and pass on all headers of their clients.
  options.idle_timeout = absl::Seconds(75);
  options.max_requests_per_connection = 1'000'000;
  options.limits.max_head_bytes = 64 * 1024;
  options.limits.max_target_bytes = 8'000;
  options.limits.max_headers = 128;
  options.limits.max_body_bytes = 1 << 20;
  HttpPort port;
  if (listener.has_unix_socket()) {
    auto socket = rpc::UnixListener::Open(ToSocket(listener.unix_socket()));
    if (!socket.ok()) return socket.status();
    port.socket = *std::move(socket);
    options.bind = false;
  } else {
    const std::string& address = listener.loopback();
    const size_t colon = address.rfind(':');
    if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &options.port)) {
      return absl::InvalidArgumentError(absl::StrCat("'", address, "': write host:port"));
    }
    options.host = address.substr(0, colon);
    if (options.host == "[::1]") options.host = "::1";
  }
  auto started = http::Listener::Start(std::move(router), options);
  if (!started.ok()) return started.status();
  port.listener = *std::move(started);
  if (port.socket != nullptr) {
    port.socket->Start([raw = port.listener.get()](int fd) { raw->HandOver(fd); });
  }
  return port;
}

absl::Status Sidecar::StartHttp() {
  for (const pb::Listener& listener : config_.http()) {
    absl::StatusOr<HttpPort> port = OpenPort(listener, MakeRouter());
    if (!port.ok()) return port.status();
    http_.push_back(*std::move(port));
  }
  for (const std::string& address : http_addresses()) {
    obs::LogInfo("sidecar", "HTTP is served", {{"address", address}});
  }
  return absl::OkStatus();
}

absl::Status Sidecar::StartLog() {
  if (!config_.has_access_log()) return absl::OkStatus();
  auto log = LogReceiver::Start(config_.access_log(),
                                [this](absl::string_view datagram) { TakeLine(datagram); });
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  obs::LogInfo(
      "sidecar", "access logs are received",
      {{"unix", config_.access_log().unix_socket().path()}, {"udp_port", log_->udp_port()}});
  return absl::OkStatus();
}

void Sidecar::TakeLine(absl::string_view datagram) {
  absl::StatusOr<LoggedCall> call = ParseAccessLog(datagram);
  if (!call.ok()) {
    metrics_.reported(Face::kLog, Reported::kMalformed).Increment();
    obs::LogDebug("sidecar", "a log line is not understood", {{"error", call.status()}});
    return;
  }
  switch (call->kind) {
    case LoggedCall::Kind::kNoLease:
      metrics_.reported(Face::kLog, Reported::kEmpty).Increment();
      return;
    case LoggedCall::Kind::kUnused:
      desk_->Release(call->item.lease_id());
      return;
    case LoggedCall::Kind::kReport:
      desk_->Report(Face::kLog, {std::move(call->item)}, [](const api::ReportResponse&) {});
      return;
  }
}

void Sidecar::RunTicker() {
  auto next = std::chrono::steady_clock::now();
  while (true) {
    next = std::max(next + kTick, std::chrono::steady_clock::now());
    {
      client::MutexLock lock(mutex_);
      while (!stopping_ && changed_.WaitUntil(mutex_, next)) {
      }
      if (stopping_) return;
    }
    desk_->Tick();
  }
}

Gauges Sidecar::ReadGauges() const {
  Gauges gauges;
  source_->Fill(&gauges);
  gauges.live_leases = desk_->live();
  for (const HttpPort& port : http_) gauges.http_refused += port.listener->refused();
  if (log_ != nullptr) gauges.log_dropped = log_->dropped();
  return gauges;
}

std::vector<std::string> Sidecar::grpc_targets() const {
  return grpc_ == nullptr ? std::vector<std::string>() : grpc_->targets();
}

std::vector<std::string> Sidecar::http_addresses() const {
  std::vector<std::string> addresses;
  addresses.reserve(http_.size());
  for (const HttpPort& port : http_) {
    addresses.push_back(port.socket != nullptr ? absl::StrCat("unix:", port.socket->path())
                                               : port.listener->address());
  }
  return addresses;
}

absl::Duration Sidecar::LongestStop() const {
  return ToDuration(config_.limits().drain_timeout()) + kCloseTimeout + kStopMargin;
}

void Sidecar::Stop() {
  if (std::exchange(stopped_, true)) return;
  health_.StartDraining();
  if (desk_ != nullptr) {
    desk_->StartDraining();
    const auto deadline = std::chrono::steady_clock::now() +
                          absl::ToChronoNanoseconds(ToDuration(config_.limits().drain_timeout()));
    // Calls under way are reported meanwhile.
    while (desk_->live() > 0 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  for (HttpPort& port : http_) {
    if (port.socket != nullptr) port.socket->Stop();
  }
  if (log_ != nullptr) log_->Stop();
  if (desk_ != nullptr) desk_->ReturnAll();
  if (source_ != nullptr) {
    if (absl::Status status = source_->Close(kCloseTimeout); !status.ok()) {
      obs::LogWarning("sidecar", "the broker did not take everything back", {{"error", status}});
    }
  }
  // The session is closed: every call that waited for it has its answer.
  if (grpc_ != nullptr) grpc_->Stop(absl::Seconds(1));
  for (HttpPort& port : http_) {
    if (!port.listener->Stop(absl::Seconds(1)).ok()) {
      obs::LogError("sidecar", "an HTTP request was still running; ending the process");
      obs::FlushLog();
      std::_Exit(1);
    }
  }
  {
    client::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (ticker_.joinable()) ticker_.join();
  metrics_.SetGauges(nullptr);
  health_.RemoveCheck("session");
  obs::LogInfo("sidecar", "stopped");
  obs::FlushLog();
}

}  // namespace credbroker::sidecar
