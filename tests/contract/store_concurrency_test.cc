// Whole commits only: large ones, readers beside a writer, random ones against a model.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "tests/contract/store_contract.h"

namespace credbroker::store {
namespace {

using ::testing::ElementsAre;

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

}  // namespace
}  // namespace credbroker::store
