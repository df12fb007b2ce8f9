#include "server/store/sqlite_db.h"

#include <errno.h>

#include "absl/strings/str_cat.h"

namespace credbroker::store {
namespace {

absl::StatusCode CodeOf(sqlite3* db, int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_IOERR: {
      // A full disk met by fsync or by a file that grows comes as an I/O error.
      const int os_error = db == nullptr ? 0 : sqlite3_system_errno(db);
      if (os_error == ENOSPC || os_error == EDQUOT) return absl::StatusCode::kResourceExhausted;
      if (code == SQLITE_IOERR_CORRUPTFS) return absl::StatusCode::kDataLoss;
      return absl::StatusCode::kUnavailable;
    }
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return absl::StatusCode::kDataLoss;
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
      return absl::StatusCode::kInvalidArgument;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_MISUSE:
    case SQLITE_ERROR:
      return absl::StatusCode::kInternal;
    default:  // BUSY, LOCKED, CANTOPEN, READONLY, NOMEM, PROTOCOL, ...
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status SqliteConnection::Error(sqlite3* db, int code) {
  const char* detail = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  return absl::Status(CodeOf(db, code), absl::StrCat("SQLite: ", detail, " (", code, ")"));
}

void SqliteStatement::Bind(int index, int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
}

void SqliteStatement::Bind(int index, absl::string_view bytes) {
  // A null pointer would bind NULL, which is not the empty blob.
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  sqlite3_bind_blob64(statement_.get(), index, data, bytes.size(), SQLITE_STATIC);
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteConnection::Error(sqlite3_db_handle(statement_.get()), code);
}

absl::Status SqliteStatement::Run() {
  absl::Status status = Step().status();
  Reset();
  return status;
}

void SqliteStatement::Reset() { sqlite3_reset(statement_.get()); }

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

absl::string_view SqliteStatement::Bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? absl::string_view() : absl::string_view(data, static_cast<size_t>(size));
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(
    const std::string& path, Mode mode, const std::string& vfs, absl::Duration busy_timeout) {
  const int access = mode == Mode::kWriter ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, access | SQLITE_OPEN_NOMUTEX,
                                   vfs.empty() ? nullptr : vfs.c_str());
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(db));
  if (code != SQLITE_OK) return Error(db, code);
  absl::Status hardened = connection->Harden(mode, busy_timeout);
  if (!hardened.ok()) return hardened;
  return connection;
}

absl::Status SqliteConnection::Harden(Mode mode, absl::Duration busy_timeout) {
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_timeout(db_, static_cast<int>(absl::ToInt64Milliseconds(busy_timeout)));
  // A file somebody else could write must not run code or confuse the parser.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  // The writer alone checkpoints (SQLite 3.40.1 can corrupt a WAL that two connections reset).
  if (mode == Mode::kReader) SetCheckpointOnClose(false);
  std::string pragmas =
      "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
      // The pool holds what is asked for often: SQLite needs room for little but inner pages.
      "PRAGMA cache_size=-4000;";
  if (mode == Mode::kReader) {
    pragmas += "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0;";
  } else {
    // EXTRA is FULL in WAL mode. Outside it (while the file is made) it also syncs the folder after
    // a journal is removed: a journal that came back would roll back the whole store.
    pragmas +=
        "PRAGMA synchronous=EXTRA; PRAGMA journal_size_limit=67108864;"
        // Free pages are zeros, so that a salvage never finds a row that was replaced or deleted.
        "PRAGMA secure_delete=ON;";
  }
  return Execute(pragmas);
}

SqliteConnection::~SqliteConnection() {
  // _v2: a statement that outlives its connection makes a leak, not a crash.
  sqlite3_close_v2(db_);
}

absl::StatusOr<SqliteStatement> SqliteConnection::Prepare(absl::string_view sql) {
  sqlite3_stmt* made = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  if (code != SQLITE_OK) return Error(db_, code);
  SqliteStatement statement;
  statement.statement_.reset(made);
  return statement;
}

absl::Status SqliteConnection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(db_, code);
}

absl::StatusOr<int64_t> SqliteConnection::QueryInt(absl::string_view sql) {
  absl::StatusOr<SqliteStatement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> found = statement->Step();
  if (!found.ok()) return found.status();
  if (!*found) return absl::NotFoundError(absl::StrCat("no row: ", sql));
  return statement->Int(0);
}

absl::StatusOr<std::string> SqliteConnection::QueryText(absl::string_view sql) {
  absl::StatusOr<SqliteStatement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> found = statement->Step();
  if (!found.ok()) return found.status();
  if (!*found) return absl::NotFoundError(absl::StrCat("no row: ", sql));
  return std::string(statement->Bytes(0));
}

void SqliteConnection::SetCheckpointOnClose(bool wanted) {
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, wanted ? 0 : 1, nullptr);
}

void SqliteConnection::Rollback() {
  if (db_ != nullptr && sqlite3_get_autocommit(db_) == 0) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

}  // namespace credbroker::store
