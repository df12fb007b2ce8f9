#include "server/server.h"

#include <malloc.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/provider_builtin.h"
#include "server/endpoint.h"
#include "server/http/health.h"
#include "server/http/metrics_page.h"
#include "server/obs/log.h"
#include "server/obs/log_file.h"
#include "server/rpc/import_stream.h"
#include "server/scrape.h"
#include "server/store/memory_store.h"
#include "server/store/sqlite_store.h"

namespace credbroker {
namespace {

// sysexits.h EX_SOFTWARE: the supervisor starts us anew.
constexpr int kExitDead = 70;
// What clients get of drain_timeout to leave their sessions by themselves.
constexpr absl::Duration kSessionDrain = absl::Seconds(2);
// Behind drain_delay and drain_timeout.
constexpr absl::Duration kStopMargin = absl::Seconds(3);

std::vector<obs::GrpcMethod> MetricMethods() {
  std::vector<obs::GrpcMethod> methods;
  for (const rpc::MethodRule& rule : rpc::MethodRules()) {
    methods.push_back({rule.service, rule.method, rule.type});
  }
  return methods;
}

bool Exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  return ::getrandom(&seed, sizeof(seed), 0) == static_cast<ssize_t>(sizeof(seed)) ? seed : 1;
}

// Keys for a store that ends with the process.
absl::StatusOr<store::Keyring> EphemeralKeyring() {
  std::string text = "credbroker-keyring 1\n";
  for (const char* state : {"active", "derive"}) {
    std::string bytes(store::kKeyBytes, '\0');
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      return absl::UnavailableError("the system gives no random bytes");
    }
    absl::StrAppend(&text, absl::Hex(RandomSeed(), absl::kZeroPad16), " ",
                    absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone()), " ",
                    state, " ", absl::Base64Escape(bytes), "\n");
  }
  return store::Keyring::Parse(text, "memory");
}

session::Terms ToTerms(const config::v1::Sessions& sessions) {
  return {.ttl = config::ToDuration(sessions.ttl()),
          .grace = config::ToDuration(sessions.grace()),
          .ping_interval = config::ToDuration(sessions.ping_interval()),
          .cancel_within = config::ToDuration(sessions.cancel_within()),
          .max_sessions = sessions.max_sessions(),
          .max_sessions_per_principal = sessions.max_sessions_per_principal(),
          .max_leases = sessions.max_leases()};
}

obs::LogLevel ToLogLevel(config::v1::LogLevel level) {
  switch (level) {
    case config::v1::LOG_LEVEL_DEBUG:
      return obs::LogLevel::kDebug;
    case config::v1::LOG_LEVEL_WARN:
      return obs::LogLevel::kWarning;
    case config::v1::LOG_LEVEL_ERROR:
      return obs::LogLevel::kError;
    default:
      return obs::LogLevel::kInfo;
  }
}

}  // namespace

Server::Server(std::string path, std::shared_ptr<const config::Loaded> config)
    : path_(std::move(path)),
      config_(std::move(config)),
      metrics_(obs::Metrics::Options{
          .version = CREDBROKER_VERSION, .revision = "unknown", .grpc_methods = MetricMethods()}) {}

