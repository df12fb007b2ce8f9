// What the committer writes of its own accord: health behind its changes, and the end of what has
// expired.
#include <algorithm>
#include <optional>
#include <utility>

#include "server/engine/committer.h"

namespace credbroker::engine {

void Committer::FlushHealth() {
  {
    MutexLock lock(mutex_);
    health_dirty_ = false;
  }
  Dirty dirty = dirty_.TakeDirty();
  if (dirty.empty()) return;
  std::vector<store::Write> writes;
  BuildHealth(dirty, writes);
  if (writes.empty()) return;
  if (Commit(writes).ok()) return;
  dirty_.PutBackDirty(std::move(dirty));
  MutexLock lock(mutex_);
  // Absolute values, so trying again later loses nothing; stopping, there is no later.
  health_dirty_ = !stopping_;
  flush_at_ = Steady::now() + std::max(absl::ToChronoNanoseconds(options_.health_delay),
                                       std::chrono::nanoseconds(std::chrono::milliseconds(200)));
}

void Committer::BuildHealth(Dirty& dirty, std::vector<store::Write>& writes) {
  using store::RowKind;
  const store::RecordSealer& sealer = *context_.sealer;
  struct Line {
    DirtyRow row;
    std::shared_ptr<const core::HealthRecord> health;
    std::optional<core::CredentialView> view;
  };
  auto next = dirty.rows.begin();
  while (next != dirty.rows.end()) {
    std::vector<std::pair<std::string, Line>> step;
    context_.pool->Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
      StepBudget budget;
      for (; next != dirty.rows.end() && budget.Spend(); ++next) {
        Line line{.row = next->second, .health = nullptr, .view = std::nullopt};
        if (line.row.health) line.health = pool.Health(next->first);
        if (line.row.intent || line.row.first_line != 0) line.view = pool.Get(next->first, now);
        step.emplace_back(next->first, std::move(line));
      }
    });
    for (auto& [id, line] : step) {
      // Health of a deleted incarnation is never written.
      if (line.health != nullptr && line.health->uid == line.row.uid) {
        writes.push_back(sealer.Put(RowKind::kHealth, id, store::EncodeHealth(*line.health)));
      }
      if (!line.view || line.view->uid != line.row.uid) continue;
      const core::CredentialView& view = *line.view;
      if (line.row.intent) {
        writes.push_back(
            sealer.Put(RowKind::kIntent, id, store::EncodeIntent(view.intent, view.uid)));
        writes.push_back(
            sealer.Put(RowKind::kDocument, id,
                       store::EncodeDocument(*view.document, view.uid, view.intent.since,
                                             /*has_intent=*/true)));
      }
      for (const core::TransitionView& past : view.history) {
        const uint64_t number = past.line.number;
        if (line.row.first_line == 0 || number < line.row.first_line) continue;
        writes.push_back(sealer.Put(RowKind::kHistory, store::HistoryKey(id, view.uid, number),
                                    store::EncodeHistory(past, view.uid)));
        if (number > store::kStoredHistory) {
          writes.push_back(store::RecordSealer::Erase(
              RowKind::kHistory, store::HistoryKey(id, view.uid, number - store::kStoredHistory)));
        }
      }
    }
    LetOthersIn();
  }
  for (const auto& [name, backoff] : dirty.backoffs) {
    std::string key = store::BackoffKey(*backoff, sealer.Blind(backoff->egress));
    context_.ledger->DropStaleBackoff(key);
    if (backoff->record.cause == core::Cause::kNone) {
      writes.push_back(store::RecordSealer::Erase(RowKind::kBackoff, std::move(key)));
    } else {
      writes.push_back(
          sealer.Put(RowKind::kBackoff, std::move(key), store::EncodeBackoff(*backoff)));
    }
  }
}

// Erases what is older than 24 h, a little at a time.
void Committer::Purge() {
  const absl::Time now = context_.pool->Now();
  if (now < next_purge_) return;
  next_purge_ = now + absl::Minutes(10);
  using store::RecordSealer;
  using store::RowKind;
  const Ledger::Expired expired = context_.ledger->TakeExpired(now, 500);
  if (expired.empty()) return;
  std::vector<store::Write> writes;
  writes.reserve(expired.requests.size());
  for (const std::string& key : expired.requests) {
    writes.push_back(RecordSealer::Erase(RowKind::kRequestId, key));
  }
  for (const auto& [id, parts] : expired.batches) {
    for (uint32_t part = 0; part < parts; ++part) {
      writes.push_back(RecordSealer::Erase(RowKind::kBatch, store::BatchKey(id, part)));
    }
  }
  for (const uint64_t hash : expired.spent) {
    writes.push_back(RecordSealer::Erase(RowKind::kSpentToken, store::SpentTokenKey(hash)));
  }
  for (const std::string& key : expired.backoffs) {
    writes.push_back(RecordSealer::Erase(RowKind::kBackoff, key));
  }
  for (const auto& [id, uid] : expired.tombstones) {
    writes.push_back(RecordSealer::Erase(RowKind::kTombstone, id));
    auto lines = context_.store->ReadPrefix({.kind = RowKind::kHistory,
                                             .prefix = store::HistoryPrefix(id, uid),
                                             .after = "",
                                             .limit = 2 * store::kStoredHistory});
    if (!lines.ok()) continue;
    for (store::Row& line : *lines) {
      writes.push_back(RecordSealer::Erase(RowKind::kHistory, std::move(line.key)));
    }
  }
  // What fails is found again by the next start.
  if (Commit(writes).ok()) next_purge_ = now + absl::Seconds(1);
}

}  // namespace credbroker::engine
