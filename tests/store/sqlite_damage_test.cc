// Damaged files: what can be read is saved into a new store, the damaged file is kept, and a file
// of which nothing can be read is refused untouched.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sqlite_salvage.h"
#include "server/store/sqlite_store.h"
#include "tests/store/scratch_folder.h"

namespace credbroker::store {
namespace {

using ::testing::HasSubstr;

constexpr size_t kPage = 4096;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

// A store of 2,000 rows of known content, a third of them with overflow pages, to be damaged again
// and again. Some rows were replaced and some erased, so that it has free pages with what they
// held.
class Damage {
 public:
  static constexpr int kRows = 2'000;
  static std::string ValueOf(int i) {
    return std::string(i % 3 == 0 ? 6'000 : 900, static_cast<char>('a' + i % 26));
  }

  Damage() {
    auto store = OpenSqliteStore({.path = path()});
    id_ = std::string((*store)->id());
    const Fence fence = (*store)->TakeOwnership().value();
    Put(**store, fence, 0, kRows + 400, "old", 1);
    Put(**store, fence, 0, kRows, "", 2);
    std::vector<Write> erased;
    for (int i = kRows; i < kRows + 400; ++i) {
      erased.push_back({RowKind::kSecret, absl::StrCat("cred-", i), std::nullopt, 0});
    }
    if (!(*store)->Commit(erased, fence).ok()) abort();
    store->reset();
    content_ = ReadAll(path());
  }

  struct Outcome {
    absl::Status status;
    int intact = 0;     // rows with their right content
    int wrong = 0;      // rows with content of before, or that were erased
    uint64_t rows = 0;  // delivered
    LoadReport report;
  };

  // Opens a store whose file is `content`, as the next start finds it.
  Outcome Load(const std::string& content, bool with_identity = true) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / ".")) {
      std::filesystem::remove(entry.path());
    }
    WriteAll(path(), content);
    if (with_identity)
      WriteAll(path() + ".id", absl::StrCat("credbroker-store ", id_, " 1 wiped\n"));
    Outcome outcome;
    auto store = OpenSqliteStore({.path = path()});
    outcome.status = store.status();
    if (!store.ok()) {
      EXPECT_EQ(ReadAll(path()), content) << "a refused file was touched";
      return outcome;
    }
    EXPECT_EQ((*store)->id(), id_);
    Look(**store, outcome);
    if (outcome.report.damage.empty()) return outcome;
    ExpectKept(content);
    // What was saved is a sound store that can be written to.
    const Fence fence = (*store)->TakeOwnership().value();
    EXPECT_GE(fence.epoch, 1u);
    Put(**store, fence, kRows, kRows + 1, "", 3);
    store->reset();
    auto again = OpenSqliteStore({.path = path()});
    EXPECT_TRUE(again.ok()) << again.status();
    Outcome second;
    if (again.ok()) Look(**again, second);
    EXPECT_TRUE(second.report.damage.empty());
    EXPECT_EQ(second.rows, outcome.rows + 1);
    return outcome;
  }

  std::string path() const { return folder_ / "store.db"; }
  const std::string& content() const { return content_; }
  const ScratchFolder& folder() const { return folder_; }
  std::vector<std::string> FilesBeside(absl::string_view part) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / ".")) {
      if (absl::StrContains(entry.path().filename().string(), part)) {
        found.push_back(entry.path().string());
      }
    }
    return found;
  }

 private:
  static void Put(Store& store, Fence fence, int from, int to, const std::string& prefix,
                  uint64_t version) {
    std::vector<Write> writes;
    for (int i = from; i < to; ++i) {
      writes.push_back({RowKind::kSecret, absl::StrCat("cred-", i), prefix + ValueOf(i), version});
    }
    if (!store.Commit(writes, fence).ok()) abort();
  }

  static void Look(Store& store, Outcome& outcome) {
    std::set<std::string> seen;
    auto report = store.Load([&](Row row) {
      EXPECT_TRUE(seen.insert(row.key).second) << "delivered twice: " << row.key;
      int i = 0;
      if (sscanf(row.key.c_str(), "cred-%d", &i) != 1) return absl::OkStatus();
      if (i < kRows && row.version == 2 && row.value == ValueOf(i)) ++outcome.intact;
      if (i >= kRows && row.version != 3) ++outcome.wrong;
      if (absl::StartsWith(row.value, "old")) ++outcome.wrong;
      return absl::OkStatus();
    });
    EXPECT_TRUE(report.ok()) << report.status();
    if (report.ok()) outcome.report = *std::move(report);
    outcome.rows = outcome.report.rows;
  }

  void ExpectKept(const std::string& content) {
    const std::vector<std::string> kept = FilesBeside(".damaged-");
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_EQ(ReadAll(kept[0]), content);
    EXPECT_TRUE(FilesBeside(".salvag").empty());
    struct stat info = {};
    EXPECT_EQ(stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, mode_t{0600});
  }

  ScratchFolder folder_;
  std::string content_, id_;
};

