// A connection and a prepared statement of SQLite with absl statuses: the only file that spells
// SQLite's result codes.
//
// Thread-safety: thread-compatible; a connection and its statements are used by one thread at a
// time.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_DB_H_
#define CREDBROKER_SERVER_STORE_SQLITE_DB_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace credbroker::store {

class SqliteStatement {
 public:
  SqliteStatement() = default;

  // Parameters count from 1. The bytes must stay alive until Reset.
  void Bind(int index, int64_t value);
  void Bind(int index, absl::string_view bytes);

  // True: a row is there. False: done. Errors as SqliteConnection::Error says.
  absl::StatusOr<bool> Step();
  // Step for statements without rows, then Reset.
  absl::Status Run();
  void Reset();

  // Columns count from 0; bytes are valid until the next Step or Reset.
  int64_t Int(int column) const;
  absl::string_view Bytes(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqliteConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class SqliteConnection {
 public:
  enum class Mode { kWriter, kReader };

  // Opens an existing file with every defensive switch on. A reader is read-only, query_only and
  // never checkpoints, not even when it closes. `vfs` empty: the default one.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const std::string& path, Mode mode,
                                                                const std::string& vfs,
                                                                absl::Duration busy_timeout);
  ~SqliteConnection();
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  absl::StatusOr<SqliteStatement> Prepare(absl::string_view sql);
  // Runs statements that give no rows, or whose rows do not matter.
  absl::Status Execute(const std::string& sql);
  // The first column of the first row; kNotFound if there is no row.
  absl::StatusOr<int64_t> QueryInt(absl::string_view sql);
  absl::StatusOr<std::string> QueryText(absl::string_view sql);

  // Rolls back whatever is open; harmless when nothing is.
  void Rollback();
  // Whether the last connection to close copies the WAL into the file; a writer's default.
  void SetCheckpointOnClose(bool wanted);
  int changes() const { return sqlite3_changes(db_); }

  // The status of SQLite's result code `code`, as Store::Commit lists them.
  static absl::Status Error(sqlite3* db, int code);

 private:
  explicit SqliteConnection(sqlite3* db) : db_(db) {}
  absl::Status Harden(Mode mode, absl::Duration busy_timeout);

  sqlite3* const db_;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_DB_H_
