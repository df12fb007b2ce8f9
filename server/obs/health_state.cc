#include "server/obs/health_state.h"

#include <utility>

namespace credbroker::obs {

void HealthState::Set(const std::string& name, absl::Status status) {
  AddCheck(name, [status = std::move(status)] { return status; });
}

void HealthState::AddCheck(const std::string& name, std::function<absl::Status()> check) {
  auto shared = std::make_shared<const std::function<absl::Status()>>(std::move(check));
  {
    const std::lock_guard lock(mutex_);
    checks_[name] = std::move(shared);
  }
  Notify();
}

void HealthState::RemoveCheck(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    checks_.erase(name);
  }
  Notify();
}

void HealthState::StartDraining() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }
  Notify();
}

HealthState::Readiness HealthState::CheckReadiness() const {
  std::map<std::string, Check> checks;
  Readiness result;
  {
    const std::lock_guard lock(mutex_);
    checks = checks_;
    if (draining_) result.failures.push_back({"draining", "the server is shutting down"});
    if (!liveness_.ok()) result.failures.push_back({"live", std::string(liveness_.message())});
  }
  if (checks.empty()) result.failures.push_back({"starting", "no check is registered yet"});
  for (const auto& [name, check] : checks) {
    const absl::Status status = (*check)();
    if (!status.ok()) result.failures.push_back({name, std::string(status.message())});
  }
  result.ready = result.failures.empty();
  return result;
}

void HealthState::Fail(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (liveness_.ok()) liveness_ = absl::InternalError(reason);
  }
  Notify();
}

absl::Status HealthState::Liveness() const {
  const std::lock_guard lock(mutex_);
  return liveness_;
}

void HealthState::OnChange(std::function<void()> listener) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(std::make_shared<const std::function<void()>>(std::move(listener)));
}

void HealthState::Notify() {
  std::vector<std::shared_ptr<const std::function<void()>>> listeners;
  {
    const std::lock_guard lock(mutex_);
    listeners = listeners_;
  }
  for (const auto& listener : listeners) (*listener)();
}

}  // namespace credbroker::obs
