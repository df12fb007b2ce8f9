#include "client/sidecar/lease_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "client/sidecar/request_book.h"
#include "tests/sidecar/fake_source.h"

namespace credbroker::sidecar {
namespace {

class LeaseTableTest : public testing::Test {
 protected:
  std::unique_ptr<HeldLease> Lease() {
    return std::make_unique<FakeLease>(FakeCredential(), seen_);
  }

  Seen seen_;
  uint64_t bits_ = 0;
  LeaseTable table_{{.max_leases = 1000, .ended_retention = absl::Seconds(10), .random = [this] {
                       return ++bits_ * 0x9E3779B97F4A7C15u;
                     }}};
};

TEST(LeaseIdText, IsOneTextForEachId) {
  const LeaseId id{0x0123456789abcdef, 0xfedcba9876543210};
  const std::string text = ToText(id);
  EXPECT_EQ(text.size(), 24u);
  EXPECT_EQ(ParseLeaseId(text), id);
  // The spare bits of the last character.
  std::string other = text;
  other.back() = other.back() == 'A' ? 'B' : 'A';
  if (const auto parsed = ParseLeaseId(other); parsed.has_value()) {
    EXPECT_EQ(ToText(*parsed), other);
    EXPECT_NE(*parsed, id);
  }
  EXPECT_FALSE(ParseLeaseId(text.substr(1)).has_value());
  EXPECT_FALSE(ParseLeaseId(text + "A").has_value());
  EXPECT_FALSE(ParseLeaseId("s_AAAAAAAAAAAAAAAAAAAA/A").has_value());
}

TEST_F(LeaseTableTest, ForgetsEndedLeasesAfterTheirTime) {
  const LeaseId id = table_.NewId();
  auto lease = Lease();
  ASSERT_TRUE(table_.Put(id, lease, {.deadline = 100}));
  EXPECT_NE(table_.Take(id, "", LeaseEnd::kReported, 0).lease, nullptr);
  EXPECT_EQ(table_.Take(id, "", LeaseEnd::kReported, 1).ended, LeaseEnd::kReported);
  // Others that end later push out what is too old.
  for (int i = 0; i < 100; ++i) {
    const LeaseId next = table_.NewId();
    auto another = Lease();
    ASSERT_TRUE(table_.Put(next, another, {.deadline = 100}));
    table_.Take(next, "", LeaseEnd::kReleased, 10'000'000'000);
  }
  EXPECT_FALSE(table_.Take(id, "", LeaseEnd::kReported, 1).ended.has_value());
}

TEST_F(LeaseTableTest, ExpiresInBoundedSteps) {
  for (int i = 0; i < 100; ++i) {
    auto lease = Lease();
    ASSERT_TRUE(table_.Put(table_.NewId(), lease, {.deadline = i}));
  }
  EXPECT_EQ(table_.TakeExpired(49, 30).size(), 30u);
  EXPECT_EQ(table_.TakeExpired(49, 30).size(), 20u);
  EXPECT_EQ(table_.TakeExpired(49, 30).size(), 0u);
  EXPECT_EQ(table_.live(), 50u);
  EXPECT_EQ(table_.TakeAll(50).size(), 50u);
  EXPECT_EQ(table_.live(), 0u);
}

TEST(RequestBook, RemembersTheFirstLeaseOfARequest) {
  RequestBook book;
  EXPECT_FALSE(book.Find("r", 0).has_value());
  EXPECT_FALSE(book.Add("r", {1, {2, 3}}, 0, 100).has_value());
  const auto first = book.Add("r", {1, {4, 5}}, 0, 100);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->lease, (LeaseId{2, 3}));
  EXPECT_TRUE(book.Find("r", 99).has_value());
  EXPECT_FALSE(book.Find("r", 100).has_value());
}

TEST(RequestBook, KnowsTheSameIdOfAnotherPrincipalForAnotherOne) {
  RequestBook book;
  const std::string key = RequestBook::KeyOf("unix:/a", "r");
  EXPECT_FALSE(book.Add(key, {1, {2, 3}}, 0, 100).has_value());
  EXPECT_TRUE(book.Find(RequestBook::KeyOf("unix:/a", "r"), 1).has_value());
  EXPECT_FALSE(book.Find(RequestBook::KeyOf("unix:/b", "r"), 1).has_value());
  EXPECT_FALSE(book.Find(RequestBook::KeyOf("unix:/", "ar"), 1).has_value());
}

TEST(RequestBook, HashesARequestTheSameInWhateverOrderItsLabelsAre) {
  api::AcquireRequest one;
  api::AcquireRequest other;
  for (int i = 0; i < 100; ++i) {
    (*one.mutable_labels())[absl::StrCat("k", i)] = "v";
    (*other.mutable_labels())[absl::StrCat("k", 99 - i)] = "v";
  }
  EXPECT_EQ(RequestBook::HashOf(one), RequestBook::HashOf(other));
  (*other.mutable_labels())["k0"] = "w";
  EXPECT_NE(RequestBook::HashOf(one), RequestBook::HashOf(other));
}

}  // namespace
}  // namespace credbroker::sidecar
