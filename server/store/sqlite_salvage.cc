#include "server/store/sqlite_salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/store/sqlite_db.h"
#include "server/store/sqlite_load.h"
#include "server/store/sqlite_pages.h"
#include "server/store/sqlite_schema.h"
#include "server/store/store_identity.h"

namespace credbroker::store {
namespace {

constexpr size_t kMaxDescriptions = 16;
constexpr int kEpochShift = 40;  // versions of rows are (epoch << 40) + n, see RecordSealer
constexpr absl::Duration kBusyTimeout = absl::Seconds(2);

using Mode = SqliteConnection::Mode;

std::string SourceOf(const std::string& path) { return absl::StrCat(path, ".salvage-source"); }
std::string NewOf(const std::string& path) { return absl::StrCat(path, ".salvaging"); }
std::string CompleteOf(const std::string& path) { return absl::StrCat(path, ".salvaged"); }

absl::Status SystemError(absl::string_view what, int error) {
  return absl::Status(error == ENOSPC || error == EDQUOT ? absl::StatusCode::kResourceExhausted
                                                         : absl::StatusCode::kUnavailable,
                      absl::StrCat("salvage: ", what, ": ", strerror(error)));
}

bool Exists(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0;
}

// 0 also if there is none.
uint64_t SizeOf(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

void RemoveDatabase(const std::string& path) {
  for (absl::string_view suffix : {"", "-wal", "-shm", "-journal"}) {
    unlink(absl::StrCat(path, suffix).c_str());
  }
}

absl::Status Copy(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing, error);
  return error ? SystemError(absl::StrCat("copying ", from), error.value()) : absl::OkStatus();
}

absl::Status SyncFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError(path, errno);
  const int failed = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return failed == 0 ? absl::OkStatus() : SystemError(path, failed);
}

void SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);  // best effort: some file systems cannot
  close(fd);
}

// The first page of a file, or what there is of it.
std::string FirstPage(const std::string& path) {
  std::string page(kSqlitePageBytes, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(page.data(), static_cast<std::streamsize>(page.size()));
  page.resize(static_cast<size_t>(file.gcount()));
  return page;
}

void PutBigEndian(uint32_t value, size_t at, std::string& page) {
  for (size_t i = 0; i < 4; ++i) page[at + i] = static_cast<char>(value >> (24 - 8 * i) & 0xff);
}

// Where the original of the complete new store of `path` is kept; the same name however often a
// crash interrupts.
std::string DamagedNameOf(const std::string& path) {
  struct stat info = {};
  if (stat(CompleteOf(path).c_str(), &info) != 0) return "";
  return absl::StrCat(path, ".damaged-",
                      absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::TimeFromTimespec(info.st_mtim),
                                       absl::UTCTimeZone()));
}

// A second name for the same file; a copy where the file system has no links.
absl::Status Keep(const std::string& path, const std::string& as) {
  if (SizeOf(path) == 0 || Exists(as) || link(path.c_str(), as.c_str()) == 0)
    return absl::OkStatus();
  const std::string part = absl::StrCat(as, ".part");
  absl::Status status = Copy(path, part);
  if (status.ok()) status = SyncFile(part);
  if (status.ok() && rename(part.c_str(), as.c_str()) != 0) status = SystemError(as, errno);
  if (!status.ok()) unlink(part.c_str());
  return status;
}

class Salvager {
 public:
  Salvager(std::string path, const std::string& why)
      : path_(std::move(path)), copy_(ReadIdentity(path_)) {
    Describe(why);
  }
  ~Salvager() {
    RemoveDatabase(SourceOf(path_));
    put_.reset();
    to_.reset();
    RemoveDatabase(NewOf(path_));
  }

  absl::StatusOr<Salvage> Run() {
    if (absl::Status status = MakeNew(); !status.ok()) return status;
    for (const Header header : {Header::kOwn, Header::kOwnWithNewSchema, Header::kNew}) {
      absl::Status status = Attempt(header);
      if (!status.ok() && !IsDamage(status)) return status;
      if (!status.ok()) {
        Describe(status.message());
        continue;
      }
      if (out_.rows > 0 && !id_.empty()) break;
    }
    if (out_.rows == 0) return Refuse("no row of it can be read");
    if (id_.empty()) return Refuse("nothing says which store it was, so that no row can be opened");
    if (absl::Status status = Complete(); !status.ok()) return status;
    out_.kept_as = DamagedNameOf(path_);
    if (absl::Status status = FinishSalvage(path_); !status.ok()) return status;
    return std::move(out_);
  }

