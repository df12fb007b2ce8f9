#include "client/sidecar/lease_table.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace credbroker::sidecar {
namespace {

constexpr absl::string_view kPrefix = "s_";  // tells ids of a sidecar from the broker's in logs
constexpr size_t kIdBytes = 16;
constexpr size_t kTextBytes = 24;

}  // namespace

std::string ToText(const LeaseId& id) {
  std::array<char, kIdBytes> bytes;
  std::memcpy(bytes.data(), &id.high, 8);
  std::memcpy(bytes.data() + 8, &id.low, 8);
  return absl::StrCat(kPrefix,
                      absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size())));
}

std::optional<LeaseId> ParseLeaseId(absl::string_view text) {
  std::string bytes;
  if (text.size() != kTextBytes || text.substr(0, kPrefix.size()) != kPrefix ||
      !absl::WebSafeBase64Unescape(text.substr(kPrefix.size()), &bytes) ||
      bytes.size() != kIdBytes) {
    return std::nullopt;
  }
  LeaseId id;
  std::memcpy(&id.high, bytes.data(), 8);
  std::memcpy(&id.low, bytes.data() + 8, 8);
  // Base64 has spare bits at the end: one id, one text.
  if (ToText(id) != text) return std::nullopt;
  return id;
}

LeaseTable::LeaseTable(Options options) : options_(std::move(options)) {}

LeaseId LeaseTable::NewId() { return {options_.random(), options_.random()}; }

void LeaseTable::Cap(Terms& terms) {
  terms.deadline = std::min(terms.deadline, terms.granted + absl::ToInt64Nanoseconds(kMaxLife));
}

bool LeaseTable::Put(const LeaseId& id, std::unique_ptr<HeldLease>& lease, Terms terms) {
  if (live_.fetch_add(1, std::memory_order_relaxed) >= options_.max_leases) {
    live_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  Shard& shard = ShardOf(id);
  client::MutexLock lock(shard.mutex);
  Cap(terms);
  shard.deadlines.emplace(terms.deadline, id);
  shard.live.insert_or_assign(id, Live{std::move(lease), std::move(terms)});
  return true;
}

LeaseTable::Live* LeaseTable::FindLive(Shard& shard, const LeaseId& id, absl::string_view owner) {
  const auto found = shard.live.find(id);
  return found == shard.live.end() || found->second.terms.owner != owner ? nullptr : &found->second;
}

std::unique_ptr<HeldLease> LeaseTable::Remove(Shard& shard, const LeaseId& id, LeaseEnd how,
                                              int64_t now) {
  const auto found = shard.live.find(id);
  if (found == shard.live.end()) return nullptr;
  std::unique_ptr<HeldLease> lease = std::move(found->second.lease);
  shard.deadlines.erase({found->second.terms.deadline, id});
  std::string owner = std::move(found->second.terms.owner);
  shard.live.erase(found);
  live_.fetch_sub(1, std::memory_order_relaxed);
  while (!shard.ended_order.empty() &&
         (shard.ended_order.size() >= kMaxEnded || shard.ended_order.front().first <= now)) {
    shard.ended.erase(shard.ended_order.front().second);
    shard.ended_order.pop_front();
  }
  if (options_.ended_retention > absl::ZeroDuration()) {
    Ended& ended = shard.ended[id];
    ended.owner = std::move(owner);
    ended.how = how;
    shard.ended_order.emplace_back(now + absl::ToInt64Nanoseconds(options_.ended_retention), id);
  }
  return lease;
}

LeaseTable::Taken LeaseTable::Take(const LeaseId& id, absl::string_view owner, LeaseEnd how,
                                   int64_t now) {
  Taken taken;
  Shard& shard = ShardOf(id);
  client::MutexLock lock(shard.mutex);
  if (FindLive(shard, id, owner) != nullptr) {
    taken.lease = Remove(shard, id, how, now);
    return taken;
  }
  const auto found = shard.ended.find(id);
  if (found != shard.ended.end() && found->second.owner == owner) {
    taken.ended = found->second.how;
    taken.answer = found->second.answer;
  }
  return taken;
}

void LeaseTable::SetAnswer(const LeaseId& id, const api::ReportResult& answer) {
  Shard& shard = ShardOf(id);
  client::MutexLock lock(shard.mutex);
  if (const auto found = shard.ended.find(id); found != shard.ended.end()) {
    found->second.answer = answer;
  }
}

std::optional<int64_t> LeaseTable::Use(const LeaseId& id, absl::string_view owner,
                                       absl::FunctionRef<void(HeldLease&)> use) {
  Shard& shard = ShardOf(id);
  client::MutexLock lock(shard.mutex);
  Live* live = FindLive(shard, id, owner);
  if (live == nullptr) return std::nullopt;
  use(*live->lease);
  return live->terms.deadline;
}

std::optional<int64_t> LeaseTable::Prolong(const LeaseId& id, absl::string_view owner,
                                           int64_t deadline) {
  Shard& shard = ShardOf(id);
  client::MutexLock lock(shard.mutex);
  Live* live = FindLive(shard, id, owner);
  if (live == nullptr) return std::nullopt;
  shard.deadlines.erase({live->terms.deadline, id});
  live->terms.deadline = deadline;
  Cap(live->terms);
  shard.deadlines.emplace(live->terms.deadline, id);
  return live->terms.deadline;
}

std::vector<std::unique_ptr<HeldLease>> LeaseTable::TakeExpired(int64_t now, size_t max) {
  std::vector<std::unique_ptr<HeldLease>> expired;
  for (Shard& shard : shards_) {
    client::MutexLock lock(shard.mutex);
    while (expired.size() < max && !shard.deadlines.empty() &&
           shard.deadlines.begin()->first <= now) {
      const LeaseId id = shard.deadlines.begin()->second;
      expired.push_back(Remove(shard, id, LeaseEnd::kExpired, now));
    }
  }
  return expired;
}

std::vector<std::unique_ptr<HeldLease>> LeaseTable::TakeAll(int64_t now) {
  std::vector<std::unique_ptr<HeldLease>> all;
  for (Shard& shard : shards_) {
    client::MutexLock lock(shard.mutex);
    while (!shard.deadlines.empty()) {
      const LeaseId id = shard.deadlines.begin()->second;
      all.push_back(Remove(shard, id, LeaseEnd::kReleased, now));
    }
  }
  return all;
}

}  // namespace credbroker::sidecar