// The rows a leaf or an overflow page can cost: 4 of the short ones, of the long ones 1.
constexpr int kRowsOfAPage = 4;

TEST(SqliteDamage, AZeroedPageCostsItsOwnRowsOnly) {
  Damage damage;
  const size_t pages = damage.content().size() / kPage;
  ASSERT_GT(pages, 500u);
  for (size_t page = 0; page < pages; page += page < 12 ? 1 : 37) {
    std::string content = damage.content();
    content.replace(page * kPage, kPage, std::string(kPage, '\0'));
    const Damage::Outcome outcome = damage.Load(content);
    EXPECT_TRUE(outcome.status.ok()) << "page " << page + 1 << ": " << outcome.status;
    EXPECT_GE(outcome.intact, Damage::kRows - kRowsOfAPage) << "page " << page + 1;
    EXPECT_EQ(outcome.wrong, 0) << "page " << page + 1;
  }
}

TEST(SqliteDamage, FlippedBitsNeverStopTheRest) {
  Damage damage;
  std::mt19937_64 random(1);
  for (int i = 0; i < 60; ++i) {
    std::string content = damage.content();
    // Every third in the first pages, where the schema, the store's id and the roots are.
    const size_t at = random() % (i % 3 == 0 ? 6 * kPage : content.size());
    content[at] = static_cast<char>(content[at] ^ (1 << random() % 8));
    if (at >= 60 && at < 64) continue;  // of a newer version, for all one can tell
    const Damage::Outcome outcome = damage.Load(content);
    EXPECT_TRUE(outcome.status.ok()) << "at " << at << ": " << outcome.status;
    EXPECT_GE(outcome.intact, Damage::kRows - kRowsOfAPage) << "at " << at;
    EXPECT_EQ(outcome.wrong, 0) << "at " << at;
  }
}

TEST(SqliteDamage, ATruncatedFileServesWhatIsLeftOfIt) {
  Damage damage;
  const size_t size = damage.content().size();
  int served = 0;
  for (const size_t percent : {100, 97, 80, 50, 20, 5}) {
    // Not at the end of a page.
    const size_t cut = size * percent / 100 / kPage * kPage - 1'000;
    const Damage::Outcome outcome = damage.Load(damage.content().substr(0, cut));
    ASSERT_TRUE(outcome.status.ok()) << "cut at " << cut << ": " << outcome.status;
    // Rows lie about in their order; the shares of a long value may be apart.
    EXPECT_GE(outcome.intact, Damage::kRows * static_cast<int>(percent) / 200) << percent << " %";
    EXPECT_EQ(outcome.wrong, 0);
    served += outcome.intact;
  }
  EXPECT_GT(served, 0);
}

TEST(SqliteDamage, SaysWhereTheDamagedFileIs) {
  Damage damage;
  const Damage::Outcome outcome =
      damage.Load(damage.content().substr(0, damage.content().size() / 2));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_FALSE(outcome.report.damage.empty());
  EXPECT_THAT(outcome.report.damage[0],
              HasSubstr(absl::StrCat(outcome.rows,
                                     " rows were saved into a new file, the damaged "
                                     "one is kept as ",
                                     damage.path(), ".damaged-20")));
  EXPECT_GT(outcome.report.damaged, 0u);
}

