// What changed in memory and is not yet on disk: the write-behind map. Values are not kept, only
// which credential: the flush reads what is true then, so any number of changes costs one row.
//
// Thread-compatible; the engine guards it with the pool's lock.
#ifndef CREDBROKER_SERVER_ENGINE_DIRTY_H_
#define CREDBROKER_SERVER_ENGINE_DIRTY_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "core/change.h"

namespace credbroker::engine {

struct DirtyRow {
  core::Uid uid;
  absl::Time since = absl::InfiniteFuture();
  bool health = false;
  bool intent = false;      // the schedule enabled it again
  uint64_t first_line = 0;  // history from this number on; 0: none
};

struct Dirty {
  absl::flat_hash_map<std::string, DirtyRow> rows;
  // By provider, model and egress.
  std::map<std::tuple<std::string, std::string, std::string>,
           std::shared_ptr<const core::BackoffRecord>>
      backoffs;
  absl::Time backoffs_since = absl::InfiniteFuture();

  bool empty() const { return rows.empty() && backoffs.empty(); }
  absl::Time oldest() const {
    absl::Time oldest = backoffs_since;
    for (const auto& [id, row] : rows) oldest = std::min(oldest, row.since);
    return oldest;
  }

  void Add(const core::Change& change, absl::Time now) {
    if (change.kind == core::RecordKind::kBackoff) {
      if (change.backoff == nullptr) return;
      const core::BackoffRecord& backoff = *change.backoff;
      backoffs[{backoff.provider, backoff.model, backoff.egress}] = change.backoff;
      backoffs_since = std::min(backoffs_since, now);
      return;
    }
    const bool health = change.kind == core::RecordKind::kHealth && change.health != nullptr;
    const bool intent = change.why == core::Why::kScheduleEnabled;
    if (!health && !intent && !change.transition) return;
    Merge(change.id, DirtyRow{.uid = change.uid,
                              .since = now,
                              .health = health,
                              .intent = intent,
                              .first_line = change.transition ? change.transition->number : 0});
  }

  // `row` is what was dirty before or besides.
  void Merge(const std::string& id, const DirtyRow& row) {
    DirtyRow& known = rows[id];
    if (known.uid != row.uid) {
      if (known.uid > row.uid) return;  // of an incarnation before
      known = DirtyRow{.uid = row.uid};
    }
    known.since = std::min(known.since, row.since);
    known.health |= row.health;
    known.intent |= row.intent;
    if (row.first_line != 0 && (known.first_line == 0 || row.first_line < known.first_line)) {
      known.first_line = row.first_line;
    }
  }

  // Puts back what could not be written.
  void MergeBack(Dirty old) {
    for (const auto& [id, row] : old.rows) Merge(id, row);
    for (auto& [key, backoff] : old.backoffs) backoffs.emplace(key, std::move(backoff));
    backoffs_since = std::min(backoffs_since, old.backoffs_since);
  }
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_DIRTY_H_