Server::~Server() { Stop(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    std::string path, std::shared_ptr<const config::Loaded> config) {
  std::unique_ptr<Server> server(new Server(std::move(path), std::move(config)));
  const config::v1::Log& log = server->config_->config.log();
  obs::SetLogLevel(ToLogLevel(log.level()));
  if (absl::Status opened = obs::SetLogFile(log.path()); !opened.ok()) return opened;
  for (absl::Status (Server::*step)() :
       {&Server::OpenStore, &Server::StartEngine, &Server::StartHttp, &Server::StartGrpc}) {
    if (absl::Status status = (server.get()->*step)(); !status.ok()) return status;
  }
  server->StartWatchdog();
  if (!server->sealed()) {
    server->sources_->Load();
    server->sources_->Configure(*server->config_);
  }
  return server;
}

absl::Status Server::OpenStore() {
  const config::v1::Store& store = config_->config.store();
  if (store.has_memory()) {
    store_ = std::make_unique<store::MemoryStore>();
    return absl::OkStatus();
  }
  // A keyring is made only beside a store that is made: another key would never open an old one.
  const config::v1::Keyring& keyring = config_->config.keyring();
  if (keyring.create() && !Exists(keyring.path()) && !Exists(store.sqlite().path())) {
    if (absl::Status status = store::InitKeyring(keyring.path()); !status.ok()) return status;
    obs::LogInfo("server", "made a keyring; back it up, without it the store cannot be read",
                 {{"path", keyring.path()}});
  }
  store::SqliteOptions options;
  options.path = store.sqlite().path();
  if (store.sqlite().has_commit_timeout()) {
    options.busy_timeout = config::ToDuration(store.sqlite().commit_timeout());
  }
  absl::StatusOr<std::unique_ptr<store::Store>> opened = store::OpenSqliteStore(std::move(options));
  if (!opened.ok()) return opened.status();
  store_ = *std::move(opened);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const store::Keyring>> Server::OpenKeyring() {
  absl::StatusOr<store::Keyring> keyring =
      config_->config.store().has_memory() ? EphemeralKeyring()
                                           : store::Keyring::Load(config_->config.keyring().path());
  if (!keyring.ok()) return keyring.status();
  return std::make_shared<const store::Keyring>(*std::move(keyring));
}

absl::Status Server::StartEngine() {
  engine::EngineOptions options;
  options.settings = config_->settings;
  options.policy = config_->policy;
  options.seed = RandomSeed();
  if (config_->config.store().has_write_behind()) {
    options.health_delay = config::ToDuration(config_->config.store().write_behind());
  }
  options.server_version = CREDBROKER_VERSION;
  options.session_hold = config::ToDuration(config_->config.sessions().ttl()) +
                         config::ToDuration(config_->config.sessions().grace());
  options.commit_delay = [this](absl::Duration delay) {
    metrics_.store_commit_duration().Observe(delay);
  };
  options.log = [](absl::string_view line) { obs::LogWarning("engine", line); };
  engine_ = std::make_unique<engine::Engine>(std::move(options), clock_, *store_);
  absl::StatusOr<std::shared_ptr<const store::Keyring>> keyring = OpenKeyring();
  absl::Status status = keyring.status();
  if (keyring.ok()) {
    status = engine_->Start(*keyring);
    if (!status.ok() && status.code() != absl::StatusCode::kFailedPrecondition) return status;
  }
  // Sealed: alive, so that a person can look, and not ready, so that no traffic comes.
  health_.Set("keyring", status);
  health_.AddCheck("engine", [this] { return engine_->ready(); });
  if (!status.ok()) {
    obs::LogError("server", "sealed: the keyring does not open the store", {{"error", status}});
    gate_.Set(rpc::ServingGate::State::kSealed);
  }
  ::malloc_trim(0);  // what loading needed on top goes back to the system
  sources_ = std::make_unique<Sources>(*engine_, metrics_, std::string(store_->id()));
  Publish(*config_);
  return absl::OkStatus();
}

absl::Status Server::StartHttp() {
  if (!config_->config.has_http()) return absl::OkStatus();
  const std::string& address = config_->config.http().address();
  http::ListenerOptions options;
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &options.port)) {
    return absl::InvalidArgumentError(
        absl::StrCat("http.address '", address, "': write host:port"));
  }
  options.host = address.substr(0, colon);
  if (options.host.size() > 2 && options.host.front() == '[') {
    options.host = options.host.substr(1, options.host.size() - 2);
  }
  if (config_->config.http().threads() > 0)
    options.worker_threads = config_->config.http().threads();
  metrics_.SetPoolSource([this] {
    return ToPoolSnapshot(engine_->Stats(), broker_->sessions().registry(), engine_->Now());
  });
  metrics_.SetStoreSource([this] { return ToStoreSnapshot(engine_->Stats()); });
  http::Router router;
  http::AddHealthPages(router, health_);
  http::AddMetricsPage(router, metrics_);
  auto listener = http::Listener::Start(std::move(router), options);
  if (!listener.ok()) return listener.status();
  http_ = *std::move(listener);
  obs::LogInfo("server", "http is served", {{"address", http_->address()}});
  return absl::OkStatus();
}