TEST(SqliteDamage, RefusesAFileOfWhichNothingCanBeRead) {
  Damage damage;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{700}, 2 * kPage}) {
    const Damage::Outcome outcome = damage.Load(damage.content().substr(0, size));
    EXPECT_TRUE(absl::IsDataLoss(outcome.status)) << size << ": " << outcome.status;
    EXPECT_THAT(outcome.status.message(), HasSubstr("restore a backup"));
    EXPECT_TRUE(damage.FilesBeside(".salvag").empty());
  }
}

TEST(SqliteDamage, WithoutASecondCopyOfItsIdALostIdIsARefusal) {
  Damage damage;
  std::string content = damage.content();
  content.replace(kPage, 2 * kPage, std::string(2 * kPage, '\0'));
  EXPECT_TRUE(damage.Load(content).status.ok());
  const Damage::Outcome outcome = damage.Load(content, false);
  EXPECT_TRUE(absl::IsDataLoss(outcome.status)) << outcome.status;
  EXPECT_THAT(outcome.status.message(), HasSubstr("nothing says which store it was"));
}

TEST(SqliteDamage, AnotherStorePutInItsPlaceIsTakenAsItIs) {
  Damage damage;
  ScratchFolder other;
  std::string id;
  {
    auto store = OpenSqliteStore({.path = other / "store.db"});
    id = std::string((*store)->id());
  }
  WriteAll(damage.path(), ReadAll(other / "store.db"));
  auto store = OpenSqliteStore({.path = damage.path()});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->id(), id);
  EXPECT_THAT(ReadAll(damage.path() + ".id"), HasSubstr(id));
}

TEST(SqliteDamage, ASalvageCutShortIsFinishedByTheNextStart) {
  Damage damage;
  // As a crash leaves it that came when the new store was whole: the original and its WAL still
  // have their names.
  const std::string broken = damage.content().substr(0, damage.content().size() / 2);
  ASSERT_TRUE(damage.Load(broken).status.ok());
  std::filesystem::copy_file(damage.path(), damage.path() + ".salvaged");
  for (const std::string& kept : damage.FilesBeside(".damaged-")) unlink(kept.c_str());
  WriteAll(damage.path(), broken);
  WriteAll(damage.path() + "-wal", "what the old file's log held");
  ASSERT_TRUE(FinishSalvage(damage.path()).ok());
  EXPECT_EQ(damage.FilesBeside(".damaged-").size(), 2u);
  EXPECT_TRUE(damage.FilesBeside(".salvag").empty());
  EXPECT_NE(access((damage.path() + "-wal").c_str(), F_OK), 0);
  auto store = OpenSqliteStore({.path = damage.path()});
  ASSERT_TRUE(store.ok()) << store.status();
  auto report = (*store)->Load([](Row) { return absl::OkStatus(); });
  EXPECT_GT(report->rows, 100u);
  EXPECT_TRUE(report->damage.empty());
}

TEST(SqliteDamage, WhatIsOnlyInTheLogIsSavedToo) {
  Damage damage;
  ScratchFolder copy;
  {
    auto store = OpenSqliteStore({.path = damage.path(), .checkpoint_pages = 1'000'000});
    ASSERT_TRUE(store.ok());
    const Fence fence = (*store)->TakeOwnership().value();
    const std::vector<Write> writes = {{RowKind::kSecret, "late", "the newest", 9}};
    ASSERT_TRUE((*store)->Commit(writes, fence).ok());
    for (const char* suffix : {"", "-wal", ".id"}) {
      std::filesystem::copy_file(damage.path() + suffix, copy / (std::string("store.db") + suffix));
    }
  }
  std::string content = ReadAll(copy / "store.db");
  content.replace(20 * kPage, kPage, std::string(kPage, '\0'));
  WriteAll(copy / "store.db", content);
  auto store = OpenSqliteStore({.path = copy / "store.db"});
  ASSERT_TRUE(store.ok()) << store.status();
  bool found = false;
  auto report = (*store)->Load([&](Row row) {
    found |= row.key == "late" && row.value == "the newest";
    return absl::OkStatus();
  });
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->damage.empty());
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace credbroker::store
