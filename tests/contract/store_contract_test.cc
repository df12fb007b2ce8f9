// Rows, versions, fences and pages.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/store_contract.h"

namespace credbroker::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

INSTANTIATE_TEST_SUITE_P(Backends, StoreContract, ::testing::ValuesIn(kBackends),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace credbroker::store
