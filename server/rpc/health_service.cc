#include "server/rpc/health_service.h"

#include <algorithm>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc/status.h"

namespace credbroker::rpc {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

namespace {

using RawHealth = Health::WithRawMethod_Check<Health::WithRawMethod_Watch<Health::Service>>;

std::optional<HealthService::Status> Look(const obs::HealthState& health,
                                          absl::string_view service) {
  bool good = false;
  if (service == "liveness") {
    good = health.Liveness().ok();
  } else if (service.empty() || service == "readiness" ||
             service == "credbroker.v1.BrokerService" || service == "credbroker.v1.AdminService") {
    good = health.CheckReadiness().ready;
  } else {
    return std::nullopt;
  }
  return good ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

}  // namespace

// One Watch: remembers what the caller knows and writes when that differs and nothing is in flight.
class HealthWatcher {
 public:
  HealthWatcher(const obs::HealthState& health, std::string service,
                std::shared_ptr<ServerStream> stream)
      : health_(health), service_(std::move(service)), stream_(std::move(stream)) {}

  void Update() {
    engine::MutexLock lock(mutex_);
    const HealthService::Status now =
        Look(health_, service_).value_or(HealthCheckResponse::SERVICE_UNKNOWN);
    if (sent_ != now) {
      HealthCheckResponse response;
      response.set_status(now);
      // False: a write is in flight, and its completion looks again.
      if (stream_->Write(response)) sent_ = now;
    }
  }
  void End() {
    Update();
    stream_->Finish(Error(v1::ERROR_REASON_SHUTTING_DOWN, "the server is stopping"));
  }

 private:
  const obs::HealthState& health_;
  const std::string service_;
  const std::shared_ptr<ServerStream> stream_;
  engine::Mutex mutex_;
  std::optional<HealthService::Status> sent_ ABSL_GUARDED_BY(mutex_);
};

struct HealthService::Watchers {
  std::vector<std::shared_ptr<HealthWatcher>> Snapshot() {
    engine::MutexLock lock(mutex);
    return list;
  }
  void Remove(const std::shared_ptr<HealthWatcher>& watcher) {
    engine::MutexLock lock(mutex);
    list.erase(std::remove(list.begin(), list.end(), watcher), list.end());
  }
  engine::Mutex mutex;
  std::vector<std::shared_ptr<HealthWatcher>> list ABSL_GUARDED_BY(mutex);
  bool draining ABSL_GUARDED_BY(mutex) = false;
};

class HealthService::Bound final : public BoundService {
 public:
  explicit Bound(HealthService& owner) : owner_(owner) {}
  grpc::Service& service() override { return raw_; }
  void Serve(Guard& guard, obs::GrpcServerMetrics& metrics,
             grpc::ServerCompletionQueue& queue) override {
    auto set = std::make_unique<MethodSet>(Health::service_full_name(), guard, metrics, queue);
    set->Unary<HealthCheckRequest, HealthCheckResponse>(
        "Check",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestCheck(c, b, w, q, q, t);
        },
        [this](const CallInfo&, auto responder) { owner_.Check(responder); });
    set->ServerStreaming<HealthCheckRequest>(
        "Watch",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestWatch(c, b, w, q, q, t);
        },
        [this](const CallInfo&, const auto& request, const auto& stream) {
          owner_.Watch(request, stream);
        });
    sets_.push_back(std::move(set));
  }

 private:
  HealthService& owner_;
  RawHealth raw_;
  std::vector<std::unique_ptr<MethodSet>> sets_;
};

HealthService::HealthService(obs::HealthState& health)
    : health_(health), watchers_(std::make_shared<Watchers>()) {
  health_.OnChange([watchers = std::weak_ptr<Watchers>(watchers_)] {
    const auto alive = watchers.lock();
    if (alive == nullptr) return;
    for (const auto& watcher : alive->Snapshot()) watcher->Update();
  });
}

HealthService::~HealthService() = default;

std::unique_ptr<BoundService> HealthService::Bind() { return std::make_unique<Bound>(*this); }

std::optional<HealthService::Status> HealthService::StatusOf(absl::string_view service) const {
  return Look(health_, service);
}

void HealthService::Poll() {
  for (const auto& watcher : watchers_->Snapshot()) watcher->Update();
}

void HealthService::StartDraining() {
  {
    engine::MutexLock lock(watchers_->mutex);
    watchers_->draining = true;
  }
  for (const auto& watcher : watchers_->Snapshot()) watcher->End();
}

void HealthService::Check(Responder<HealthCheckRequest, HealthCheckResponse> responder) const {
  const std::optional<Status> status = StatusOf(responder.request().service());
  if (!status.has_value()) {
    responder.Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service"));
    return;
  }
  responder.reply().set_status(*status);
  responder.Finish();
}

void HealthService::Watch(const HealthCheckRequest& request,
                          const std::shared_ptr<ServerStream>& stream) {
  auto watcher = std::make_shared<HealthWatcher>(health_, request.service(), stream);
  bool draining = false;
  {
    engine::MutexLock lock(watchers_->mutex);
    draining = watchers_->draining;
    if (!draining) watchers_->list.push_back(watcher);
  }
  stream->OnEvents([watcher] { watcher->Update(); },
                   [watcher, watchers = watchers_] { watchers->Remove(watcher); });
  if (draining) watcher->End();
}

}  // namespace credbroker::rpc
