// What every backend of store.h promises. A new backend adds one line at the end and no test.
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/memory_store.h"
#include "server/store/sqlite_store.h"
#include "server/store/store.h"

namespace credbroker::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Where a backend keeps its data between two opens.
class Medium {
 public:
  virtual ~Medium() = default;
  virtual std::unique_ptr<Store> Open() = 0;
};

class MemoryMedium : public Medium {
 public:
  std::unique_ptr<Store> Open() override { return std::make_unique<MemoryStore>(disk_); }

 private:
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};

class SqliteMedium : public Medium {
 public:
  SqliteMedium() {
    std::string folder = std::filesystem::temp_directory_path() / "contract.XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) abort();
    folder_ = folder;
  }
  ~SqliteMedium() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<Store> Open() override {
    auto store = OpenSqliteStore({.path = folder_ / "store.db"});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

 private:
  std::filesystem::path folder_;
};

struct Backend {
  const char* name;
  std::unique_ptr<Medium> (*make)();
};

class StoreContract : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    medium_ = GetParam().make();
    Reopen();
  }
  void Reopen() {
    store_.reset();
    store_ = medium_->Open();
    ASSERT_NE(store_, nullptr);
    absl::StatusOr<Fence> fence = store_->TakeOwnership();
    ASSERT_TRUE(fence.ok()) << fence.status();
    fence_ = *fence;
  }
  absl::Status Commit(std::vector<Write> writes) { return store_->Commit(writes, fence_); }
  // "document/a@1=x" for each row.
  std::vector<std::string> All() { return All(*store_); }
  static std::vector<std::string> All(Store& store) {
    std::vector<std::string> rows;
    absl::StatusOr<LoadReport> report = store.Load([&rows](Row row) {
      rows.push_back(Text(row));
      return absl::OkStatus();
    });
    EXPECT_TRUE(report.ok()) << report.status();
    if (report.ok()) {
      EXPECT_EQ(report->rows, rows.size());
      EXPECT_EQ(report->damaged, 0u);
    }
    return rows;
  }
  static std::string Text(const Row& row) {
    return absl::StrCat(RowKindName(row.kind), "/", row.key, "@", row.version, "=", row.value);
  }
  std::vector<std::string> Prefix(PrefixQuery query) {
    std::vector<std::string> keys;
    absl::StatusOr<std::vector<Row>> rows = store_->ReadPrefix(query);
    EXPECT_TRUE(rows.ok()) << rows.status();
    if (!rows.ok()) return keys;
    for (const Row& row : *rows) {
      EXPECT_EQ(row.kind, query.kind);
      keys.push_back(row.key);
    }
    return keys;
  }
  static Write Put(std::string key, std::string value, uint64_t version = 1,
                   std::optional<uint64_t> expect = std::nullopt) {
    return {RowKind::kDocument, std::move(key), std::move(value), version, expect};
  }
  static Write Erase(std::string key, std::optional<uint64_t> expect = std::nullopt) {
    return {RowKind::kDocument, std::move(key), std::nullopt, 0, expect};
  }

  std::unique_ptr<Medium> medium_;
  std::unique_ptr<Store> store_;
  Fence fence_;
};

TEST_P(StoreContract, BeginsEmpty) {
  EXPECT_THAT(All(), IsEmpty());
  EXPECT_THAT(Prefix({.kind = RowKind::kDocument}), IsEmpty());
}

TEST_P(StoreContract, LoadsRowsByKindThenByKeyAsBytes) {
  ASSERT_TRUE(Commit({{RowKind::kSecret, "a", "s", 3},
                      Put("b", "2"),
                      Put("\xff", "4"),
                      Put("ab", "1"),
                      Put("z", "3"),
                      {RowKind::kMeta, "zz", "m", 1}})
                  .ok());
  EXPECT_THAT(All(), ElementsAre("meta/zz@1=m", "document/ab@1=1", "document/b@1=2",
                                 "document/z@1=3", "document/\xff@1=4", "secret/a@3=s"));
}

