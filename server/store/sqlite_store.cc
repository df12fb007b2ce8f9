#include "server/store/sqlite_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/store/check_writes.h"
#include "server/store/mutex.h"
#include "server/store/process_lock.h"
#include "server/store/sqlite_db.h"
#include "server/store/sqlite_load.h"
#include "server/store/sqlite_open.h"

namespace credbroker::store {
namespace {

// What the writer prepares once.
struct WriterStatements {
  SqliteStatement begin, commit, read_epoch, raise_epoch;
  SqliteStatement find, put, insert, update, erase;

  absl::Status Prepare(SqliteConnection& db) {
    const std::pair<SqliteStatement*, absl::string_view> all[] = {
        {&begin, "BEGIN IMMEDIATE"},
        {&commit, "COMMIT"},
        {&read_epoch, "SELECT value FROM store_facts WHERE name = 'epoch'"},
        {&raise_epoch, "UPDATE store_facts SET value = value + 1 WHERE name = 'epoch'"},
        {&find, "SELECT version FROM rows WHERE kind = ?1 AND key = ?2"},
        {&put,
         "INSERT INTO rows (kind, key, version, value) VALUES (?1, ?2, ?3, ?4) "
         "ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, "
         "value = excluded.value"},
        {&insert, "INSERT INTO rows (kind, key, version, value) VALUES (?1, ?2, ?3, ?4)"},
        {&update,
         "UPDATE rows SET version = ?3, value = ?4 WHERE kind = ?1 AND key = ?2 AND version = ?5"},
        {&erase, "DELETE FROM rows WHERE kind = ?1 AND key = ?2"},
    };
    for (const auto& [statement, sql] : all) {
      absl::StatusOr<SqliteStatement> prepared = db.Prepare(sql);
      if (!prepared.ok()) return prepared.status();
      *statement = *std::move(prepared);
    }
    return absl::OkStatus();
  }
};

class SqliteStore final : public Store {
 public:
  SqliteStore(SqliteOptions options, std::unique_ptr<ProcessLock> lock)
      : options_(std::move(options)), lock_(std::move(lock)) {}

  absl::Status Open();

  absl::string_view id() const override { return id_; }
  absl::StatusOr<Fence> TakeOwnership() override;
  absl::StatusOr<LoadReport> Load(absl::FunctionRef<absl::Status(Row)> visit) override;
  absl::Status Commit(absl::Span<const Write> writes, Fence fence) override;
  absl::StatusOr<std::vector<Row>> ReadPrefix(const PrefixQuery& query) override;
  StoreStats Stats() const override;

 private:
  void At(CommitPoint point) const {
    if (options_.at_point) options_.at_point(point);
  }
  absl::Status OpenReader();
  absl::Status Transact(absl::Span<const Write> writes, Fence fence);
  absl::Status CheckFence(Fence fence);
  absl::Status Apply(const Write& write);
  absl::Status Put(const Write& write);
  absl::Status Erase(const Write& write);
  absl::StatusOr<uint64_t> VersionOf(const Write& write);
  absl::Status FinishCommit();

  // Constant after Open. The lock outlives the connections.
  const SqliteOptions options_;
  const std::unique_ptr<ProcessLock> lock_;
  std::string id_;
  LoadReport damage_;  // known since Open, part of each report

  // The committer's own.
  std::unique_ptr<SqliteConnection> writer_;
  WriterStatements sql_;

  // Closed before the writer, which then checkpoints as the last connection.
  Mutex reader_mutex_;
  std::unique_ptr<SqliteConnection> reader_ ABSL_GUARDED_BY(reader_mutex_);
  SqliteStatement read_prefix_ ABSL_GUARDED_BY(reader_mutex_);