absl::Status Server::StartGrpc() {
  health_service_ = std::make_unique<rpc::HealthService>(health_);
  rpc::AdminService::Options admin;
  admin.version = CREDBROKER_VERSION;
  admin.store_backend = config_->config.store().has_memory() ? "memory" : "sqlite";
  admin.import = rpc::MakeImportHandler(sources_->importer());
  admin.tokens = rpc::MakeTokenRules(sources_->importer());
  admin.export_file = rpc::MakeExportFormat();
  admin.config_status = [this] {
    engine::MutexLock lock(mutex_);
    return config_status_;
  };
  admin.sessions = &broker_->sessions().registry();
  admin_ = std::make_unique<rpc::AdminService>(*engine_, gate_, std::move(admin));

  const config::v1::Config& config = config_->config;
  rpc::GrpcServer::Options options;
  options.loop_threads = static_cast<int>(config.runtime().server_threads());
  options.reflection = config.runtime().reflection();
  const config::v1::Limits& limits = config.limits();
  if (limits.max_receive_bytes() > 0) {
    options.limits.max_receive_bytes = static_cast<int>(limits.max_receive_bytes());
  }
  if (limits.max_metadata_bytes() > 0) {
    options.limits.max_metadata_bytes = static_cast<int>(limits.max_metadata_bytes());
  }
  if (limits.max_calls() > 0) options.guard.max_unary = static_cast<int>(limits.max_calls());
  if (limits.has_default_deadline()) {
    options.guard.default_deadline = config::ToDuration(limits.default_deadline());
  }
  if (limits.max_calls_per_peer() > 0) {
    options.guard.max_per_peer = static_cast<int>(limits.max_calls_per_peer());
  }
  if (limits.max_connections() > 0) options.max_connections = limits.max_connections();
  if (limits.max_watchers() > 0)
    options.guard.max_streams = static_cast<int>(limits.max_watchers());
  // One that resumes overlaps with the stream before; the registry counts sessions.
  options.guard.max_sessions = 2 * static_cast<int>(config.sessions().max_sessions_per_principal());
  std::vector<rpc::RpcService*> data = {broker_.get(), health_service_.get()};
  const std::vector<rpc::RpcService*> all = {broker_.get(), admin_.get(), health_service_.get()};
  if (config.listeners().admin().empty()) data = all;
  const auto add = [&options](const auto& listeners,
                              const std::vector<rpc::RpcService*>& services) -> absl::Status {
    for (const config::v1::Listener& listener : listeners) {
      absl::StatusOr<rpc::GrpcServer::Endpoint> endpoint = ToEndpoint(listener, services);
      if (!endpoint.ok()) return endpoint.status();
      options.endpoints.push_back(*std::move(endpoint));
    }
    return absl::OkStatus();
  };
  absl::Status added = add(config.listeners().data(), data);
  added.Update(add(config.listeners().admin(), all));
  if (!added.ok()) return added;
  if (!sealed()) {
    broker_->sessions().Start();
    gate_.Set(rpc::ServingGate::State::kServing);
  }
  auto grpc = rpc::GrpcServer::Start(options, metrics_.grpc());
  if (!grpc.ok()) return grpc.status();
  grpc_ = *std::move(grpc);
  for (const std::string& target : grpc_->targets()) {
    obs::LogInfo("server", "gRPC is served", {{"target", target}});
  }
  return absl::OkStatus();
}

void Server::StartWatchdog() {
  const config::v1::Watchdog& config = config_->config.runtime().watchdog();
  if (config.has_enabled() && !config.enabled()) return;
  rpc::Watchdog::Options options;
  options.targets = grpc_->targets();
  if (config.has_interval()) options.interval = config::ToDuration(config.interval());
  if (config.has_timeout()) options.patience = config::ToDuration(config.timeout());
  if (config.failures() > 0) options.failures = static_cast<int>(config.failures());
  options.on_dead = [this](const std::string& target) {
    health_.Fail(absl::StrCat("no call gets through ", target));
    obs::LogError("server", "the watchdog ends this process", {{"target", target}});
    obs::FlushLog();
    ::_exit(kExitDead);
  };
  watchdog_ = std::make_unique<rpc::Watchdog>(std::move(options));
}

