// Reading every row of a SQLite store, also of one whose file is damaged.
//
// Thread-safety: stateless; the connection's rules apply.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_LOAD_H_
#define CREDBROKER_SERVER_STORE_SQLITE_LOAD_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/sqlite_db.h"
#include "server/store/store.h"

namespace credbroker::store {

// As Store::Load. Two ways: the plain ordered scan and, where that met a damaged page, the index
// alone with every row fetched by itself. kDataLoss: the index is damaged too; what was read until
// then was delivered, the next start salvages the rest (sqlite_salvage.h).
absl::StatusOr<LoadReport> LoadSqliteRows(SqliteConnection& db,
                                          absl::FunctionRef<absl::Status(Row)> visit);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_LOAD_H_