  mutable Mutex stats_mutex_;
  StoreStats stats_ ABSL_GUARDED_BY(stats_mutex_);
};

absl::Status SqliteStore::OpenReader() {
  auto reader = SqliteConnection::Open(options_.path, SqliteConnection::Mode::kReader, options_.vfs,
                                       options_.busy_timeout);
  if (!reader.ok()) return reader.status();
  MutexLock lock(reader_mutex_);
  reader_ = *std::move(reader);
  absl::StatusOr<SqliteStatement> prepared = reader_->Prepare(
      "SELECT key, version, value FROM rows WHERE kind = ?1 AND key >= ?2 ORDER BY key LIMIT ?3");
  if (!prepared.ok()) return prepared.status();
  read_prefix_ = *std::move(prepared);
  return absl::OkStatus();
}

absl::Status SqliteStore::Open() {
  absl::StatusOr<SqliteFile> file = OpenSqliteFile(options_);
  absl::Status status = file.status();
  if (file.ok()) {
    writer_ = std::move(file->writer);
    id_ = std::move(file->id);
    damage_ = std::move(file->damage);
    status = sql_.Prepare(*writer_);
  }
  if (status.ok()) status = OpenReader();
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(options_.path, ": ", status.message()));
}

absl::StatusOr<Fence> SqliteStore::TakeOwnership() {
  absl::Status status = sql_.begin.Run();
  if (!status.ok()) return status;
  status = sql_.raise_epoch.Run();
  absl::StatusOr<bool> found = sql_.read_epoch.Step();
  const Fence fence{static_cast<uint64_t>(sql_.read_epoch.Int(0))};
  sql_.read_epoch.Reset();
  if (status.ok()) status = found.status();
  if (status.ok() && !*found) status = absl::DataLossError("the store has lost its epoch");
  if (status.ok()) status = FinishCommit();
  writer_->Rollback();
  if (!status.ok()) return status;
  return fence;
}

absl::StatusOr<LoadReport> SqliteStore::Load(absl::FunctionRef<absl::Status(Row)> visit) {
  // A connection of its own: a load is long, and must not make ReadPrefix wait.
  auto db = SqliteConnection::Open(options_.path, SqliteConnection::Mode::kReader, options_.vfs,
                                   options_.busy_timeout);
  if (!db.ok()) return db.status();
  absl::StatusOr<LoadReport> report = LoadSqliteRows(**db, visit);
  if (!report.ok()) return report;
  report->damaged += damage_.damaged;
  report->damage.insert(report->damage.begin(), damage_.damage.begin(), damage_.damage.end());
  report->damaged_file = damage_.damaged_file;
  return report;
}

absl::StatusOr<uint64_t> SqliteStore::VersionOf(const Write& write) {
  sql_.find.Bind(1, static_cast<int64_t>(write.kind));
  sql_.find.Bind(2, write.key);
  absl::StatusOr<bool> found = sql_.find.Step();
  const uint64_t version = found.ok() && *found ? static_cast<uint64_t>(sql_.find.Int(0)) : 0;
  sql_.find.Reset();
  if (!found.ok()) return found.status();
  return version;
}

absl::Status SqliteStore::Put(const Write& write) {
  const bool expects = write.expect_version.has_value();
  SqliteStatement& statement =
      !expects ? sql_.put : (*write.expect_version == 0 ? sql_.insert : sql_.update);
  statement.Bind(1, static_cast<int64_t>(write.kind));
  statement.Bind(2, write.key);
  statement.Bind(3, static_cast<int64_t>(write.version));
  statement.Bind(4, *write.value);
  if (&statement == &sql_.update) {
    statement.Bind(5, static_cast<int64_t>(std::min(*write.expect_version, kMaxVersion)));
  }
  absl::Status status = statement.Run();
  const bool matched = status.ok() && (!expects || writer_->changes() == 1);
  if (matched || (!status.ok() && !absl::IsAlreadyExists(status))) return status;
  absl::StatusOr<uint64_t> found = VersionOf(write);
  return found.ok() ? VersionMismatch(write, *found) : found.status();
}

absl::Status SqliteStore::Erase(const Write& write) {
  if (write.expect_version.has_value()) {
    absl::StatusOr<uint64_t> found = VersionOf(write);
    if (!found.ok()) return found.status();
    if (*found != *write.expect_version) return VersionMismatch(write, *found);
  }
  sql_.erase.Bind(1, static_cast<int64_t>(write.kind));
  sql_.erase.Bind(2, write.key);
  return sql_.erase.Run();
}

absl::Status SqliteStore::Apply(const Write& write) {
  return write.value.has_value() ? Put(write) : Erase(write);
}

absl::Status SqliteStore::CheckFence(Fence fence) {
  absl::StatusOr<bool> found = sql_.read_epoch.Step();
  const uint64_t epoch = found.ok() && *found ? static_cast<uint64_t>(sql_.read_epoch.Int(0)) : 0;
  sql_.read_epoch.Reset();
  if (!found.ok()) return found.status();
  return epoch == fence.epoch ? absl::OkStatus() : StaleFence(fence.epoch, epoch);
}

// A COMMIT that fails in its fsync has left a complete transaction in the WAL. This process does
// not see it, but a crash now would bring it back, although its caller was told it failed. Any
// later transaction overwrites it, so one is made at once.
absl::Status SqliteStore::FinishCommit() {
  absl::Status status = sql_.commit.Run();
  if (status.ok()) return status;
  writer_->Rollback();
  absl::Status overwritten = writer_->Execute(
      "BEGIN IMMEDIATE; UPDATE store_facts SET value = value + 1 WHERE name = 'undone_commits';"
      "COMMIT");
  writer_->Rollback();
  if (overwritten.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(),
                                                  "; if the machine stops before the next "
                                                  "successful commit, this one may be found"));
}

