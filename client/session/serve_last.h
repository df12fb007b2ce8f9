// The last known material of each target, for when the broker is away.
//
// Thread-safety: the session's thread only.
#ifndef CREDBROKER_CLIENT_SESSION_SERVE_LAST_H_
#define CREDBROKER_CLIENT_SESSION_SERVE_LAST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "client/session/record.h"
#include "credbroker/client/target.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::client {

class ServeLast {
 public:
  // Of one target: the newest so many (credential, model) are remembered.
  static constexpr size_t kRemembered = 32;

  struct Known {
    std::shared_ptr<Credential> credential;
    std::shared_ptr<const std::string> model;
    uint64_t order = 0;
  };
  struct Served {
    Known known;
    // To be given to Ended.
    std::shared_ptr<int> in_use;
  };

  ServeLast() = default;
  ServeLast(const ServeLast&) = delete;
  ServeLast& operator=(const ServeLast&) = delete;

  // The broker granted this lease for the target. Capped credentials are never remembered.
  void Granted(const LeaseRecord& record);
  // By turns; `request` may pin or exclude. Counts as in use until Ended.
  absl::StatusOr<Served> Serve(TargetId id, const Target& target, const v1::AcquireRequest& request,
                               int64_t now);
  // A lease that was served ended. Counts for the target it was served for, which may be forgotten.
  static void Ended(int& in_use) { --in_use; }
  // The id may be another target's from now on.
  void Forget(TargetId id) { entries_.erase(id); }
  // What was revoked, or is not known to the broker any more: not served until it is granted again.
  void ForgetIf(const std::function<bool(const Known&)>& gone);
  // The session is a new one: orders of before mean nothing.
  void ForgetOrders();

 private:
  struct Entry {
    std::vector<Known> known;
    size_t oldest = 0;
    size_t next = 0;
    // Shared with the leases it counts, which may outlive the target.
    std::shared_ptr<int> in_use = std::make_shared<int>(0);
  };
  absl::flat_hash_map<TargetId, Entry> entries_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_SERVE_LAST_H_
