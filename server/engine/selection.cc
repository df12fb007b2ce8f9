#include "server/engine/selection.h"

#include "server/engine/random_id.h"

namespace credbroker::engine {

void SelectionBook::Trim(absl::Time now) {
  while (!entries_.empty() && (entries_.front().expires <= now || rows_ > kMaxRows ||
                               entries_.size() > kMaxSelections)) {
    // The newest stays however large it is, else its maker could not use it.
    if (entries_.size() == 1 && entries_.front().expires > now) return;
    rows_ -= entries_.front().selection->rows.size();
    entries_.pop_front();
  }
}

std::string SelectionBook::Keep(FrozenSelection selection, absl::Time now) {
  Entry entry{.token = RandomId(),
              .expires = now + kLifetime,
              .selection = std::make_shared<const FrozenSelection>(std::move(selection))};
  const std::string token = entry.token;
  MutexLock lock(mutex_);
  rows_ += entry.selection->rows.size();
  entries_.push_back(std::move(entry));
  Trim(now);
  return token;
}

std::shared_ptr<const FrozenSelection> SelectionBook::Find(absl::string_view token,
                                                           absl::string_view actor,
                                                           absl::Time now) {
  MutexLock lock(mutex_);
  Trim(now);
  for (const Entry& entry : entries_) {
    if (entry.token == token && entry.selection->actor == actor && entry.expires > now) {
      return entry.selection;
    }
  }
  return nullptr;
}

}  // namespace credbroker::engine