absl::Status SqliteStore::Transact(absl::Span<const Write> writes, Fence fence) {
  // In key order: neighbours share pages, and rows inserted in order load twice as fast.
  std::vector<const Write*> ordered;
  ordered.reserve(writes.size());
  for (const Write& write : writes) ordered.push_back(&write);
  std::sort(ordered.begin(), ordered.end(), [](const Write* a, const Write* b) {
    return std::tie(a->kind, a->key) < std::tie(b->kind, b->key);
  });
  At(CommitPoint::kBeforeBegin);
  absl::Status status = sql_.begin.Run();
  if (!status.ok()) return status;
  At(CommitPoint::kAfterBegin);
  status = CheckFence(fence);
  for (size_t i = 0; status.ok() && i < ordered.size(); ++i) status = Apply(*ordered[i]);
  if (status.ok()) {
    At(CommitPoint::kBeforeCommit);
    status = FinishCommit();
  }
  writer_->Rollback();
  if (status.ok()) At(CommitPoint::kAfterCommit);
  return status;
}

absl::Status SqliteStore::Commit(absl::Span<const Write> writes, Fence fence) {
  absl::Status status = CheckWrites(writes);
  if (!status.ok()) return status;
  status = Transact(writes, fence);
  MutexLock lock(stats_mutex_);
  if (status.ok()) {
    ++stats_.commits;
    stats_.rows_written += writes.size();
  } else if (absl::IsAborted(status)) {
    ++stats_.conflicts;
  } else if (!absl::IsFailedPrecondition(status)) {
    ++stats_.failed_commits;
  }
  return status;
}

absl::StatusOr<std::vector<Row>> SqliteStore::ReadPrefix(const PrefixQuery& query) {
  // The first key wanted: the smallest one above `after` is `after` and a zero byte.
  std::string from = query.prefix;
  if (query.after.has_value() && *query.after >= query.prefix) from = *query.after + '\0';
  std::vector<Row> rows;
  MutexLock lock(reader_mutex_);
  read_prefix_.Bind(1, static_cast<int64_t>(query.kind));
  read_prefix_.Bind(2, from);
  read_prefix_.Bind(3, static_cast<int64_t>(std::min<uint64_t>(query.limit, INT64_MAX)));
  absl::Status status;
  while (true) {
    absl::StatusOr<bool> more = read_prefix_.Step();
    status = more.status();
    if (!more.ok() || !*more || !absl::StartsWith(read_prefix_.Bytes(0), query.prefix)) break;
    rows.push_back(Row{query.kind, std::string(read_prefix_.Bytes(0)),
                       static_cast<uint64_t>(read_prefix_.Int(1)),
                       std::string(read_prefix_.Bytes(2))});
  }
  read_prefix_.Reset();
  if (!status.ok()) return status;
  return rows;
}

StoreStats SqliteStore::Stats() const {
  StoreStats stats;
  {
    MutexLock lock(stats_mutex_);
    stats = stats_;
  }
  for (absl::string_view suffix : {"", "-wal", "-shm"}) {
    struct stat info = {};
    if (stat(absl::StrCat(options_.path, suffix).c_str(), &info) == 0) {
      stats.bytes_on_disk += static_cast<uint64_t>(info.st_size);
    }
  }
  return stats;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(SqliteOptions options) {
  absl::StatusOr<std::unique_ptr<ProcessLock>> lock =
      ProcessLock::Acquire(absl::StrCat(options.path, ".lock"));
  if (!lock.ok()) return lock.status();
  auto store = std::make_unique<SqliteStore>(std::move(options), *std::move(lock));
  absl::Status opened = store->Open();
  if (!opened.ok()) return opened;
  return store;
}

}  // namespace credbroker::store
