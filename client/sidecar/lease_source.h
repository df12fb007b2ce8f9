// Where leases come from: the seam between what the sidecar decides and the session that serves it.
//
// Thread-safety: a LeaseSource may be used by any thread; one thread at a time uses a HeldLease.
#ifndef CREDBROKER_CLIENT_SIDECAR_LEASE_SOURCE_H_
#define CREDBROKER_CLIENT_SIDECAR_LEASE_SOURCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/sidecar/route_table.h"
#include "credbroker/client/lease.h"
#include "credbroker/client/outcome.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;

// A lease of the broker's. Destroying it gives it back.
class HeldLease {
 public:
  HeldLease() = default;
  virtual ~HeldLease() = default;
  HeldLease(const HeldLease&) = delete;
  HeldLease& operator=(const HeldLease&) = delete;

  // Names in lower case.
  virtual const std::vector<client::Header>& headers() const = 0;
  virtual absl::string_view proxy_url() const = 0;
  virtual const std::string& base_url() const = 0;
  virtual const std::string& model() const = 0;
  virtual const std::string& credential_id() const = 0;
  virtual const std::string& provider() const = 0;
  // Made from the last known material while the broker was away.
  virtual bool served_last() const = 0;
  virtual bool from_stock() const = 0;
  // It ended at the broker, or the credential is gone: not to be used any more.
  virtual bool revoked() const = 0;
  // With an empty lease_id; secrets included.
  virtual void CopyTo(api::Grant* grant) const = 0;

  virtual void Renew(absl::Duration ttl) = 0;
  // Ends it unless item.early. `done` is called once, when the broker answered.
  virtual void Report(api::ReportItem item, client::ReportCallback done) = 0;
  virtual void Release() = 0;
  // As Release; nobody reported it in time.
  virtual void Expire() = 0;
};

using LeaseOr = absl::StatusOr<std::unique_ptr<HeldLease>>;

class LeaseSource {
 public:
  virtual ~LeaseSource() = default;

  // `done` is called exactly once, by the caller if a lease was at hand, else by another thread
  // that must not be blocked, after timeout at the latest. `request` was checked; its request_id
  // is not looked at. `route` outlives the source.
  virtual void Acquire(const Route& route, const api::AcquireRequest& request,
                       absl::Duration timeout, std::function<void(LeaseOr)> done) = 0;
  // Whether the broker answers now.
  virtual bool connected() const = 0;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_LEASE_SOURCE_H_
