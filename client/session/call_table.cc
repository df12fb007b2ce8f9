#include "client/session/call_table.h"

#include <algorithm>

#include "client/session/wire_time.h"

namespace credbroker::client {
namespace {

// A grant that comes later than this before the deadline would not reach the caller in time.
constexpr absl::Duration kAnswerTravel = absl::Milliseconds(20);

// AcquireRequest.max_wait.
constexpr absl::Duration kLongestWait = absl::Seconds(60);

}  // namespace

void CallTable::Add(AcquireCall call) {
  const uint64_t id = call.id;
  by_deadline_.emplace(call.deadline_ns, id);
  unsent_.push_back(id);
  calls_[id].call = std::move(call);
}

AcquireCall CallTable::Take(uint64_t id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return {};
  AcquireCall call = std::move(found->second.call);
  calls_.erase(found);
  by_deadline_.erase({call.deadline_ns, id});
  return call;
}

AcquireCall CallTable::Cancel(uint64_t id) {
  const auto found = calls_.find(id);
  if (found != calls_.end() && found->second.sent) cancelled_.push_back(id);
  return Take(id);
}

std::vector<uint64_t> CallTable::Due(int64_t now) const {
  std::vector<uint64_t> due;
  for (const auto& [deadline, id] : by_deadline_) {
    if (deadline > now) break;
    due.push_back(id);
  }
  return due;
}

int64_t CallTable::NextDue() const {
  return by_deadline_.empty() ? kNever : by_deadline_.begin()->first;
}

std::vector<uint64_t> CallTable::All() const {
  std::vector<uint64_t> all;
  all.reserve(by_deadline_.size());
  for (const auto& [deadline, id] : by_deadline_) all.push_back(id);
  return all;
}

size_t CallTable::Fill(v1::SessionRequest* message, size_t budget, int64_t now) {
  size_t count = 0;
  for (; count < budget && !unsent_.empty(); unsent_.pop_front()) {
    const auto found = calls_.find(unsent_.front());
    if (found == calls_.end() || found->second.sent) continue;
    const AcquireCall& call = found->second.call;
    v1::SessionAcquire* acquire = message->add_acquires();
    acquire->set_call(call.id);
    acquire->set_target(call.target);
    *acquire->mutable_request() = call.request;
    const absl::Duration left = absl::Nanoseconds(call.deadline_ns - now) - kAnswerTravel;
    const absl::Duration wait =
        std::min({call.max_wait, std::max(left, absl::ZeroDuration()), kLongestWait});
    if (wait > absl::ZeroDuration()) ToWire(wait, acquire->mutable_request()->mutable_max_wait());
    found->second.sent = true;
    ++count;
  }
  while (count < budget && !cancelled_.empty()) {
    message->add_cancelled_calls(cancelled_.back());
    cancelled_.pop_back();
    ++count;
  }
  return count;
}

void CallTable::Resend(uint64_t id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  found->second.sent = false;
  unsent_.push_back(id);
}

std::vector<uint64_t> CallTable::Sent() const {
  std::vector<uint64_t> sent;
  for (const auto& [id, entry] : calls_) {
    if (entry.sent) sent.push_back(id);
  }
  return sent;
}

void CallTable::Rewind() {
  cancelled_.clear();
  unsent_.clear();
  for (const auto& [deadline, id] : by_deadline_) {
    calls_[id].sent = false;
    unsent_.push_back(id);
  }
}

}  // namespace credbroker::client
