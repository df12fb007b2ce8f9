#include "client/sidecar/request_book.h"

namespace credbroker::sidecar {

// In the order of arrival: an id with a short ttl behind one with a long one is kept a little
// longer, which harms nobody.
void RequestBook::Forget(int64_t now) {
  while (!order_.empty() && (order_.front().first <= now || order_.size() >= kMax)) {
    known_.erase(order_.front().second);
    order_.pop_front();
  }
}

std::optional<RequestBook::Known> RequestBook::Find(const std::string& request_id, int64_t now) {
  client::MutexLock lock(mutex_);
  Forget(now);
  const auto found = known_.find(request_id);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

std::optional<RequestBook::Known> RequestBook::Add(const std::string& request_id,
                                                   const Known& known, int64_t now,
                                                   int64_t forget) {
  client::MutexLock lock(mutex_);
  Forget(now);
  const auto [entry, added] = known_.try_emplace(request_id, known);
  if (!added) return entry->second;
  order_.emplace_back(forget, request_id);
  return std::nullopt;
}

}  // namespace credbroker::sidecar
