// Promise: a slow, full or dead disk makes commits fail clean, and the store recovers by itself.
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sqlite_store.h"
#include "tests/store/faulty_disk.h"
#include "tests/store/numbered_commits.h"
#include "tests/store/scratch_folder.h"

namespace credbroker::store {
namespace {

constexpr uint64_t kSeed = 3;
constexpr size_t kMaxValue = 3'000;

class SqliteFault : public ::testing::Test {
 protected:
  void SetUp() override {
    Open();
    for (uint64_t n = 1; n <= 5; ++n) ASSERT_TRUE(Commit(n).ok());
  }
  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<Store>> store =
        OpenSqliteStore({.path = folder_ / "store.db", .checkpoint_pages = 20, .vfs = vfs_.name()});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    fence_ = store_->TakeOwnership().value();
  }
  absl::Status Commit(uint64_t n) {
    return store_->Commit(NumberedCommit(kSeed, n, kMaxValue), fence_);
  }
  uint64_t Commits() {
    absl::StatusOr<uint64_t> commits = CommitsIn(*store_, kSeed, kMaxValue);
    EXPECT_TRUE(commits.ok()) << commits.status();
    return commits.value_or(UINT64_MAX);
  }
  // What another process would find if this one were gone.
  uint64_t CommitsAfterKill() {
    ScratchFolder copy;
    for (const char* name : {"store.db", "store.db-wal"}) {
      if (!std::filesystem::exists(folder_ / name)) continue;
      std::filesystem::copy_file(folder_ / name, copy / name);
    }
    absl::StatusOr<std::unique_ptr<Store>> store = OpenSqliteStore({.path = copy / "store.db"});
    EXPECT_TRUE(store.ok()) << store.status();
    if (!store.ok()) return UINT64_MAX;
    absl::StatusOr<uint64_t> commits = CommitsIn(**store, kSeed, kMaxValue);
    EXPECT_TRUE(commits.ok()) << commits.status();
    return commits.value_or(UINT64_MAX);
  }

  ScratchFolder folder_;
  FaultyDisk disk_;
  ShimVfs vfs_{"faulty", disk_};
  std::unique_ptr<Store> store_;
  Fence fence_;
};

TEST_F(SqliteFault, AFullDiskFailsCleanAtEveryWriteAndRecovers) {
  uint64_t done = 5;
  int failures = 0;
  for (int after = 0; after < 80; ++after) {
    SCOPED_TRACE(after);
    disk_.FailWrites(SQLITE_FULL, after);
    absl::Status status = Commit(done + 1);
    if (status.ok()) {
      ++done;  // the disk filled up in the checkpoint, after the commit was durable
    } else {
      ++failures;
      EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    }
    EXPECT_EQ(Commits(), done);
    EXPECT_EQ(CommitsAfterKill(), done);
    disk_.Heal();
    ASSERT_TRUE(Commit(done + 1).ok());
    EXPECT_EQ(Commits(), ++done);
  }
  EXPECT_GT(failures, 20);
  EXPECT_EQ(store_->Stats().failed_commits, static_cast<uint64_t>(failures));
  Open();
  EXPECT_EQ(Commits(), done);
}

TEST_F(SqliteFault, AnIoErrorIsUnavailableAndChangesNothing) {
  disk_.FailWrites(SQLITE_IOERR_WRITE);
  EXPECT_TRUE(absl::IsUnavailable(Commit(6)));
  EXPECT_TRUE(absl::IsUnavailable(store_->TakeOwnership().status()));
  EXPECT_EQ(Commits(), 5u);
  disk_.Heal();
  EXPECT_TRUE(Commit(6).ok());
}

// The transaction is complete in the WAL when its fsync fails; without care a crash revives it.
TEST_F(SqliteFault, ACommitWhoseSyncFailedDoesNotComeBackAfterACrash) {
  disk_.FailSyncs(SQLITE_IOERR_FSYNC, 1);
  EXPECT_TRUE(absl::IsUnavailable(Commit(6)));
  EXPECT_EQ(Commits(), 5u);
  EXPECT_EQ(CommitsAfterKill(), 5u);
}

TEST_F(SqliteFault, SaysSoWhenAFailedCommitMightComeBack) {
  disk_.FailSyncs(SQLITE_IOERR_FSYNC, 1000);
  absl::Status status = Commit(6);
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(status.message(), ::testing::HasSubstr("this one may be found"));
  EXPECT_EQ(Commits(), 5u);
  disk_.Heal();
  ASSERT_TRUE(Commit(6).ok());
  EXPECT_EQ(CommitsAfterKill(), 6u);
}

TEST_F(SqliteFault, ReadsGoOnWhileACommitHangs) {
  disk_.Hang();
  absl::Status status = absl::UnknownError("not yet");
  std::thread committer([&] { status = Commit(6); });
  disk_.AwaitHungSync();
  EXPECT_EQ(Commits(), 5u);
  EXPECT_TRUE(store_->ReadPrefix({.kind = RowKind::kDocument}).ok());
  EXPECT_EQ(store_->Stats().commits, 5u);
  disk_.Release();
  committer.join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Commits(), 6u);
}

TEST_F(SqliteFault, RefusesToOpenOnADiskThatCannotBeWritten) {
  disk_.FailWrites(SQLITE_FULL);
  absl::StatusOr<std::unique_ptr<Store>> store =
      OpenSqliteStore({.path = folder_ / "other.db", .vfs = vfs_.name()});
  EXPECT_TRUE(absl::IsResourceExhausted(store.status())) << store.status();
  disk_.Heal();
  EXPECT_TRUE(OpenSqliteStore({.path = folder_ / "other.db", .vfs = vfs_.name()}).ok());
}

}  // namespace
}  // namespace credbroker::store
