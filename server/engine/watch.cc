#include "server/engine/watch.h"

#include <algorithm>
#include <utility>

namespace credbroker::engine {

Subscription::Subscription(size_t limit, std::function<void()> on_ready, uint64_t begins_after,
                           std::deque<NumberedChange> missed)
    : limit_(limit),
      on_ready_(std::move(on_ready)),
      begins_after_(begins_after),
      queue_(std::move(missed)) {}

Subscription::Batch Subscription::Take(size_t max) {
  MutexLock lock(mutex_);
  Batch batch;
  const size_t count = std::min(max, queue_.size());
  batch.changes.assign(std::make_move_iterator(queue_.begin()),
                       std::make_move_iterator(queue_.begin() + static_cast<ptrdiff_t>(count)));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  batch.cut = cut_ && queue_.empty();
  return batch;
}

bool Subscription::Push(const NumberedChange& change) {
  bool tell = false, open = true;
  {
    MutexLock lock(mutex_);
    if (cut_) return false;
    if (queue_.size() >= limit_) {
      cut_ = true;
      open = false;
      tell = true;
    } else {
      tell = queue_.empty();
      queue_.push_back(change);
    }
  }
  if (tell && on_ready_) on_ready_();
  return open;
}

std::shared_ptr<Subscription> WatchHub::Subscribe(size_t limit, std::function<void()> on_ready,
                                                  std::optional<uint64_t> after) {
  MutexLock lock(mutex_);
  std::deque<NumberedChange> missed;
  if (after) {
    if (*after > number_ || number_ - *after > kept_.size()) return nullptr;
    missed.assign(kept_.end() - static_cast<ptrdiff_t>(number_ - *after), kept_.end());
  }
  auto subscription = std::make_shared<Subscription>(limit, std::move(on_ready),
                                                     after.value_or(number_), std::move(missed));
  subscriptions_.push_back(subscription);
  return subscription;
}

void WatchHub::Publish(std::vector<core::Change> changes) {
  std::vector<NumberedChange> numbered;
  numbered.reserve(changes.size());
  for (core::Change& change : changes) {
    change.secret = nullptr;
    numbered.push_back(
        {.number = 0, .change = std::make_shared<const core::Change>(std::move(change))});
  }
  std::vector<std::shared_ptr<Subscription>> open;
  {
    MutexLock lock(mutex_);
    // Kept before it is handed out: who subscribes in between finds it here.
    for (NumberedChange& each : numbered) {
      each.number = ++number_;
      kept_.push_back(each);
      if (kept_.size() > kKept) kept_.pop_front();
    }
    std::erase_if(subscriptions_, [](const auto& weak) { return weak.expired(); });
    for (const auto& weak : subscriptions_) {
      if (auto subscription = weak.lock()) open.push_back(std::move(subscription));
    }
  }
  if (open.empty()) return;
  std::vector<std::shared_ptr<Subscription>> cut;
  for (const NumberedChange& each : numbered) {
    std::erase_if(open, [&](const std::shared_ptr<Subscription>& subscription) {
      if (subscription->Push(each)) return false;
      cut.push_back(subscription);
      return true;
    });
  }
  if (cut.empty()) return;
  MutexLock lock(mutex_);
  cut_count_ += cut.size();
  std::erase_if(subscriptions_, [&](const auto& weak) {
    return std::find(cut.begin(), cut.end(), weak.lock()) != cut.end();
  });
}

WatchHub::Counts WatchHub::counts() const {
  MutexLock lock(mutex_);
  return {.last_number = number_, .watchers = subscriptions_.size(), .cut = cut_count_};
}

}  // namespace credbroker::engine
