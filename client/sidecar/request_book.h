// Which lease a request_id got: a retried call gets the same lease, not a second one.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_CLIENT_SIDECAR_REQUEST_BOOK_H_
#define CREDBROKER_CLIENT_SIDECAR_REQUEST_BOOK_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "client/session/mutex.h"
#include "client/sidecar/lease_table.h"

namespace credbroker::sidecar {

class RequestBook {
 public:
  struct Known {
    uint64_t arguments = 0;  // hash of everything that was asked
    LeaseId lease;
  };
  std::optional<Known> Find(const std::string& request_id, int64_t now);
  // Remembers until `forget` (boot clock, nanoseconds). The one that was first, if it is known
  // already: then nothing is changed.
  std::optional<Known> Add(const std::string& request_id, const Known& known, int64_t now,
                           int64_t forget);

 private:
  static constexpr size_t kMax = 65'536;
  void Forget(int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  client::Mutex mutex_;
  absl::flat_hash_map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<int64_t, std::string>> order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_REQUEST_BOOK_H_