 private:
  // Which first page to read the copy with.
  enum class Header { kOwn, kOwnWithNewSchema, kNew };

  // Damaged pages come as kDataLoss, a damaged schema as an error of its SQL.
  static bool IsDamage(const absl::Status& status) {
    return absl::IsDataLoss(status) || absl::IsInternal(status) || absl::IsNotFound(status);
  }

  static absl::Status Refuse(absl::string_view why) {
    return absl::DataLossError(
        absl::StrCat("the store is damaged and nothing of it can be saved: ", why,
                     "; restore a backup, or move the file away to begin with an empty store"));
  }

  void Describe(absl::string_view damage) {
    if (out_.damage.size() < kMaxDescriptions) out_.damage.emplace_back(damage);
  }

  // An empty store whose first page also serves as a pattern: this program lays out the same tables
  // on the same pages each time.
  absl::Status MakeNew() {
    const std::string made = NewOf(path_);
    RemoveDatabase(made);
    const int fd = open(made.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return SystemError(made, errno);
    close(fd);
    {
      auto db = SqliteConnection::Open(made, Mode::kWriter, "", kBusyTimeout);
      if (!db.ok()) return db.status();
      absl::Status status = MigrateSqlite(**db, SqliteMigrations());
      if (status.ok()) status = (*db)->QueryText("PRAGMA journal_mode=WAL").status();
      if (!status.ok()) return status;
    }
    pattern_ = FirstPage(made);
    auto db = SqliteConnection::Open(made, Mode::kWriter, "", kBusyTimeout);
    if (!db.ok()) return db.status();
    to_ = *std::move(db);
    absl::StatusOr<int64_t> root =
        to_->QueryInt("SELECT rootpage FROM sqlite_schema WHERE name = 'rows'");
    if (!root.ok()) return root.status();
    root_ = static_cast<uint32_t>(*root);
    return to_->Execute("BEGIN");
  }

  absl::Status Attempt(Header header) {
    const std::string source = SourceOf(path_);
    RemoveDatabase(source);
    if (absl::Status status = Copy(path_, source); !status.ok()) return status;
    if (SizeOf(path_ + "-wal") > 0) {
      if (absl::Status status = Copy(path_ + "-wal", source + "-wal"); !status.ok()) return status;
    }
    if (absl::Status status = Mend(source, header); !status.ok()) return status;
    auto db = SqliteConnection::Open(source, Mode::kWriter, "", kBusyTimeout);
    if (!db.ok()) return db.status();
    // So that all that was committed is in the pages. What the WAL cannot give is lost.
    (*db)->QueryInt("PRAGMA wal_checkpoint(TRUNCATE)").status().IgnoreError();
    ReadFacts(**db);
    absl::StatusOr<LoadReport> report =
        LoadSqliteRows(**db, [&](const Row& row) { return Put(row); });
    absl::Status status = report.status();
    const uint64_t walked = out_.rows;
    out_.lost = 1;  // at least, when nobody can tell
    if (report.ok()) {
      out_.lost = report->damaged;
      for (const std::string& line : report->damage) Describe(line);
    }
    db->reset();
    absl::Status leaves = ReadSqliteLeaves(source, copy_ && copy_->free_pages_wiped, root_,
                                           [&](const Row& row) { return Put(row); });
    if (!leaves.ok()) return leaves;
    if (out_.rows > walked) {
      Describe(absl::StrCat(out_.rows - walked, " rows were found page by page"));
      if (report.ok()) out_.lost -= std::min(out_.lost, out_.rows - walked);
      status = absl::OkStatus();
    }
    return status;
  }

  // Gives the copy whole pages and a header that says how many.
  absl::Status Mend(const std::string& source, Header header) {
    const uint64_t pages =
        std::max<uint64_t>(1, (SizeOf(source) + kSqlitePageBytes - 1) / kSqlitePageBytes);
    std::string page = FirstPage(source);
    page.resize(kSqlitePageBytes, '\0');
    if (header == Header::kOwn || header == Header::kOwnWithNewSchema) {
      if (std::string damage = SqliteHeaderDamage(page); !damage.empty()) {
        return absl::DataLossError(damage);
      }
      if (header == Header::kOwnWithNewSchema) {
        page.replace(kSqliteHeaderBytes, std::string::npos, pattern_, kSqliteHeaderBytes);
      }
    } else {
      page = pattern_;
      // Nobody knows which pages are free: a list without pages and a count that says so.
      PutBigEndian(0, kSqliteFreelistHead, page);
      PutBigEndian(static_cast<uint32_t>(pages), kSqliteFreelistCount, page);
    }
    PutBigEndian(static_cast<uint32_t>(pages), 28, page);
    // The size in the header counts only while these two agree.
    page.replace(92, 4, page, 24, 4);
    std::error_code error;
    std::filesystem::resize_file(source, pages * kSqlitePageBytes, error);
    if (error) return SystemError(source, error.value());
    std::fstream file(source, std::ios::binary | std::ios::in | std::ios::out);
    file.write(page.data(), static_cast<std::streamsize>(page.size()));
    file.close();
    return file ? absl::OkStatus() : SystemError(source, EIO);
  }

  void ReadFacts(SqliteConnection& db) {
    // The name's index may be damaged, or the table; not both, as a rule.
    for (absl::string_view table : {"store_facts", "store_facts NOT INDEXED"}) {
      absl::StatusOr<std::string> id =
          db.QueryText(absl::StrCat("SELECT value FROM ", table, " WHERE name = 'store_id'"));
      if (id.ok() && id_.empty()) id_ = JudgeStoreId(*id, copy_);
      absl::StatusOr<int64_t> epoch =
          db.QueryInt(absl::StrCat("SELECT value FROM ", table, " WHERE name = 'epoch'"));
      if (epoch.ok()) epoch_ = std::max(epoch_, *epoch);
    }
    if (!IsStoreId(id_)) id_ = copy_ ? copy_->id : "";
  }

  absl::Status Put(const Row& row) {
    if (!put_) {
      absl::StatusOr<SqliteStatement> prepared = to_->Prepare(
          "INSERT INTO rows (kind, key, version, value) VALUES (?1, ?2, ?3, ?4) "
          "ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, "
          "value = excluded.value WHERE excluded.version > version");
      if (!prepared.ok()) return prepared.status();
      put_ = std::make_unique<SqliteStatement>(*std::move(prepared));
    }
    put_->Bind(1, static_cast<int64_t>(row.kind));
    put_->Bind(2, row.key);
    put_->Bind(3, static_cast<int64_t>(row.version));
    put_->Bind(4, row.value);
    if (absl::Status status = put_->Run(); !status.ok()) return status;
    if (to_->changes() == 1) ++out_.rows;  // a row of a newer version counts twice; there is none
    epoch_ = std::max(epoch_, static_cast<int64_t>(row.version >> kEpochShift));
    return absl::OkStatus();
  }

  // Commits the new store and gives it the name that says it is whole.
  absl::Status Complete() {
    absl::Status status = to_->Execute(
        absl::StrCat("UPDATE store_facts SET value = '", id_, "' WHERE name = 'store_id';",
                     "UPDATE store_facts SET value = ", epoch_, " WHERE name = 'epoch'; COMMIT"));
    put_.reset();
    to_.reset();  // the last connection: everything goes from the WAL into the file
    if (!status.ok()) return status;
    const std::string made = NewOf(path_);
    if (Exists(made + "-wal")) return SystemError(made + "-wal was not taken over", EIO);
    if (status = SyncFile(made); !status.ok()) return status;
    if (rename(made.c_str(), CompleteOf(path_).c_str()) != 0) return SystemError(made, errno);
    SyncFolderOf(path_);
    return absl::OkStatus();
  }

  const std::string path_;
  const std::optional<StoreIdentity> copy_;
  std::string pattern_;  // first page of an empty store
  uint32_t root_ = 0;    // page of the rows' root in it
  std::unique_ptr<SqliteConnection> to_;
  std::unique_ptr<SqliteStatement> put_;
  std::string id_;
  int64_t epoch_ = 0;
  Salvage out_;
};

}  // namespace

absl::Status FinishSalvage(const std::string& path) {
  const std::string kept_as = DamagedNameOf(path);
  if (kept_as.empty()) return absl::OkStatus();
  absl::Status status = Keep(path, kept_as);
  if (status.ok()) status = Keep(path + "-wal", kept_as + "-wal");
  if (!status.ok()) return status;
  SyncFolderOf(path);
  // The old WAL must not be applied to the new file.
  for (absl::string_view suffix : {"-wal", "-shm", "-journal"}) {
    unlink(absl::StrCat(path, suffix).c_str());
  }
  SyncFolderOf(path);
  if (rename(CompleteOf(path).c_str(), path.c_str()) != 0) return SystemError(path, errno);
  SyncFolderOf(path);
  return absl::OkStatus();
}

absl::StatusOr<Salvage> SalvageSqliteStore(const std::string& path, const std::string& why) {
  return Salvager(path, why).Run();
}

}  // namespace credbroker::store
