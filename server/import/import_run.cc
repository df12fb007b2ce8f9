#include "server/import/import_run.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/secret.h"

namespace credbroker::import {
namespace {

constexpr absl::Duration kRecent = absl::Minutes(10);
constexpr int kAttempts = 4;

bool Below(absl::string_view path, const std::vector<std::string>& directories) {
  return std::any_of(directories.begin(), directories.end(), [&](const std::string& directory) {
    return directory.empty() || absl::StartsWith(path, absl::StrCat(directory, "/"));
  });
}

}  // namespace

ImportRun::ImportRun(Planner::Options options, size_t batch_rows, Fleet& fleet, TokenBook& book,
                     SourceState& source)
    : options_(std::move(options)),
      batch_rows_(std::max<size_t>(batch_rows, 1)),
      fleet_(fleet),
      book_(book),
      source_(source),
      planner_(options_, fleet, book, source.retired) {
  const absl::Time now = fleet_.Now();
  while (!source_.removals.empty() && now - source_.removals.front().first > kRecent) {
    source_.removals.pop_front();
  }
}

size_t ImportRun::RecentRemovals() const {
  size_t recent = 0;
  for (const auto& [time, count] : source_.removals) recent += count;
  return recent;
}

void ImportRun::Report(EntryResult result) {
  ++report_.counts[static_cast<size_t>(result.action)];
  // A scan of a watched directory finds nearly everything unchanged: that is no news.
  if (result.action == Action::kUnchanged && !options_.by_hand) return;
  report_.results.push_back(std::move(result));
}

void ImportRun::AddFailure(const std::string& path, const std::string& problem) {
  ++report_.files;
  EntryResult result;
  result.path = path;
  result.action = Action::kRejected;
  result.reason = Reason::kInvalidFile;
  result.message = problem;
  Report(std::move(result));
}

absl::Status ImportRun::RemoveMissing(const Scan& scan) {
  auto applied = planner_.ReadApplied();
  if (!applied.ok()) return applied.status();
  absl::flat_hash_set<absl::string_view> present(scan.present.begin(), scan.present.end());
  for (const Scan::Failure& failure : scan.failures) present.insert(failure.path);
  for (const SourceFile& file : scan.files) present.insert(file.path);
  std::vector<PlannedRow> rows;
  size_t known = 0, missing = 0;
  for (const AppliedEntry& entry : *applied) {
    const bool lives = !entry.retired && fleet_.Find(entry.id).has_value();
    known += lives;
    if (present.contains(entry.path) || Below(entry.path, scan.unreadable)) continue;
    PlannedRow row = planner_.PlanRemoval(entry);
    if (row.edit) {
      ++missing;
    } else if (row.digests.empty()) {
      continue;
    } else if (entry.retired) {
      if (const auto login = PrimaryHash(entry.secrets)) source_.retired.erase(*login);
    }
    rows.push_back(std::move(row));
  }
  source_.live = known;
  const size_t recent = RecentRemovals();
  if (Planner::TooManyMissing(missing + recent, known + recent)) {
    report_.removals_held_back = true;
    report_.warnings.push_back(absl::StrCat(
        missing, " of ", known, " credentials of the source \"", options_.source.name,
        "\" have no file any more. That looks like a lost directory, so nothing was retired; "
        "delete them by hand if it is meant"));
    std::erase_if(rows, [](const PlannedRow& row) { return row.edit.has_value(); });
  }
  for (PlannedRow& row : rows) {
    Planned planned;
    // A record that only goes is no entry of the report.
    planned.rows.push_back(std::move(row));
    Queue(std::move(planned));
    if (queued_rows_ >= batch_rows_) {
      if (absl::Status status = Flush(); !status.ok()) return status;
    }
  }
  return Flush();
}

void ImportRun::HoldBackRemovals(std::vector<PlannedRow>& rows) {
  const auto removal = [](const PlannedRow& row) { return row.result.action == Action::kRetired; };
  const auto count = static_cast<size_t>(std::count_if(rows.begin(), rows.end(), removal));
  if (count == 0) return;
  const size_t recent = RecentRemovals();
  if (!Planner::TooManyMissing(count + recent, source_.live + recent)) return;
  report_.removals_held_back = true;
  report_.warnings.push_back(absl::StrCat(
      count, " entries went out of the file ", rows.front().result.path,
      ". That looks like a lost file, so nothing was retired; delete them by hand if it is meant"));
  std::erase_if(rows, removal);
}

bool ImportRun::Collides(const std::vector<PlannedRow>& rows) const {
  for (const PlannedRow& row : rows) {
    if (batch_ids_.contains(row.id)) return true;
    for (const engine::SourceDigest& digest : row.digests) {
      if (batch_ids_.contains(digest.id)) return true;
    }
  }
  return false;
}

void ImportRun::Queue(Planned planned) {
  for (const PlannedRow& row : planned.rows) {
    if (!row.edit && row.digests.empty()) continue;
    ++queued_rows_;
    batch_ids_.insert(row.id);
    for (const engine::SourceDigest& digest : row.digests) batch_ids_.insert(digest.id);
  }
  batch_.push_back(std::move(planned));
}

absl::Status ImportRun::AddFiles(std::vector<SourceFile> files) {
  for (SourceFile& file : files) {
    ++report_.files;
    auto rows = planner_.PlanFile(file);
    if (rows.ok() && Collides(*rows)) {
      // What was planned depends on rows that are on their way: look again when they are there.
      if (absl::Status status = Flush(); !status.ok()) return status;
      rows = planner_.PlanFile(file);
    }
    if (!rows.ok()) return rows.status();
    HoldBackRemovals(*rows);
    Queue({.file = std::move(file), .rows = *std::move(rows)});
    if (queued_rows_ >= batch_rows_ || batch_.size() >= 10 * batch_rows_) {
      if (absl::Status status = Flush(); !status.ok()) return status;
    }
  }
  return Flush();
}

absl::Status ImportRun::Flush() {
  engine::ImportRequest request;
  request.caller.actor = options_.actor;
  std::vector<std::pair<size_t, size_t>> places;  // of the edits: planned, row
  for (size_t p = 0; p < batch_.size(); ++p) {
    for (size_t r = 0; r < batch_[p].rows.size(); ++r) {
      PlannedRow& row = batch_[p].rows[r];
      if (row.edit) {
        request.edits.push_back(*row.edit);
        places.emplace_back(p, r);
      }
      for (const engine::SourceDigest& digest : row.digests) request.digests.push_back(digest);
    }
  }
  std::vector<std::vector<absl::Status>> status(batch_.size());
  for (size_t p = 0; p < batch_.size(); ++p) status[p].resize(batch_[p].rows.size());
  const bool nothing = request.edits.empty() && request.digests.empty();
  if (!nothing && !options_.dry_run) {
    auto applied = fleet_.Apply(std::move(request));
    if (!applied.ok()) return applied.status();
    if (applied->size() != places.size()) {
      return absl::InternalError("the engine answered another number of rows than it was given");
    }
    for (size_t i = 0; i < places.size(); ++i) {
      status[places[i].first][places[i].second] = (*applied)[i];
    }
  }
  std::vector<Planned> batch = std::move(batch_);
  batch_.clear();
  batch_ids_.clear();
  queued_rows_ = 0;
  for (size_t p = 0; p < batch.size(); ++p) {
    absl::flat_hash_set<std::string> again;
    for (size_t r = 0; r < batch[p].rows.size(); ++r) {
      PlannedRow& row = batch[p].rows[r];
      if (absl::IsAborted(status[p][r]) && !batch[p].file.path.empty()) {
        again.insert(row.id);
      } else {
        Done(row, status[p][r]);
      }
    }
    if (!again.empty()) {
      if (absl::Status failed = TryAgain(batch[p], again, 1); !failed.ok()) return failed;
    }
    core::WipeString(batch[p].file.content);
  }
  return absl::OkStatus();
}

// Somebody edited the credential meanwhile: plan against what it is now.
absl::Status ImportRun::TryAgain(Planned& planned, const absl::flat_hash_set<std::string>& ids,
                                 int attempt) {
  auto rows = planner_.PlanFile(planned.file);
  if (!rows.ok()) return rows.status();
  std::erase_if(*rows, [&](const PlannedRow& row) { return !ids.contains(row.id); });
  engine::ImportRequest request;
  request.caller.actor = options_.actor;
  std::vector<size_t> places;
  for (size_t r = 0; r < rows->size(); ++r) {
    PlannedRow& row = (*rows)[r];
    if (row.edit) {
      request.edits.push_back(*row.edit);
      places.push_back(r);
    }
    for (const engine::SourceDigest& digest : row.digests) request.digests.push_back(digest);
  }
  auto applied = fleet_.Apply(std::move(request));
  if (!applied.ok()) return applied.status();
  std::vector<absl::Status> status(rows->size());
  for (size_t i = 0; i < places.size() && i < applied->size(); ++i) {
    status[places[i]] = (*applied)[i];
  }
  absl::flat_hash_set<std::string> again;
  for (size_t r = 0; r < rows->size(); ++r) {
    if (absl::IsAborted(status[r]) && attempt < kAttempts) {
      again.insert((*rows)[r].id);
    } else {
      Done((*rows)[r], status[r]);
    }
  }
  return again.empty() ? absl::OkStatus() : TryAgain(planned, again, attempt + 1);
}

void ImportRun::Done(PlannedRow& row, const absl::Status& status) {
  if (!status.ok()) {
    row.result.action = Action::kRejected;
    row.result.reason = Reason::kRefused;
    row.result.message = std::string(status.message());
    row.result.changed_fields.clear();
    return Report(std::move(row.result));
  }
  if (!options_.dry_run) {
    if (row.disown) book_.Disown(*row.disown, row.id);
    if (row.own) book_.Own(*row.own, row.id);
    if (row.revived) source_.retired.erase(*row.revived);
  }
  // Also in a dry run: the plan for a renamed file needs to know what would be retired.
  if (row.retired) source_.retired[*row.retired] = row.id;
  const Action action = row.result.action;
  if (action == Action::kRetired) {
    source_.removals.emplace_back(fleet_.Now(), 1);
    if (source_.live > 0) --source_.live;
  }
  const bool added = action == Action::kCreated || action == Action::kRevived;
  if (added && !options_.dry_run) ++source_.live;
  if (row.own && (added || action == Action::kUpdated)) ++owned_logins_;
  // Not an entry: a record went with its file.
  if (row.result.action == Action::kUnchanged && row.result.credential_id == row.id &&
      row.digests.size() == 1 && !row.digests[0].value && !row.edit) {
    return;
  }
  Report(std::move(row.result));
}

ImportReport ImportRun::TakeReport(size_t max_results) {
  std::sort(report_.results.begin(), report_.results.end(),
            [](const EntryResult& a, const EntryResult& b) {
              const bool a_good = a.action != Action::kRejected;
              const bool b_good = b.action != Action::kRejected;
              return std::tie(a_good, a.path, a.index, a.credential_id) <
                     std::tie(b_good, b.path, b.index, b.credential_id);
            });
  if (report_.results.size() > max_results) {
    report_.results.resize(max_results);
    report_.results_truncated = true;
  }
  if (options_.by_hand && owned_logins_ > 0 &&
      options_.source.refresh_owner == RefreshOwner::kBroker) {
    report_.warnings.push_back(absl::StrCat(
        "this broker now owns the refresh tokens of ", owned_logins_,
        " logins: the tools that wrote these files must not refresh them any more, or the "
        "logins are lost"));
  }
  return std::move(report_);
}

}  // namespace credbroker::import
