#include "server/store/sqlite_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/store/sqlite_pages.h"
#include "server/store/sqlite_salvage.h"
#include "server/store/sqlite_schema.h"
#include "server/store/store_identity.h"

namespace credbroker::store {
namespace {

// Makes the file, so that it is 0600 from its first moment and its name survives a power loss;
// SQLite gives its side files the same mode.
absl::Status EnsureFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    const int error = errno;
    return absl::Status(
        error == ENOSPC ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
        absl::StrCat("cannot open the store ", path, ": ", strerror(error)));
  }
  const bool tightened = fchmod(fd, 0600) == 0;
  close(fd);
  if (!tightened) {
    return absl::UnavailableError(
        absl::StrCat("cannot make ", path, " private (mode 0600): ", strerror(errno)));
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    fsync(folder_fd);  // best effort: some file systems cannot
    close(folder_fd);
  }
  return absl::OkStatus();
}

// The size of the file; nothing: there is none.
std::optional<uint64_t> SizeOf(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return static_cast<uint64_t>(info.st_size);
}

// An error that a damaged file may be the reason of: a lost page, or SQL that the schema in the
// file does not fit.
bool IsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsInternal(status) || absl::IsNotFound(status);
}

// One attempt to open the file.
class Opening {
 public:
  explicit Opening(const SqliteOptions& options)
      : options_(options), copy_(ReadIdentity(options.path)) {}

  // Damage is no error here, but said by damage().
  absl::Status Run() {
    if (absl::Status status = CheckHeader(); !status.ok() || !damage_.empty()) return status;
    absl::Status status = OpenWriter();
    if (status.ok()) status = Inspect();
    if (!IsDamage(status)) return status;
    damage_ = std::string(status.message());
    return absl::OkStatus();
  }

  const std::string& damage() const { return damage_; }
  SqliteFile Take() {
    // The writer is the last connection: it copies the WAL into the file when it closes.
    writer_->SetCheckpointOnClose(true);
    WriteIdentity(
        options_.path,
        {.id = id_, .schema = SqliteMigrations().back().to, .free_pages_wiped = free_pages_wiped_});
    return SqliteFile{.writer = std::move(writer_), .id = std::move(id_), .damage = {}};
  }

 private:
  // The header of a file that was ours, before SQLite believes it. Without the second copy of its
  // identity it may be anybody's, which the migration finds out; so is a schema number, which a
  // newer version may have raised.
  absl::Status CheckHeader() {
    if (!copy_ || copy_->schema != SqliteMigrations().back().to) return absl::OkStatus();
    std::ifstream file(options_.path, std::ios::binary);
    std::string header(kSqliteHeaderBytes, '\0');
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    header.resize(static_cast<size_t>(file.gcount()));
    damage_ = SqliteHeaderDamage(header);
    return absl::OkStatus();
  }

  absl::Status OpenWriter() {
    auto writer = SqliteConnection::Open(options_.path, SqliteConnection::Mode::kWriter,
                                         options_.vfs, options_.busy_timeout);
    if (!writer.ok()) return writer.status();
    writer_ = *std::move(writer);
    // Nothing is written to a file before it is known to be sound.
    writer_->SetCheckpointOnClose(false);
    if (options_.unsafe_without_sync) {
      absl::Status off = writer_->Execute("PRAGMA synchronous=OFF");
      if (!off.ok()) return off;
    }
    absl::Status checkpoints =
        writer_->Execute(absl::StrCat("PRAGMA wal_autocheckpoint=", options_.checkpoint_pages));
    if (!checkpoints.ok()) return checkpoints;
    // Before WAL: a file that is not ours is refused untouched.
    absl::Status migrated = MigrateSqlite(*writer_, SqliteMigrations());
    if (!migrated.ok()) return migrated;
    absl::StatusOr<std::string> mode = writer_->QueryText("PRAGMA journal_mode=WAL");
    if (!mode.ok()) return mode.status();
    if (*mode != "wal") {
      return absl::FailedPreconditionError(
          absl::StrCat("the file system refuses SQLite's WAL mode (it stays '", *mode, "')"));
    }
    return absl::OkStatus();
  }

  absl::Status Inspect() {
    // Costs 0.05 s for 100 MB, which Load would read anyway.
    absl::StatusOr<std::string> check = writer_->QueryText("PRAGMA quick_check(1)");
    if (!check.ok() && !absl::IsDataLoss(check.status())) return check.status();
    const std::string verdict = check.ok() ? *check : std::string(check.status().message());
    if (verdict != "ok") damage_ = verdict;
    absl::StatusOr<std::string> id =
        writer_->QueryText("SELECT value FROM store_facts WHERE name = 'store_id'");
    if (!id.ok()) return id.status();
    id_ = JudgeStoreId(*id, copy_);
    if (id_ != *id) damage_ = "the store's id is damaged";
    absl::StatusOr<int64_t> wiped =
        writer_->QueryInt("SELECT value FROM store_facts WHERE name = 'free_pages_wiped'");
    free_pages_wiped_ = wiped.ok() && *wiped == 1;
    return writer_->Prepare("SELECT id, kind, key, version, value FROM rows").status();
  }

  const SqliteOptions& options_;
  const std::optional<StoreIdentity> copy_;
  std::string damage_;
  std::string id_;
  bool free_pages_wiped_ = false;
  std::unique_ptr<SqliteConnection> writer_;
};

// The lines of a salvage, the one that says where the damaged file is first.
LoadReport ReportOf(Salvage salvage) {
  LoadReport report;
  report.damaged = salvage.lost;
  report.damaged_file = salvage.kept_as;
  report.damage.push_back(absl::StrCat("the store was damaged: ", salvage.rows,
                                       " rows were saved into a new file, the damaged one is kept "
                                       "as ",
                                       salvage.kept_as));
  report.damage.insert(report.damage.end(), std::make_move_iterator(salvage.damage.begin()),
                       std::make_move_iterator(salvage.damage.end()));
  return report;
}

}  // namespace

absl::StatusOr<SqliteFile> OpenSqliteFile(const SqliteOptions& options) {
  const std::string& path = options.path;
  if (absl::Status finished = FinishSalvage(path); !finished.ok()) return finished;
  const std::optional<uint64_t> size = SizeOf(path);
  if (!size) RemoveIdentity(path);  // of a store that was taken away
  if (size == 0 && ReadIdentity(path)) {
    return absl::DataLossError(
        absl::StrCat("the store is empty, and it was not; restore a backup, or remove it and ",
                     path, ".id to begin with an empty store"));
  }
  if (absl::Status made = EnsureFile(path); !made.ok()) return made;
  auto opening = std::make_unique<Opening>(options);
  if (absl::Status status = opening->Run(); !status.ok()) return status;
  if (opening->damage().empty()) return opening->Take();

  const std::string damage = opening->damage();
  opening.reset();
  // No room for a copy is a reason not to start: a damaged file must not be written to.
  absl::StatusOr<Salvage> salvage = SalvageSqliteStore(path, damage);
  if (!salvage.ok()) return salvage.status();
  opening = std::make_unique<Opening>(options);
  if (absl::Status status = opening->Run(); !status.ok()) return status;
  if (!opening->damage().empty()) return absl::DataLossError(opening->damage());
  SqliteFile file = opening->Take();
  file.damage = ReportOf(*std::move(salvage));
  return file;
}

}  // namespace credbroker::store
