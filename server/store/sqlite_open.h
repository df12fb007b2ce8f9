// Opening the file of a SQLite store: finishing an interrupted salvage, making or migrating it,
// looking for damage, and salvaging what a damaged file still holds.
//
// Thread-safety: stateless; the caller holds the store's lock.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_OPEN_H_
#define CREDBROKER_SERVER_STORE_SQLITE_OPEN_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/sqlite_db.h"
#include "server/store/sqlite_store.h"
#include "server/store/store.h"

namespace credbroker::store {

struct SqliteFile {
  std::unique_ptr<SqliteConnection> writer;
  std::string id;
  // What a salvage lost; to be added to each Load's report.
  LoadReport damage;
};

// Errors as OpenSqliteStore.
absl::StatusOr<SqliteFile> OpenSqliteFile(const SqliteOptions& options);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_OPEN_H_
