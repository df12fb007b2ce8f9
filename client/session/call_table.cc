#include "client/session/call_table.h"

#include <algorithm>

namespace credbroker::client {
namespace {

// A grant that comes later than this before the deadline would not reach the caller in time.
constexpr absl::Duration kAnswerTravel = absl::Milliseconds(20);

// AcquireRequest.max_wait.
constexpr absl::Duration kLongestWait = absl::Seconds(60);

int64_t DueOf(const AcquireCall& call) { return std::min(call.deadline_ns, call.serve_ns); }

}  // namespace

void CallTable::Add(AcquireCall call) {
  const uint64_t id = call.id;
  by_due_.emplace(DueOf(call), id);
  unsent_.push_back(id);
  calls_[id].call = std::move(call);
}

AcquireCall CallTable::Take(uint64_t id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return {};
  AcquireCall call = std::move(found->second.call);
  calls_.erase(found);
  by_due_.erase({DueOf(call), id});
  return call;
}

AcquireCall CallTable::Cancel(uint64_t id) {
  const auto found = calls_.find(id);
  if (found != calls_.end() && found->second.sent) cancelled_.push_back(id);
  return Take(id);
}

std::vector<uint64_t> CallTable::Due(int64_t now) const {
  std::vector<uint64_t> ids;
  for (const auto& [due, id] : by_due_) {
    if (due > now) break;
    ids.push_back(id);
  }
  return ids;
}

const AcquireCall* CallTable::Find(uint64_t id) const {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : &found->second.call;
}

void CallTable::WaitOn(uint64_t id, int64_t serve_ns) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  AcquireCall& call = found->second.call;
  by_due_.erase({DueOf(call), id});
  call.serve_ns = serve_ns;
  by_due_.emplace(DueOf(call), id);
}

void CallTable::LeaveTarget(TargetId id) {
  for (const uint64_t call : All()) {
    if (calls_[call].call.target != id) continue;
    calls_[call].call.target = 0;
    WaitOn(call, kNever);
  }
}

int64_t CallTable::NextDue() const { return by_due_.empty() ? kNever : by_due_.begin()->first; }

std::vector<uint64_t> CallTable::All() const {
  std::vector<uint64_t> all;
  all.reserve(by_due_.size());
  for (const auto& [due, id] : by_due_) all.push_back(id);
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
  for (const auto& [due, id] : by_due_) {
    calls_[id].sent = false;
    unsent_.push_back(id);
  }
}

}  // namespace credbroker::client