TEST_P(StoreContract, TheSameKeyInTwoKindsIsTwoRows) {
  ASSERT_TRUE(Commit({Put("a", "d"), {RowKind::kIntent, "a", "i", 1}}).ok());
  ASSERT_TRUE(Commit({Erase("a")}).ok());
  EXPECT_THAT(All(), ElementsAre("intent/a@1=i"));
}

TEST_P(StoreContract, KeepsEverythingOverAReopen) {
  ASSERT_TRUE(Commit({Put("a", "1"), Put("b", "1")}).ok());
  ASSERT_TRUE(Commit({Put("a", "2", 2), Erase("b")}).ok());
  const std::string id(store_->id());
  Reopen();
  EXPECT_THAT(All(), ElementsAre("document/a@2=2"));
  EXPECT_EQ(store_->id(), id);
  EXPECT_EQ(id.size(), 32u);
}

TEST_P(StoreContract, KeepsEmptyAndBinaryKeysAndValues) {
  const std::string zeros("\0a\0", 3);
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  ASSERT_TRUE(Commit({Put("", bytes), Put(zeros, ""), Put(bytes, zeros)}).ok());
  Reopen();
  absl::StatusOr<std::vector<Row>> rows = store_->ReadPrefix({.kind = RowKind::kDocument});
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[0].key, "");
  EXPECT_EQ((*rows)[0].value, bytes);
  EXPECT_EQ((*rows)[1].key, bytes);
  EXPECT_EQ((*rows)[1].value, zeros);
  EXPECT_EQ((*rows)[2].key, zeros);
  EXPECT_EQ((*rows)[2].value, "");
  EXPECT_EQ(All().size(), 3u);
}

TEST_P(StoreContract, KeepsALargeValueAndTheLargestVersion) {
  const std::string large(3'000'000, 'x');
  ASSERT_TRUE(Commit({Put("a", large, INT64_MAX)}).ok());
  Reopen();
  absl::StatusOr<std::vector<Row>> rows = store_->ReadPrefix({.kind = RowKind::kDocument});
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->at(0).value, large);
  EXPECT_EQ(rows->at(0).version, static_cast<uint64_t>(INT64_MAX));
}

TEST_P(StoreContract, AnEmptyCommitOnlyChecksTheFence) {
  EXPECT_TRUE(Commit({}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Commit({}, Fence{fence_.epoch - 1})));
}

TEST_P(StoreContract, ErasingAnAbsentRowIsNoError) {
  EXPECT_TRUE(Commit({Erase("nothing")}).ok());
  EXPECT_TRUE(Commit({Erase("nothing", 0)}).ok());
}

// One row per way an expectation can fail; the commit's other writes must not be there either.
struct Expectation {
  const char* what;
  Write write;
  bool holds;
};

TEST_P(StoreContract, AppliesOnlyWhenEveryExpectedVersionMatches) {
  const Expectation table[] = {
      {"update at the right version", Put("a", "new", 8, 7), true},
      {"update at an older version", Put("a", "new", 8, 6), false},
      {"update at a newer version", Put("a", "new", 8, 8), false},
      {"update at an impossible version", Put("a", "new", 8, UINT64_MAX), false},
      {"create over a row", Put("a", "new", 1, 0), false},
      {"create where there is none", Put("new", "new", 1, 0), true},
      {"update where there is none", Put("new", "new", 2, 1), false},
      {"erase at the right version", Erase("a", 7), true},
      {"erase at an older version", Erase("a", 6), false},
      {"erase where there must be none", Erase("a", 0), false},
      {"erase what is gone", Erase("new", 1), false},
  };
  for (const Expectation& row : table) {
    SCOPED_TRACE(row.what);
    ASSERT_TRUE(Commit({Put("a", "old", 7), Erase("new"), Erase("before"), Erase("z")}).ok());
    const std::vector<std::string> before = All();
    absl::Status status = Commit({Put("before", "x"), row.write, Put("z", "x")});
    if (row.holds) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_NE(All(), before);
    } else {
      EXPECT_TRUE(absl::IsAborted(status)) << status;
      EXPECT_THAT(status.message(), HasSubstr("document row '" + row.write.key + "'"));
      EXPECT_EQ(All(), before);
      Reopen();
      EXPECT_EQ(All(), before);
    }
  }
}

