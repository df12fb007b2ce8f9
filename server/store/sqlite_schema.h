// The layout of the SQLite file and how an older one becomes the current one.
//
// Thread-safety: stateless; the connection's rules apply.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_SCHEMA_H_
#define CREDBROKER_SERVER_STORE_SQLITE_SCHEMA_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/store/sqlite_db.h"

namespace credbroker::store {

// PRAGMA application_id of our files: "CrBk".
inline constexpr int64_t kSqliteApplicationId = 0x4372426b;

// Takes a file from schema `to` - 1 to `to`.
struct Migration {
  int to = 0;
  const char* sql = nullptr;
};

// Every step ever shipped, in order, the first one making schema 1 from an empty file. Steps are
// only ever appended: PRAGMA user_version of files out there names the last one they took.
absl::Span<const Migration> SqliteMigrations();

// Brings the file to the last of `migrations`, in one transaction, so that a crash leaves the old
// schema or the new one. kFailedPrecondition: made by something else, or by a newer version;
// nothing was touched. Afterwards the file has a store id and an epoch.
absl::Status MigrateSqlite(SqliteConnection& db, absl::Span<const Migration> migrations);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_SCHEMA_H_
