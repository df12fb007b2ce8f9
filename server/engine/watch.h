// Subscriptions to the list of changes: bounded queues between the engine and watchers.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_SERVER_ENGINE_WATCH_H_
#define CREDBROKER_SERVER_ENGINE_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/change.h"
#include "server/engine/mutex.h"

namespace credbroker::engine {

// Changes carry consecutive numbers within one run of the broker, from 1.
struct NumberedChange {
  uint64_t number = 0;
  std::shared_ptr<const core::Change> change;
};

// One watcher's queue. Never carries secrets: `secret` of a change is null here.
class Subscription {
 public:
  // `on_ready` runs, on a thread of the engine, when the queue becomes non-empty or is cut; it must
  // not block and may call Take. `missed` are in the queue from the start, without a call.
  Subscription(size_t limit, std::function<void()> on_ready, uint64_t begins_after,
               std::deque<NumberedChange> missed);

  // The number before the first change it can have.
  uint64_t begins_after() const { return begins_after_; }

  struct Batch {
    std::vector<NumberedChange> changes;  // in order
    bool cut = false;                     // the watcher was too slow: nothing comes after these
  };
  Batch Take(size_t max = 256);

  // Engine only. False once it was cut.
  bool Push(const NumberedChange& change);

 private:
  const size_t limit_;
  const std::function<void()> on_ready_;
  const uint64_t begins_after_;
  Mutex mutex_;
  std::deque<NumberedChange> queue_ ABSL_GUARDED_BY(mutex_);
  bool cut_ ABSL_GUARDED_BY(mutex_) = false;
};

// Hands each change to every subscription, in the order the pool made them.
class WatchHub {
 public:
  static constexpr size_t kKept = 4096;  // past changes, for watchers that come back

  // The hub keeps a weak reference: dropping the subscription ends it. `after`: with all changes
  // that came after that number; null if they are not kept any more, or there is no such number.
  std::shared_ptr<Subscription> Subscribe(size_t limit, std::function<void()> on_ready,
                                          std::optional<uint64_t> after = std::nullopt);
  // REQUIRES: one caller at a time, in order.
  void Publish(std::vector<core::Change> changes);
  struct Counts {
    uint64_t last_number = 0;
    uint64_t watchers = 0;  // some may have gone already
    uint64_t cut = 0;
  };
  Counts counts() const;

 private:
  mutable Mutex mutex_;
  std::vector<std::weak_ptr<Subscription>> subscriptions_ ABSL_GUARDED_BY(mutex_);
  uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<NumberedChange> kept_ ABSL_GUARDED_BY(mutex_);  // the last ones
  uint64_t cut_count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_WATCH_H_
