// One run of an importer: plans file after file, hands the rows to the fleet in bounded batches and
// collects the report. Private to importer.cc.
//
// Thread-compatible.
#ifndef CREDBROKER_SERVER_IMPORT_IMPORT_RUN_H_
#define CREDBROKER_SERVER_IMPORT_IMPORT_RUN_H_

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "server/import/importer.h"
#include "server/import/plan.h"

namespace credbroker::import {

// What an importer keeps of a source between runs.
struct SourceState {
  RetiredLogins retired;
  size_t live = 0;  // credentials that files of the source made
  // Retirements of the last ten minutes: a directory that goes away slowly goes away all the same.
  std::deque<std::pair<absl::Time, size_t>> removals;
};

class ImportRun {
 public:
  ImportRun(Planner::Options options, size_t batch_rows, Fleet& fleet, TokenBook& book,
            SourceState& source);

  // Retires what `scan`, a complete one, does not have any more, or holds back and says so.
  absl::Status RemoveMissing(const Scan& scan);
  void AddFailure(const std::string& path, const std::string& problem);
  // Everything is applied when it returns OK.
  absl::Status AddFiles(std::vector<SourceFile> files);
  ImportReport TakeReport(size_t max_results);

 private:
  struct Planned {
    SourceFile file;  // for another attempt; empty for removals
    std::vector<PlannedRow> rows;
  };

  bool Collides(const std::vector<PlannedRow>& rows) const;
  void HoldBackRemovals(std::vector<PlannedRow>& rows);
  void Queue(Planned planned);
  absl::Status Flush();
  absl::Status TryAgain(Planned& planned, const absl::flat_hash_set<std::string>& ids, int attempt);
  void Done(PlannedRow& row, const absl::Status& status);
  void Report(EntryResult result);
  size_t RecentRemovals() const;

  const Planner::Options options_;
  const size_t batch_rows_;
  Fleet& fleet_;
  TokenBook& book_;
  SourceState& source_;
  Planner planner_;
  std::vector<Planned> batch_;
  absl::flat_hash_set<std::string> batch_ids_;
  size_t queued_rows_ = 0;
  size_t owned_logins_ = 0;
  ImportReport report_;
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_IMPORT_RUN_H_
