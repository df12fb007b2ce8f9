#include "client/sidecar/session_source.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/sidecar/settings.h"
#include "server/obs/log.h"

namespace credbroker::sidecar {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
// While a connection is being made, callers wait for it a little, twice the session's first wait
// before it tries; if it does not come, hardly.
constexpr absl::Duration kReconnectPatience = absl::Seconds(1);
constexpr absl::Duration kAwayPatience = absl::Milliseconds(20);
constexpr int64_t kAwayAfter = 2 * kSecond;
constexpr int64_t kTargetIdle = 600 * kSecond;

class SessionLease final : public HeldLease {
 public:
  explicit SessionLease(client::Lease lease) : lease_(std::move(lease)) {}

  const std::vector<client::Header>& headers() const override { return lease_.headers(); }
  absl::string_view proxy_url() const override { return lease_.proxy_url().reveal(); }
  const std::string& base_url() const override { return lease_.base_url(); }
  const std::string& model() const override { return lease_.model(); }
  const std::string& credential_id() const override { return lease_.credential_id(); }
  const std::string& provider() const override { return lease_.provider(); }
  bool served_last() const override { return lease_.served_last(); }
  bool from_stock() const override { return lease_.from_stock(); }
  bool revoked() const override { return lease_.revoked(); }
  void CopyTo(api::Grant* grant) const override { lease_.CopyTo(grant); }

  void Renew(absl::Duration ttl) override { lease_.Renew(ttl); }
  void Report(api::ReportItem item, client::ReportCallback done) override {
    // Without limit headers a success is a number in a batch.
    const bool plain = item.http_status() >= 200 && item.http_status() < 300 && !item.early() &&
                       item.outcome() == api::OUTCOME_UNSPECIFIED && item.headers().empty();
    if (plain && !done) {
      lease_.ReportSuccess();
    } else {
      lease_.Report(
          std::move(item), done ? std::move(done) : [](const client::ReportAnswer&) {});
    }
  }
  void Release() override { lease_.Release(); }
  void Expire() override { lease_.Expire(); }

 private:
  client::Lease lease_;
};

// What a target stands for, as one text.
const std::string& KeyOf(const Route& route, const api::AcquireRequest& request) {
  thread_local std::string key;
  key.assign(reinterpret_cast<const char*>(&route.index), sizeof route.index);
  key += request.group();
  for (const std::string& provider : request.providers()) {
    key += '\n';
    key += provider;
  }
  key += '\t';
  key += request.model();
  return key;
}

bool FitsTarget(const api::AcquireRequest& request) {
  return request.labels().empty() && !request.providers().empty() &&
         request.kind() == api::CREDENTIAL_KIND_UNSPECIFIED;
}

absl::Status ReadInto(const std::string& path, std::string* out) {
  if (path.empty()) return absl::OkStatus();
  std::ifstream file(path, std::ios::binary);
  out->assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  if (!file || out->empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ", or it is empty"));
  }
  return absl::OkStatus();
}

absl::StatusOr<client::ClientOptions> ToOptions(const pb::Broker& broker) {
  client::ClientOptions options;
  options.address = broker.address();
  absl::Status status = ReadInto(broker.token_file(), &options.bearer_token);
  while (!options.bearer_token.empty() && options.bearer_token.back() == '\n') {
    options.bearer_token.pop_back();
  }
  if (status.ok() && broker.has_tls()) {
    client::TlsOptions tls;
    tls.server_name = broker.tls().server_name();
    status = ReadInto(broker.tls().roots_file(), &tls.root_certificates);
    if (status.ok()) {
      status = ReadInto(broker.tls().certificate_file(), &tls.certificate_chain);
    }
    if (status.ok()) status = ReadInto(broker.tls().key_file(), &tls.private_key);
    options.tls = std::move(tls);
  }
  if (!status.ok()) return status;
  return options;
}