void Server::Publish(const config::Loaded& config) {
  if (broker_ == nullptr) {
    broker_ = std::make_unique<rpc::BrokerService>(*engine_, metrics_, gate_);
    broker_->SetEpoch(engine_->Stats().epoch);
  }
  auto urls = std::make_shared<rpc::BrokerService::BaseUrls>();
  std::vector<std::string> groups = {"default"}, providers;
  for (const core::ProviderSettings& provider : config.settings.providers) {
    std::array<std::string, core::kKindCount>& by_kind = (*urls)[provider.name];
    for (size_t kind = 0; kind < by_kind.size(); ++kind) {
      by_kind[kind] = core::BaseUrlOf(provider, static_cast<core::Kind>(kind));
    }
    providers.push_back(provider.name);
  }
  for (const core::GroupSettings& group : config.settings.groups) groups.push_back(group.name);
  broker_->SetBaseUrls(std::move(urls));
  broker_->sessions().registry().SetTerms(ToTerms(config.config.sessions()));
  metrics_.SetKnownNames(groups, providers);
  metrics_.ConfigLoaded(true, absl::Now());
  engine::MutexLock lock(mutex_);
  config_status_ = {absl::Now(), ""};
}

absl::Status Server::Reload() {
  // Whatever becomes of the configuration: the file may have been rotated.
  if (absl::Status opened = obs::SetLogFile(config_->config.log().path()); !opened.ok()) {
    obs::LogWarning("server", "the log file was not opened anew", {{"error", opened}});
  }
  absl::StatusOr<std::shared_ptr<const config::Loaded>> loaded = config::LoadFile(path_);
  absl::Status status = loaded.status();
  if (status.ok()) status = config::CheckReloadable(*config_, **loaded);
  if (status.ok() && !sealed()) {
    status = engine_->Reconfigure((*loaded)->settings, (*loaded)->policy);
  }
  if (!status.ok()) {
    metrics_.ConfigLoaded(false, absl::Now());
    obs::LogError("server", "the configuration was not taken; the one before stays in force",
                  {{"error", status}});
    engine::MutexLock lock(mutex_);
    config_status_.error = std::string(status.message());
    return status;
  }
  config_ = *std::move(loaded);
  obs::SetLogLevel(ToLogLevel(config_->config.log().level()));
  Publish(*config_);
  if (!sealed()) sources_->Configure(*config_);
  obs::LogInfo("server", "the configuration was taken");
  return absl::OkStatus();
}

absl::Duration Server::LongestStop() const {
  const config::v1::Runtime& runtime = config_->config.runtime();
  return config::ToDuration(runtime.drain_delay()) + config::ToDuration(runtime.drain_timeout()) +
         kStopMargin;
}

void Server::Stop() {
  if (stopped_) return;
  stopped_ = true;
  const config::v1::Runtime& runtime = config_->config.runtime();
  watchdog_.reset();
  health_.StartDraining();
  // Balancers see "not ready" before calls are refused.
  if (grpc_ != nullptr) absl::SleepFor(config::ToDuration(runtime.drain_delay()));
  const absl::Time deadline = clock_.Now() + config::ToDuration(runtime.drain_timeout());
  // While their reports still count.
  if (broker_ != nullptr) {
    broker_->sessions().Drain(
        std::min(kSessionDrain, config::ToDuration(runtime.drain_timeout()) / 2));
  }
  gate_.Set(rpc::ServingGate::State::kStopping);
  if (sources_ != nullptr) sources_->Stop();
  // Parked calls are answered and queued changes become durable; then no call has to be waited for.
  if (engine_ != nullptr) engine_->Stop(config::ToDuration(runtime.drain_timeout()));
  if (grpc_ != nullptr) {
    grpc_->Stop(std::max(absl::ZeroDuration(), deadline - clock_.Now()));
  }
  metrics_.SetPoolSource(nullptr);
  metrics_.SetStoreSource(nullptr);
  if (http_ != nullptr && !http_->Stop(absl::Seconds(1)).ok()) {
    obs::LogWarning("server", "an HTTP request was still running");
  }
  health_.RemoveCheck("engine");
  grpc_.reset();
  http_.reset();
  obs::LogInfo("server", "stopped");
  obs::FlushLog();
}

}  // namespace credbroker
