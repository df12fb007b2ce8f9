// Desk: what the sidecar does, whoever asks: grants by route and mode, keeps what it gave out, and
// passes on what became of it.
//
// Thread-safety: every member may be called from any thread. Callbacks run on the calling thread or
// on one that must not be blocked.
#ifndef CREDBROKER_CLIENT_SIDECAR_DESK_H_
#define CREDBROKER_CLIENT_SIDECAR_DESK_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/session/mutex.h"
#include "client/sidecar/lease_source.h"
#include "client/sidecar/lease_table.h"
#include "client/sidecar/metrics.h"
#include "client/sidecar/route_table.h"
#include "credbroker/client/clock.h"

namespace credbroker::sidecar {

// Whether a refusal means that the broker is away, not that it said no.
bool IsAway(const absl::Status& refusal);

class Desk {
 public:
  struct Options {
    LeaseTable::Options leases;
    std::shared_ptr<const client::Clock> clock;
    // How long the answer to a report may wait for the broker's advice.
    absl::Duration advice_patience = absl::Seconds(1);
  };
  // `source` and `metrics` outlive this.
  Desk(LeaseSource& source, Metrics& metrics, Options options);

  struct Decision {
    enum class Kind { kLease, kBypass, kRefused };
    Kind kind = Kind::kRefused;
    std::unique_ptr<HeldLease> lease;
    absl::Status refusal;
  };
  // Finds a lease by the route's rules and mode. Refusals and bypasses are counted here, grants by
  // Keep. `done` is called once.
  void Decide(Face face, const Route& route, const api::AcquireRequest& request,
              absl::Duration timeout, std::function<void(Decision)> done);
  // The same, waiting.
  Decision DecideNow(Face face, const Route& route, const api::AcquireRequest& request,
                     absl::Duration timeout);

  LeaseId NewId() { return leases_.NewId(); }
  // Whose a lease is, or who says something about one: its principal. Empty: the proxies, of the
  // HTTP face and the access log, which are one.
  using Owner = absl::string_view;
  // Gives the lease out under `id` for `ttl`, at most LeaseTable::kMaxLife. RESOURCE_EXHAUSTED:
  // max_leases; UNAVAILABLE: stopping; then the lease went back and the refusal is counted.
  absl::Status Keep(Face face, const Route& route, const LeaseId& id,
                    std::unique_ptr<HeldLease> lease, absl::Duration ttl, Owner owner = {});
  // Fills `grant` with the live lease `id` once more. What is left of its life; nullopt: it is not
  // live, or was revoked.
  std::optional<absl::Duration> CopyGrant(const LeaseId& id, api::Grant* grant, Owner owner = {});

  // `items` were checked. `done` gets one result per item, after advice_patience at the latest;
  // advice that did not come by then is that of the built-in policy, by status alone.
  void Report(Face face, std::vector<api::ReportItem> items,
              std::function<void(api::ReportResponse)> done, Owner owner = {});
  // False: it was not live.
  bool Release(const std::string& id, Owner owner = {});
  // Its new life, which its maximum may cut; nullopt: it is not live, or was revoked.
  std::optional<absl::Duration> Renew(const std::string& id, absl::Duration ttl, Owner owner = {});

  // Ends leases that were not reported in time and reports that wait too long; a few times a
  // second.
  void Tick();
  // Grants nothing any more.
  void StartDraining() { draining_.store(true); }
  // Gives all live leases back.
  void ReturnAll();

  size_t live() const { return leases_.live(); }
  int64_t Now() const { return options_.clock->BootNanos(); }

 private:
  struct Batch;

  Decision Judge(Face face, const Route& route, LeaseOr lease);
  std::optional<api::ReportResult> ReportOne(Face face, Owner owner, api::ReportItem item,
                                             size_t index, const std::shared_ptr<Batch>& batch);
  std::optional<api::ReportResult> ReportEarly(Face face, Owner owner, const LeaseId& id,
                                               api::ReportItem item, size_t index,
                                               const std::shared_ptr<Batch>& batch);
  // What is left until a deadline of the lease table; nullopt: nothing, or there is none.
  std::optional<absl::Duration> Left(std::optional<int64_t> deadline) const;
  void Count(Face face, const Route& route, Granting what) {
    metrics_.acquired(face, route.index, what).Increment();
  }

  LeaseSource& source_;
  Metrics& metrics_;
  const Options options_;
  LeaseTable leases_;
  std::atomic<bool> draining_{false};
  client::Mutex mutex_;
  std::vector<std::weak_ptr<Batch>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_DESK_H_