TEST_P(StoreContract, RefusesBadWritesAndChangesNothing) {
  EXPECT_TRUE(absl::IsInvalidArgument(Commit({Put("a", "1"), Put("b", "1", 0)})));
  EXPECT_TRUE(absl::IsInvalidArgument(Commit({Put("a", "1"), Put("b", "1", 1ull << 63)})));
  EXPECT_TRUE(absl::IsInvalidArgument(Commit({Put("a", "1"), Erase("a")})));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_P(StoreContract, AStaleFenceChangesNothing) {
  ASSERT_TRUE(Commit({Put("a", "1")}).ok());
  const Fence old = fence_;
  absl::StatusOr<Fence> next = store_->TakeOwnership();
  ASSERT_TRUE(next.ok());
  EXPECT_GT(next->epoch, old.epoch);
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Commit(std::vector{Put("a", "2", 2)}, old)));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      store_->Commit(std::vector{Put("a", "2", 2)}, Fence{next->epoch + 1})));
  EXPECT_THAT(All(), ElementsAre("document/a@1=1"));
  EXPECT_TRUE(store_->Commit(std::vector{Put("a", "2", 2)}, *next).ok());
  const Fence before_reopen = *next;
  Reopen();
  EXPECT_GT(fence_.epoch, before_reopen.epoch);
}

TEST_P(StoreContract, ReadsAPrefixInPages) {
  std::vector<Write> writes;
  for (const char* key : {"", "a", "a/", "a/1", "a/2", "a/3", "a0", "b", "\xff\xff", "\xff"}) {
    writes.push_back(Put(key, "x"));
  }
  writes.push_back({RowKind::kSecret, "a/2", "x", 1});
  ASSERT_TRUE(Commit(writes).ok());
  const RowKind kind = RowKind::kDocument;
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "a/"}), ElementsAre("a/", "a/1", "a/2", "a/3"));
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "a/", .limit = 2}), ElementsAre("a/", "a/1"));
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "a/", .after = "a/1"}), ElementsAre("a/2", "a/3"));
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "a/", .after = "a/3"}), IsEmpty());
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "a/", .after = "b"}), IsEmpty());
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "a/", .after = "", .limit = 1}), ElementsAre("a/"));
  EXPECT_THAT(Prefix({.kind = kind, .after = "", .limit = 1}), ElementsAre("a"));
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "\xff"}), ElementsAre("\xff", "\xff\xff"));
  EXPECT_THAT(Prefix({.kind = kind, .prefix = "c"}), IsEmpty());
  EXPECT_THAT(Prefix({.kind = kind, .limit = 0}), IsEmpty());
  EXPECT_EQ(Prefix({.kind = kind}).size(), 10u);
}

