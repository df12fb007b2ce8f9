#include "client/sidecar/request_book.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace credbroker::sidecar {

std::string RequestBook::KeyOf(absl::string_view principal, absl::string_view request_id) {
  return absl::StrCat(principal, absl::string_view("\0", 1), request_id);
}

uint64_t RequestBook::HashOf(const api::AcquireRequest& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    // Else a map's entries come as they lie in memory.
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  return std::hash<std::string>()(bytes);
}

// In the order of arrival.
void RequestBook::Forget(int64_t now) {
  while (!order_.empty() && (order_.front().first <= now || order_.size() >= kMax)) {
    known_.erase(order_.front().second);
    order_.pop_front();
  }
}

std::optional<RequestBook::Known> RequestBook::Find(const std::string& key, int64_t now) {
  client::MutexLock lock(mutex_);
  Forget(now);
  const auto found = known_.find(key);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

std::optional<RequestBook::Known> RequestBook::Add(const std::string& key, const Known& known,
                                                   int64_t now, int64_t forget) {
  client::MutexLock lock(mutex_);
  Forget(now);
  const auto [entry, added] = known_.try_emplace(key, known);
  if (!added) return entry->second;
  order_.emplace_back(forget, key);
  return std::nullopt;
}

}  // namespace credbroker::sidecar
