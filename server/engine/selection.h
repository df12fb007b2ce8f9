// Selections frozen by dry runs: names, etags and the filter, for 10 minutes. In memory only: a
// restart ends them, and their users try again.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_SERVER_ENGINE_SELECTION_H_
#define CREDBROKER_SERVER_ENGINE_SELECTION_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/engine/admin_types.h"
#include "server/engine/etag.h"
#include "server/engine/mutex.h"

namespace credbroker::engine {

struct FrozenSelection {
  std::string actor;
  std::vector<std::pair<std::string, Etag>> rows;  // uid 0: the id did not exist
  DocumentFilter filter;                           // null: by id
};

class SelectionBook {
 public:
  static constexpr absl::Duration kLifetime = absl::Minutes(10);
  static constexpr size_t kMaxSelections = 64;
  static constexpr size_t kMaxRows = 1'000'000;  // of all of them; the oldest go first

  std::string Keep(FrozenSelection selection, absl::Time now);
  // Null: unknown, too old, or another actor's.
  std::shared_ptr<const FrozenSelection> Find(absl::string_view token, absl::string_view actor,
                                              absl::Time now);

 private:
  struct Entry {
    std::string token;
    absl::Time expires;
    std::shared_ptr<const FrozenSelection> selection;
  };
  void Trim(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // oldest first
  size_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_SELECTION_H_