std::string HostName() {
  std::array<char, 128> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

absl::Duration MaxWait(const Route& route, const api::AcquireRequest& request) {
  return request.has_max_wait() ? ToDuration(request.max_wait()) : route.max_wait;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionSource>> SessionSource::Open(const pb::Config& config,
                                                                   const RouteTable& routes) {
  absl::StatusOr<client::ClientOptions> options = ToOptions(config.broker());
  if (!options.ok()) return options.status();
  std::unique_ptr<SessionSource> source(
      new SessionSource(config.limits().max_targets(), client::SystemClock()));
  source->away_since_ = source->clock_->BootNanos();
  auto client = client::Client::Create(*std::move(options));
  if (!client.ok()) return client.status();
  source->client_ = *std::move(client);
  client::SessionOptions session;
  session.client = absl::StrCat("credbroker-sidecar/", CREDBROKER_VERSION);
  session.instance = config.broker().instance().empty() ? HostName() : config.broker().instance();
  session.events.on_connection = [raw = source.get()](const client::ConnectionEvent& event) {
    const bool up = event.state == client::ConnectionState::kConnected;
    int64_t connected = 0;
    if (up) {
      raw->away_since_.store(0, std::memory_order_relaxed);
    } else {
      raw->away_since_.compare_exchange_strong(connected, raw->clock_->BootNanos());
    }
    obs::LogInfo("sidecar", "session",
                 {{"state", client::ConnectionStateName(event.state)},
                  {"resumed", event.resumed},
                  {"epoch", event.epoch},
                  {"cause", event.cause}});
  };
  auto opened = source->client_->OpenSession(std::move(session));
  if (!opened.ok()) return opened.status();
  source->session_ = *std::move(opened);
  source->DeclareStock(routes);
  return source;
}

void SessionSource::DeclareStock(const RouteTable& routes) {
  for (const Route& route : routes.routes()) {
    if (route.rules.providers().empty()) continue;
    api::AcquireRequest request;
    request.set_group(route.rules.group());
    *request.mutable_providers() = route.rules.providers();
    for (const std::string& model : route.rules.stock_models()) {
      request.set_model(model);
      Learn(route, KeyOf(route, request), request, static_cast<int>(route.rules.stock()) / 2);
    }
  }
}

bool SessionSource::connected() const {
  return session_->state() == client::ConnectionState::kConnected;
}

absl::Duration SessionSource::Patience(absl::Duration timeout) const {
  const int64_t since = away_since_.load(std::memory_order_relaxed);
  if (since == 0) return timeout;
  const bool long_ago = clock_->BootNanos() - since > kAwayAfter;
  return std::min(timeout, long_ago ? kAwayPatience : kReconnectPatience);
}

client::TargetId SessionSource::Find(const std::string& key) {
  const int64_t now = clock_->BootNanos();
  client::MutexLock lock(mutex_);
  const auto found = targets_.find(key);
  if (found == targets_.end()) return 0;
  found->second->used.store(now, std::memory_order_relaxed);
  return found->second->id;
}

bool SessionSource::MakeRoom() {
  if (targets_.size() < max_targets_) return true;
  const int64_t now = clock_->BootNanos();
  if (now - looked_for_room_ < kSecond) return false;
  looked_for_room_ = now;
  auto oldest = targets_.end();
  for (auto it = targets_.begin(); it != targets_.end(); ++it) {
    if (oldest == targets_.end() || it->second->used < oldest->second->used) oldest = it;
  }
  if (oldest == targets_.end() || now - oldest->second->used < kTargetIdle) return false;
  session_->Retire(oldest->second->id);
  targets_.erase(oldest);
  return true;
}

client::TargetId SessionSource::Learn(const Route& route, const std::string& key,
                                      const api::AcquireRequest& request, int initial) {
  client::MutexLock lock(mutex_);
  if (const auto found = targets_.find(key); found != targets_.end()) return found->second->id;
  if (!MakeRoom()) return 0;
  client::Target target;
  target.group = request.group().empty() ? "default" : request.group();
  target.providers.assign(request.providers().begin(), request.providers().end());
  target.model = request.model();
  target.stock.max = static_cast<int>(route.rules.stock());
  target.stock.initial = initial;
  target.max_serve_last = static_cast<int>(route.rules.serve_last_max());
  if (route.rules.when_away() == pb::WHEN_AWAY_SERVE_LAST) {
    target.when_lost = client::WhenLost::kServeLast;
  }
  absl::StatusOr<client::TargetId> id = session_->Declare(std::move(target));
  if (!id.ok()) {
    obs::LogWarning("sidecar", "a target was refused", {{"error", id.status()}});
    return 0;
  }
  auto entry = std::make_unique<Target>();
  entry->id = *id;
  entry->used = clock_->BootNanos();
  targets_.emplace(key, std::move(entry));
  return *id;
}

void SessionSource::Forget(const std::string& key) {
  client::MutexLock lock(mutex_);
  const auto found = targets_.find(key);
  if (found == targets_.end()) return;
  session_->Retire(found->second->id);
  targets_.erase(found);
}

void SessionSource::AcquireFor(client::TargetId target, const Route& route,
                               const api::AcquireRequest& request, absl::Duration timeout,
                               std::function<void(LeaseOr)> done) {
  const bool plain = request.session_key().empty() && request.credential_id().empty() &&
                     request.excluded_credential_ids().empty();
  if (plain) {
    if (auto lease = session_->TryAcquire(target); lease.has_value()) {
      return done(std::make_unique<SessionLease>(*std::move(lease)));
    }
  }
  client::AcquireOptions options;
  options.timeout = Patience(timeout);
  options.max_wait = MaxWait(route, request);
  options.session_key = request.session_key();
  options.credential_id = request.credential_id();
  options.excluded_credential_ids.assign(request.excluded_credential_ids().begin(),
                                         request.excluded_credential_ids().end());
  session_->AcquireAsync(target, options,
                         [done = std::move(done)](absl::StatusOr<client::Lease> lease) {
                           if (!lease.ok()) return done(lease.status());
                           done(std::make_unique<SessionLease>(*std::move(lease)));
                         });
}

void SessionSource::Acquire(const Route& route, const api::AcquireRequest& request,
                            absl::Duration timeout, std::function<void(LeaseOr)> done) {
  const bool fits = FitsTarget(request);
  const std::string& key = KeyOf(route, request);
  if (const client::TargetId target = fits ? Find(key) : 0; target != 0) {
    return AcquireFor(target, route, request, timeout, std::move(done));
  }
  // The last known material is that of a target's leases: it has to be there before the first one.
  const bool serves_last = route.rules.when_away() == pb::WHEN_AWAY_SERVE_LAST;
  if (const client::TargetId target = fits && serves_last ? Learn(route, key, request, 0) : 0;
      target != 0) {
    return AcquireFor(target, route, request, timeout,
                      [this, key, done = std::move(done)](LeaseOr lease) {
                        // An invented model keeps no place.
                        if (absl::IsNotFound(lease.status())) Forget(key);
                        done(std::move(lease));
                      });
  }
  api::AcquireRequest ask = request;
  // Ids of requests are told apart here: two leases of one id could not be.
  ask.clear_request_id();
  if (!ask.has_max_wait()) {
    ask.mutable_max_wait()->set_seconds(absl::ToInt64Seconds(route.max_wait));
    ask.mutable_max_wait()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(route.max_wait - absl::Floor(route.max_wait, absl::Seconds(1)))));
  }
  std::function<void()> learn;
  if (fits) learn = [this, &route, key, request] { Learn(route, key, request, 0); };
  session_->AcquireAsync(
      std::move(ask), Patience(timeout),
      [done = std::move(done), learn = std::move(learn)](absl::StatusOr<client::Lease> lease) {
        if (!lease.ok()) return done(lease.status());
        if (learn) learn();
        done(std::make_unique<SessionLease>(*std::move(lease)));
      });
}

void SessionSource::Fill(Gauges* gauges) const {
  const client::SessionStats stats = session_->stats();
  gauges->session_state = client::ConnectionStateName(session_->state());
  gauges->in_stock = stats.in_stock;
  gauges->reconnects = stats.reconnects;
  gauges->revocations = stats.revocations;
  gauges->stock_revoked = stats.stock_revoked;
  gauges->ends_dropped = stats.ends_dropped;
}

}  // namespace credbroker::sidecar
