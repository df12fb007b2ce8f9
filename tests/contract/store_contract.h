// What every backend of store.h promises, as a fixture: a new backend adds one line at the end and
// no test.
#ifndef CREDBROKER_TESTS_CONTRACT_STORE_CONTRACT_H_
#define CREDBROKER_TESTS_CONTRACT_STORE_CONTRACT_H_

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/store/memory_store.h"
#include "server/store/sqlite_store.h"
#include "server/store/store.h"

namespace credbroker::store {

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

inline const Backend kBackends[] = {
    {"Memory", [] { return std::unique_ptr<Medium>(new MemoryMedium); }},
    {"Sqlite", [] { return std::unique_ptr<Medium>(new SqliteMedium); }},
};

}  // namespace credbroker::store

#endif  // CREDBROKER_TESTS_CONTRACT_STORE_CONTRACT_H_
