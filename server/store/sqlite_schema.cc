#include "server/store/sqlite_schema.h"

#include "absl/strings/str_cat.h"

namespace credbroker::store {
namespace {

// One table, not one per kind: the same speed, and a new kind needs no migration. Not WITHOUT
// ROWID: with values of 1.5 kB that doubles the file and trebles the time. Keys are blobs, so
// that they compare as bytes. store_facts holds what belongs to the file rather than to a row;
// free_pages_wiped is absent in a file that was first written without secure_delete.
constexpr Migration kMigrations[] = {
    {.to = 1, .sql = R"sql(
        CREATE TABLE store_facts (
          name TEXT PRIMARY KEY NOT NULL,
          value
        );
        INSERT INTO store_facts VALUES ('store_id', lower(hex(randomblob(16))));
        INSERT INTO store_facts VALUES ('epoch', 0);
        INSERT INTO store_facts VALUES ('undone_commits', 0);
        INSERT INTO store_facts VALUES ('free_pages_wiped', 1);
        CREATE TABLE rows (
          id INTEGER PRIMARY KEY,
          kind INTEGER NOT NULL,
          key BLOB NOT NULL,
          version INTEGER NOT NULL,
          value BLOB NOT NULL,
          UNIQUE (kind, key)
        );)sql"},
};

absl::Status Refuse(absl::string_view why) { return absl::FailedPreconditionError(why); }

absl::Status TakeSteps(SqliteConnection& db, absl::Span<const Migration> migrations) {
  absl::StatusOr<int64_t> version = db.QueryInt("PRAGMA user_version");
  if (!version.ok()) return version.status();
  absl::StatusOr<int64_t> application = db.QueryInt("PRAGMA application_id");
  if (!application.ok()) return application.status();
  absl::StatusOr<int64_t> tables = db.QueryInt("SELECT count(*) FROM sqlite_schema");
  if (!tables.ok()) return tables.status();

  const bool empty = *tables == 0 && *application == 0 && *version == 0;
  if (!empty && *application != kSqliteApplicationId) {
    return Refuse("the file is a SQLite database, but not a credbroker store");
  }
  const int newest = migrations.empty() ? 0 : migrations.back().to;
  if (*version > newest) {
    return Refuse(absl::StrCat("the store has schema ", *version, ", this version knows up to ",
                               newest, ": it was last used by a newer credbroker"));
  }
  if (*version == newest) return absl::OkStatus();
  for (const Migration& step : migrations) {
    if (step.to <= *version) continue;
    absl::Status taken = db.Execute(step.sql);
    if (!taken.ok()) {
      return absl::Status(taken.code(), absl::StrCat("migrating the store to schema ", step.to,
                                                     ": ", taken.message()));
    }
  }
  return db.Execute(absl::StrCat("PRAGMA application_id=", kSqliteApplicationId,
                                 "; PRAGMA user_version=", newest));
}

}  // namespace

absl::Span<const Migration> SqliteMigrations() { return kMigrations; }

absl::Status MigrateSqlite(SqliteConnection& db, absl::Span<const Migration> migrations) {
  absl::Status status = db.Execute("BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  status = TakeSteps(db, migrations);
  if (status.ok()) status = db.Execute("COMMIT");
  if (!status.ok()) db.Rollback();
  return status;
}

}  // namespace credbroker::store