TEST_P(StoreContract, CommitsThirtyThousandRowsAtOnceOrNotAtAll) {
  std::vector<Write> writes;
  for (int i = 0; i < 30'000; ++i) {
    writes.push_back(Put(absl::StrFormat("%05d", i), std::string(100, 'a'), 1, 0));
  }
  ASSERT_TRUE(Commit(writes).ok());
  EXPECT_EQ(All().size(), 30'000u);
  for (Write& write : writes) {
    write.value = "b";
    write.version = 2;
    write.expect_version = 1;
  }
  writes[29'000].expect_version = 5;
  EXPECT_TRUE(absl::IsAborted(Commit(writes)));
  Reopen();
  ASSERT_TRUE(store_
                  ->Load([](Row row) {
                    return row.version == 1 ? absl::OkStatus() : absl::InternalError(row.key);
                  })
                  .ok());
  writes[29'000].expect_version = 1;
  EXPECT_TRUE(Commit(writes).ok());
}

TEST_P(StoreContract, StopsTheLoadWithTheVisitorsStatus) {
  ASSERT_TRUE(Commit({Put("a", "1"), Put("b", "1")}).ok());
  int seen = 0;
  absl::StatusOr<LoadReport> report = store_->Load([&seen](Row) {
    ++seen;
    return absl::DataLossError("enough");
  });
  EXPECT_EQ(report.status(), absl::DataLossError("enough"));
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(All().size(), 2u);
}

TEST_P(StoreContract, ACommitInsideALoadIsNotSeenByIt) {
  ASSERT_TRUE(Commit({Put("a", "1"), Put("b", "1")}).ok());
  std::vector<std::string> seen;
  ASSERT_TRUE(store_
                  ->Load([&](Row row) {
                    seen.push_back(Text(row));
                    return Commit({Put("b", "2", 2), Put("c", "2", 2)});
                  })
                  .ok());
  EXPECT_THAT(seen, ElementsAre("document/a@1=1", "document/b@1=1"));
  EXPECT_EQ(All().size(), 3u);
}

TEST_P(StoreContract, ReadersOnOtherThreadsSeeWholeCommitsOnly) {
  ASSERT_TRUE(Commit({Put("a", "0"), Put("b", "0")}).ok());
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([this, &done, i] {
      while (!done) {
        std::vector<std::string> values;
        if (i == 0) {
          absl::StatusOr<std::vector<Row>> rows = store_->ReadPrefix({.kind = RowKind::kDocument});
          ASSERT_TRUE(rows.ok()) << rows.status();
          for (const Row& row : *rows) values.push_back(row.value);
        } else {
          absl::StatusOr<LoadReport> report = store_->Load([&values](Row row) {
            values.push_back(row.value);
            return absl::OkStatus();
          });
          ASSERT_TRUE(report.ok()) << report.status();
        }
        ASSERT_EQ(values.size(), 2u);
        ASSERT_EQ(values[0], values[1]);
        store_->Stats();
      }
    });
  }
  for (uint64_t i = 2; i < 200; ++i) {
    const std::string value = absl::StrCat(i);
    ASSERT_TRUE(Commit({Put("a", value, i), Put("b", value, i)}).ok());
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_P(StoreContract, EqualsAModelUnderRandomCommits) {
  std::mt19937_64 random(1);
  std::map<std::string, std::pair<uint64_t, std::string>> model;
  for (int step = 0; step < 400; ++step) {
    std::vector<Write> writes;
    auto next = model;
    bool matches = true;
    for (int i = 0; i < 12; ++i) {
      const std::string key = absl::StrCat(random() % 40);
      const bool twice = std::any_of(writes.begin(), writes.end(),
                                     [&key](const Write& write) { return write.key == key; });
      if (twice) continue;
      Write write = random() % 4 == 0 ? Erase(key) : Put(key, std::string(random() % 300, 'v'));
      write.version = step + 1;
      const uint64_t current = model.count(key) != 0 ? model[key].first : 0;
      if (random() % 2 == 0) write.expect_version = random() % 50 == 0 ? current + 1 : current;
      matches = matches && write.expect_version.value_or(current) == current;
      if (write.value.has_value()) {
        next[key] = {write.version, *write.value};
      } else {
        next.erase(key);
      }
      writes.push_back(std::move(write));
    }
    const absl::Status status = Commit(writes);
    ASSERT_EQ(status.ok(), matches) << status;
    if (matches) model = next;
    if (step % 100 == 99) Reopen();
  }
  std::vector<std::string> expected;
  for (const auto& [key, cell] : model) {
    expected.push_back(Text(Row{RowKind::kDocument, key, cell.first, cell.second}));
  }
  EXPECT_EQ(All(), expected);
}

TEST_P(StoreContract, CountsWhatItDid) {
  ASSERT_TRUE(Commit({Put("a", "1"), Put("b", "1")}).ok());
  ASSERT_TRUE(Commit({Erase("a")}).ok());
  ASSERT_FALSE(Commit({Put("b", "2", 2, 9)}).ok());
  const StoreStats stats = store_->Stats();
  EXPECT_EQ(stats.commits, 2u);
  EXPECT_EQ(stats.rows_written, 3u);
  EXPECT_EQ(stats.conflicts, 1u);
  EXPECT_EQ(stats.failed_commits, 0u);
}

const Backend kBackends[] = {
    {"Memory", [] { return std::unique_ptr<Medium>(new MemoryMedium); }},
    {"Sqlite", [] { return std::unique_ptr<Medium>(new SqliteMedium); }},
};

INSTANTIATE_TEST_SUITE_P(Backends, StoreContract, ::testing::ValuesIn(kBackends),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace credbroker::store
