// What is particular to the SQLite store: its lock, its modes, its schema and its damage.
#include "server/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sqlite_schema.h"
#include "tests/store/scratch_folder.h"

namespace credbroker::store {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<Store>> OpenAt(const std::string& path) {
  return OpenSqliteStore({.path = path});
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

// What the sqlite3 program would do to the file.
void RunSql(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
  sqlite3_close(db);
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

void CommitOne(Store& store, const std::string& key, const std::string& value) {
  const Fence fence = store.TakeOwnership().value();
  const std::vector<Write> writes = {{RowKind::kSecret, key, value, 1}};
  ASSERT_TRUE(store.Commit(writes, fence).ok());
}

TEST(SqliteStore, ASecondServerIsRefusedAndToldWhoHoldsTheStore) {
  ScratchFolder folder;
  auto first = OpenAt(folder / "store.db");
  ASSERT_TRUE(first.ok());
  auto second = OpenAt(folder / "store.db");
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(second.status().message(), HasSubstr(absl::StrCat("pid ", getpid(), ", started 20")));
  // The refused one must not have touched the lock of the first.
  EXPECT_FALSE(OpenAt(folder / "store.db").ok());
  first->reset();
  EXPECT_TRUE(OpenAt(folder / "store.db").ok());
}

TEST(SqliteStore, EveryFileIsPrivateWhateverTheUmask) {
  ScratchFolder folder;
  const mode_t old_mask = umask(0);
  auto store = OpenAt(folder / "store.db");
  ASSERT_TRUE(store.ok());
  CommitOne(**store, "a", "b");
  umask(old_mask);
  for (const char* name :
       {"store.db", "store.db-wal", "store.db-shm", "store.db.lock", "store.db.id"}) {
    EXPECT_EQ(ModeOf(folder / name), mode_t{0600}) << name;
  }
}

TEST(SqliteStore, TightensAFileThatWasLeftOpenToOthers) {
  ScratchFolder folder;
  { ASSERT_TRUE(OpenAt(folder / "store.db").ok()); }
  ASSERT_EQ(chmod((folder / "store.db").c_str(), 0644), 0);
  ASSERT_TRUE(OpenAt(folder / "store.db").ok());
  EXPECT_EQ(ModeOf(folder / "store.db"), mode_t{0600});
}

TEST(SqliteStore, RefusesAFolderThatDoesNotExist) {
  ScratchFolder folder;
  auto store = OpenAt(folder / "no/store.db");
  EXPECT_TRUE(absl::IsUnavailable(store.status())) << store.status();
  EXPECT_THAT(store.status().message(), HasSubstr("no/store.db"));
}

TEST(SqliteStore, RefusesAStoreOfANewerVersionUntouched) {
  ScratchFolder folder;
  { ASSERT_TRUE(OpenAt(folder / "store.db").ok()); }
  RunSql(folder / "store.db", "PRAGMA user_version=99");
  const std::string before = ReadAll(folder / "store.db");
  auto store = OpenAt(folder / "store.db");
  EXPECT_TRUE(absl::IsFailedPrecondition(store.status())) << store.status();
  EXPECT_THAT(store.status().message(), HasSubstr("has schema 99, this version knows up to 1"));
  EXPECT_EQ(ReadAll(folder / "store.db"), before);
}

TEST(SqliteStore, RefusesAnotherProgramsDatabaseUntouched) {
  ScratchFolder folder;
  RunSql(folder / "store.db", "CREATE TABLE theirs (x)");
  const std::string before = ReadAll(folder / "store.db");
  auto store = OpenAt(folder / "store.db");
  EXPECT_TRUE(absl::IsFailedPrecondition(store.status())) << store.status();
  EXPECT_THAT(store.status().message(), HasSubstr("not a credbroker store"));
  EXPECT_EQ(ReadAll(folder / "store.db"), before);
}

TEST(SqliteStore, RefusesAFileThatIsNoDatabase) {
  ScratchFolder folder;
  WriteAll(folder / "store.db", std::string(5000, 'x'));
  EXPECT_TRUE(absl::IsDataLoss(OpenAt(folder / "store.db").status()));
}

// The fixture is what schema 1 wrote; it must open for ever.
TEST(SqliteStore, OpensAStoreOfSchemaOne) {
  ScratchFolder folder;
  RunSql(folder / "store.db", ReadAll(CREDBROKER_TESTS_DIR "/store/fixtures/schema_1.sql"));
  auto store = OpenAt(folder / "store.db");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->id(), "0123456789abcdef0123456789abcdef");
  EXPECT_EQ((*store)->TakeOwnership()->epoch, 42u);
  auto rows = (*store)->ReadPrefix({.kind = RowKind::kSecret});
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->at(0).key, "cred-1");
  EXPECT_EQ(rows->at(0).version, 7u);
  EXPECT_EQ(rows->at(0).value, std::string("\x01\x00\xff", 3));
}

TEST(SqliteStore, MigratesStepByStepOrNotAtAll) {
  ScratchFolder folder;
  RunSql(folder / "store.db", ReadAll(CREDBROKER_TESTS_DIR "/store/fixtures/schema_1.sql"));
  auto db = SqliteConnection::Open(folder / "store.db", SqliteConnection::Mode::kWriter, "",
                                   absl::Seconds(1));
  ASSERT_TRUE(db.ok());
  std::vector<Migration> steps(SqliteMigrations().begin(), SqliteMigrations().end());
  steps.push_back({2, "ALTER TABLE rows ADD COLUMN noted INTEGER NOT NULL DEFAULT 5"});
  steps.push_back({3, "UPDATE rows SET noted = noted + 1; SELECT nonsense"});
  absl::Status failed = MigrateSqlite(**db, steps);
  EXPECT_THAT(failed.message(), HasSubstr("migrating the store to schema 3"));
  EXPECT_EQ((*db)->QueryInt("PRAGMA user_version").value(), 1);
  EXPECT_FALSE((*db)->QueryInt("SELECT noted FROM rows").ok());
  steps.back().sql = "UPDATE rows SET noted = noted + 1";
  EXPECT_TRUE(MigrateSqlite(**db, steps).ok());
  EXPECT_TRUE(MigrateSqlite(**db, steps).ok());
  EXPECT_EQ((*db)->QueryInt("PRAGMA user_version").value(), 3);
  EXPECT_EQ((*db)->QueryInt("SELECT noted FROM rows").value(), 6);
}

TEST(SqliteStore, EveryNewStoreHasAnIdOfItsOwn) {
  ScratchFolder folder;
  auto a = OpenAt(folder / "a.db");
  auto b = OpenAt(folder / "b.db");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE((*a)->id(), (*b)->id());
}

TEST(SqliteStore, ALockHeldByAnotherProgramIsUnavailableAndPasses) {
  ScratchFolder folder;
  auto store = OpenSqliteStore({.path = folder / "store.db", .busy_timeout = absl::ZeroDuration()});
  ASSERT_TRUE(store.ok());
  const Fence fence = (*store)->TakeOwnership().value();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((folder / "store.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const std::vector<Write> writes = {{RowKind::kMeta, "a", "b", 1}};
  EXPECT_TRUE(absl::IsUnavailable((*store)->Commit(writes, fence)));
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  EXPECT_TRUE((*store)->Commit(writes, fence).ok());
  sqlite3_close(other);
}

}  // namespace
}  // namespace credbroker::store
