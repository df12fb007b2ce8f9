#include "server/engine/watch.h"

#include <algorithm>
#include <utility>

namespace credbroker::engine {

Subscription::Subscription(size_t limit, std::function<void()> on_ready)
    : limit_(limit), on_ready_(std::move(on_ready)) {}

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

std::shared_ptr<Subscription> WatchHub::Subscribe(size_t limit, std::function<void()> on_ready) {
  auto subscription = std::make_shared<Subscription>(limit, std::move(on_ready));
  MutexLock lock(mutex_);
  subscriptions_.push_back(subscription);
  return subscription;
}

void WatchHub::Publish(std::vector<core::Change> changes) {
  std::vector<std::shared_ptr<Subscription>> open;
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    number = number_;
    number_ += changes.size();
    std::erase_if(subscriptions_, [](const auto& weak) { return weak.expired(); });
    for (const auto& weak : subscriptions_) {
      if (auto subscription = weak.lock()) open.push_back(std::move(subscription));
    }
  }
  if (open.empty()) return;
  std::vector<std::shared_ptr<Subscription>> cut;
  for (core::Change& change : changes) {
    change.secret = nullptr;
    const NumberedChange numbered{
        .number = ++number, .change = std::make_shared<const core::Change>(std::move(change))};
    std::erase_if(open, [&](const std::shared_ptr<Subscription>& subscription) {
      if (subscription->Push(numbered)) return false;
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
