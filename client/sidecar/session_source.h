// SessionSource: leases over one session with the broker. Keeps a target, and so a stock, for each
// (route, group, providers, model) that the broker granted once; everything else is asked directly.
//
// Thread-safety: every member may be called from any thread; Close and the destructor by one.
#ifndef CREDBROKER_CLIENT_SIDECAR_SESSION_SOURCE_H_
#define CREDBROKER_CLIENT_SIDECAR_SESSION_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/session/mutex.h"
#include "client/sidecar/lease_source.h"
#include "client/sidecar/metrics.h"
#include "client/sidecar/route_table.h"
#include "credbroker/client/client.h"
#include "credbroker/client/session.h"

namespace credbroker::sidecar {

class SessionSource final : public LeaseSource {
 public:
  // Connects in the background. `routes` outlives this. INVALID_ARGUMENT, or what reading the TLS
  // and token files gave.
  static absl::StatusOr<std::unique_ptr<SessionSource>> Open(const pb::Config& config,
                                                             const RouteTable& routes);

  void Acquire(const Route& route, const api::AcquireRequest& request, absl::Duration timeout,
               std::function<void(LeaseOr)> done) override;
  bool connected() const override;

  client::ConnectionState state() const { return session_->state(); }
  void Fill(Gauges* gauges) const;
  // Returns stock and leases; waits for the broker to have processed everything, at most `timeout`.
  absl::Status Close(absl::Duration timeout) { return session_->Close(timeout); }

 private:
  struct Target {
    client::TargetId id = 0;
    std::atomic<int64_t> used{0};  // boot clock
  };

  SessionSource(size_t max_targets, std::shared_ptr<const client::Clock> clock)
      : max_targets_(max_targets), clock_(std::move(clock)) {}
  void DeclareStock(const RouteTable& routes);
  client::TargetId Find(const std::string& key);
  // Starts a stock for such requests. 0: there is no room, or the library refused.
  client::TargetId Learn(const Route& route, const std::string& key,
                         const api::AcquireRequest& request, int initial);
  // Of a target the broker does not know anything for.
  void Forget(const std::string& key);
  void AcquireFor(client::TargetId target, const Route& route, const api::AcquireRequest& request,
                  absl::Duration timeout, std::function<void(LeaseOr)> done);
  bool MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration Patience(absl::Duration timeout) const;

  const size_t max_targets_;
  const std::shared_ptr<const client::Clock> clock_;
  std::atomic<int64_t> away_since_{0};  // boot clock; 0: connected
  client::Mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Target>> targets_ ABSL_GUARDED_BY(mutex_);
  int64_t looked_for_room_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<client::Session> session_;  // last: its callbacks use the rest
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_SESSION_SOURCE_H_
