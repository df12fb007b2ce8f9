// HealthState: whether the process should get traffic, and why not. Read by GET /readyz, GET
// /livez and the gRPC health service.
//
// Readiness is a set of named checks; all must be OK. A check is either pushed by its owner (Set)
// or pulled by a callback (AddCheck). Liveness depends on nothing outside the process: it is lost
// only by Fail(), which a watchdog calls when the process cannot help itself.
//
// Thread-safety: every member may be called from any thread. Callbacks run on the thread that
// evaluates, without the lock, and must not block.
#ifndef CREDBROKER_SERVER_OBS_HEALTH_STATE_H_
#define CREDBROKER_SERVER_OBS_HEALTH_STATE_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace credbroker::obs {

class HealthState {
 public:
  struct Failure {
    std::string name;
    std::string reason;  // For an operator; never holds a secret.
  };
  struct Readiness {
    bool ready = false;
    std::vector<Failure> failures;  // By name; empty exactly if ready.
  };

  // Not ready until the first check exists, so that a half-wired server gets no traffic.
  HealthState() = default;
  HealthState(const HealthState&) = delete;
  HealthState& operator=(const HealthState&) = delete;

  // Adds or replaces the check `name` ("store", "keyring", "config").
  void Set(const std::string& name, absl::Status status);
  void AddCheck(const std::string& name, std::function<absl::Status()> check);
  void RemoveCheck(const std::string& name);

  // Not ready from now on, whatever the checks say: the process is about to stop.
  void StartDraining();

  Readiness CheckReadiness() const;

  // Not live from now on.
  void Fail(const std::string& reason);
  absl::Status Liveness() const;

  // Called after each Set, AddCheck, RemoveCheck, StartDraining and Fail, on that thread, without
  // the lock: the moment to look again. A pulled check that turns needs polling besides.
  void OnChange(std::function<void()> listener);

 private:
  using Check = std::shared_ptr<const std::function<absl::Status()>>;
  void Notify();

  mutable std::mutex mutex_;  // Guards what follows.
  std::map<std::string, Check> checks_;
  bool draining_ = false;
  absl::Status liveness_;
  std::vector<std::shared_ptr<const std::function<void()>>> listeners_;
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_HEALTH_STATE_H_
