#include "server/engine/ledger.h"

#include <algorithm>

namespace credbroker::engine {
namespace {

bool Past(absl::Time time, absl::Time now) { return time + kLedgerRetention <= now; }

}  // namespace

void Ledger::AddRequest(store::RequestEntry entry) {
  std::string key = store::RequestKey(entry.principal, entry.request_id);
  requests_[std::move(key)] = std::move(entry);
}

void Ledger::AddBatch(const std::string& batch_id, BatchName name) {
  BatchName& known = batches_[batch_id];
  known.time = name.time;
  known.parts = std::max(known.parts, name.parts);
}

void Ledger::AddTombstone(const std::string& id, TombstoneName name) { tombstones_[id] = name; }

void Ledger::AddSpent(uint64_t hash, absl::Time when) { spent_.emplace(when, hash); }

const store::RequestEntry* Ledger::FindRequest(absl::string_view key, absl::Time now) const {
  const auto found = requests_.find(key);
  if (found == requests_.end() || Past(found->second.time, now)) return nullptr;
  return &found->second;
}

const Ledger::BatchName* Ledger::FindBatch(absl::string_view batch_id, absl::Time now) const {
  const auto found = batches_.find(batch_id);
  if (found == batches_.end() || Past(found->second.time, now)) return nullptr;
  return &found->second;
}

const Ledger::TombstoneName* Ledger::FindTombstone(absl::string_view id, absl::Time now) const {
  const auto found = tombstones_.find(id);
  if (found == tombstones_.end() || Past(found->second.deleted, now)) return nullptr;
  return &found->second;
}

Ledger::Expired Ledger::TakeExpired(absl::Time now, size_t limit) {
  Expired expired;
  size_t taken = 0;
  const auto take = [&](auto& map, auto is_past, auto record) {
    for (auto it = map.begin(); it != map.end() && taken < limit;) {
      if (!is_past(it->second)) {
        ++it;
        continue;
      }
      record(it->first, it->second);
      map.erase(it++);
      ++taken;
    }
  };
  take(
      requests_, [&](const store::RequestEntry& entry) { return Past(entry.time, now); },
      [&](const std::string& key, const store::RequestEntry&) { expired.requests.push_back(key); });
  take(
      batches_, [&](const BatchName& name) { return Past(name.time, now); },
      [&](const std::string& id, const BatchName& name) {
        expired.batches.emplace_back(id, name.parts);
      });
  take(
      tombstones_, [&](const TombstoneName& name) { return Past(name.deleted, now); },
      [&](const std::string& id, const TombstoneName& name) {
        expired.tombstones.emplace_back(id, name.uid);
      });
  while (!spent_.empty() && taken < limit &&
         (spent_.size() > kMaxSpentTokens || spent_.begin()->first + kSpentRetention <= now)) {
    expired.spent.push_back(spent_.begin()->second);
    spent_.erase(spent_.begin());
    ++taken;
  }
  for (; !backoffs_.empty() && taken < limit; ++taken) {
    expired.backoffs.push_back(std::move(backoffs_.back()));
    backoffs_.pop_back();
  }
  return expired;
}

}  // namespace credbroker::engine
