#include "server/store/memory_store.h"

#include <utility>

#include "absl/strings/match.h"
#include "server/store/check_writes.h"
#include "server/store/mutex.h"

namespace credbroker::store {

absl::StatusOr<Fence> MemoryStore::TakeOwnership() {
  MutexLock lock(disk_->mutex_);
  return Fence{++disk_->epoch_};
}

absl::StatusOr<LoadReport> MemoryStore::Load(absl::FunctionRef<absl::Status(Row)> visit) {
  absl::Status fault = TakeReadFault();
  if (!fault.ok()) return fault;
  // A copy, so that `visit` runs without the lock and may commit.
  MemoryDisk::Rows rows;
  {
    MutexLock lock(disk_->mutex_);
    rows = disk_->rows_;
  }
  LoadReport report;
  for (auto& [name, cell] : rows) {
    absl::Status visited = visit(Row{name.first, name.second, cell.version, cell.value});
    if (!visited.ok()) return visited;
    ++report.rows;
  }
  return report;
}

absl::Status MemoryStore::Check(const MemoryDisk::Rows& rows,
                                absl::Span<const Write> writes) const {
  for (const Write& write : writes) {
    if (!write.expect_version.has_value()) continue;
    auto it = rows.find({write.kind, write.key});
    const uint64_t found = it == rows.end() ? 0 : it->second.version;
    if (found != *write.expect_version) return VersionMismatch(write, found);
  }
  return absl::OkStatus();
}

absl::Status MemoryStore::Apply(absl::Span<const Write> writes, Fence fence) {
  absl::Status valid = CheckWrites(writes);
  if (!valid.ok()) return valid;
  MutexLock lock(disk_->mutex_);
  if (fence.epoch != disk_->epoch_) return StaleFence(fence.epoch, disk_->epoch_);
  absl::Status matches = Check(disk_->rows_, writes);
  if (!matches.ok()) return matches;
  for (const Write& write : writes) {
    if (write.value.has_value()) {
      disk_->rows_[{write.kind, write.key}] = {write.version, *write.value};
    } else {
      disk_->rows_.erase({write.kind, write.key});
    }
  }
  return absl::OkStatus();
}

absl::Status MemoryStore::Commit(absl::Span<const Write> writes, Fence fence) {
  CommitHook hook;
  {
    MutexLock lock(mutex_);
    hook = hook_;
  }
  if (hook) hook(writes);
  MutexLock lock(mutex_);
  if (commit_faults_ > 0) {
    --commit_faults_;
    ++stats_.failed_commits;
    return commit_fault_;
  }
  absl::Status applied = Apply(writes, fence);
  if (absl::IsAborted(applied)) ++stats_.conflicts;
  if (!applied.ok()) return applied;
  if (!after_apply_fault_.ok()) {
    ++stats_.failed_commits;
    return std::exchange(after_apply_fault_, absl::OkStatus());
  }
  ++stats_.commits;
  stats_.rows_written += writes.size();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Row>> MemoryStore::ReadPrefix(const PrefixQuery& query) {
  absl::Status fault = TakeReadFault();
  if (!fault.ok()) return fault;
  std::vector<Row> found;
  MutexLock lock(disk_->mutex_);
  auto it = disk_->rows_.lower_bound({query.kind, query.prefix});
  if (query.after.has_value() && *query.after >= query.prefix) {
    it = disk_->rows_.upper_bound({query.kind, *query.after});
  }
  for (; it != disk_->rows_.end() && found.size() < query.limit; ++it) {
    if (it->first.first != query.kind || !absl::StartsWith(it->first.second, query.prefix)) break;
    found.push_back(Row{it->first.first, it->first.second, it->second.version, it->second.value});
  }
  return found;
}

StoreStats MemoryStore::Stats() const {
  MutexLock lock(mutex_);
  return stats_;
}

absl::Status MemoryStore::TakeReadFault() {
  MutexLock lock(mutex_);
  if (read_faults_ == 0) return absl::OkStatus();
  --read_faults_;
  return read_fault_;
}

void MemoryStore::FailNextCommits(int count, absl::Status status) {
  MutexLock lock(mutex_);
  commit_faults_ = count;
  commit_fault_ = std::move(status);
}

void MemoryStore::FailNextCommitAfterApply(absl::Status status) {
  MutexLock lock(mutex_);
  after_apply_fault_ = std::move(status);
}

void MemoryStore::FailNextReads(int count, absl::Status status) {
  MutexLock lock(mutex_);
  read_faults_ = count;
  read_fault_ = std::move(status);
}

void MemoryStore::SetCommitHook(CommitHook hook) {
  MutexLock lock(mutex_);
  hook_ = std::move(hook);
}

bool MemoryStore::CorruptRow(RowKind kind, absl::string_view key, std::string value) {
  MutexLock lock(disk_->mutex_);
  auto it = disk_->rows_.find({kind, std::string(key)});
  if (it == disk_->rows_.end()) return false;
  it->second.value = std::move(value);
  return true;
}

}  // namespace credbroker::store
