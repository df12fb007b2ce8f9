// Which lease a request_id got: a retried call gets the same lease, not a second one. An id is its
// principal's: two of them may use the same one.
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
#include "absl/strings/string_view.h"
#include "client/session/mutex.h"
#include "client/sidecar/lease_table.h"

namespace credbroker::sidecar {

class RequestBook {
 public:
  struct Known {
    uint64_t arguments = 0;  // hash of everything that was asked
    LeaseId lease;
  };
  // What an id is known by.
  static std::string KeyOf(absl::string_view principal, absl::string_view request_id);
  // The same for the same request, in whatever order its labels are.
  static uint64_t HashOf(const api::AcquireRequest& request);

  std::optional<Known> Find(const std::string& key, int64_t now);
  // Remembers until `forget` (boot clock, nanoseconds), or until kMax others came. A lease may be
  // renewed: to be remembered for as long as it can live. The one that was first, if it is known
  // already: then nothing is changed.
  std::optional<Known> Add(const std::string& key, const Known& known, int64_t now, int64_t forget);

 private:
  static constexpr size_t kMax = 65'536;
  void Forget(int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  client::Mutex mutex_;
  absl::flat_hash_map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<int64_t, std::string>> order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_REQUEST_BOOK_H_
