// What the store keeps of the pool's backoffs, and who deleted what.
#include "gmock/gmock.h"
#include "tests/engine/engine_fixture.h"

namespace credbroker::engine {
namespace {

using store::RowKind;

constexpr char kProxy[] = "http://user:hunter2@proxy:3128";

class BackoffTest : public EngineTest {
 protected:
  std::vector<store::Row> Rows(RowKind kind) {
    engine_->Drain();
    return *store_->ReadPrefix({.kind = kind, .prefix = "", .after = ""});
  }
  core::Refusal RefusedWith() { return Acquire().reply.refusal.reason; }
};

TEST_F(BackoffTest, OfAModelComesBackUntilASuccessEndedIt) {
  ASSERT_TRUE(Create("a").ok());
  Report(Acquire().lease_id, 529);
  EXPECT_EQ(Rows(RowKind::kBackoff).size(), 1u);
  Restart();
  EXPECT_EQ(RefusedWith(), core::Refusal::kProviderBackoff);
  clock_.Advance(absl::Minutes(2));
  Report(Acquire().lease_id, 200);
  EXPECT_EQ(Rows(RowKind::kBackoff).size(), 0u);
}

TEST_F(BackoffTest, OfLongAgoIsErasedFromTheStore) {
  ASSERT_TRUE(Create("a").ok());
  Report(Acquire().lease_id, 529);
  EXPECT_EQ(Rows(RowKind::kBackoff).size(), 1u);
  clock_.Advance(absl::Hours(25));
  Restart();
  EXPECT_EQ(Rows(RowKind::kBackoff).size(), 0u);
}

TEST_F(BackoffTest, OfAnEgressComesBackAndItsPasswordIsInNoKey) {
  core::PolicyRow row;
  row.name = "dead-proxy";
  row.stated = core::Outcome::kNetwork;
  row.scope = core::Scope::kEgress;
  row.action = core::Action::kWait;
  row.cause = core::Cause::kNetwork;
  row.duration = absl::Minutes(5);
  auto policy = core::PolicyTable::Create({{.provider = "openai", .rows = {row}}});
  ASSERT_TRUE(policy.ok()) << policy.status();
  policy_ = *policy;
  Restart();
  auto document = std::make_shared<core::Document>(*MakeDocument("a"));
  document->proxy_url = kProxy;
  Answer<core::CredentialView> made;
  engine_->Create(
      {.caller = {.actor = "ops"}, .document = document, .secret = MakeSecret("sk"), .intent = {}},
      made.done());
  ASSERT_TRUE(made.Get().ok());
  const std::string lease = Acquire().lease_id;
  ReportItem item;
  item.lease_id = lease;
  item.facts.stated = core::Outcome::kNetwork;
  engine_->Report("proxy", item);
  const std::vector<store::Row> rows = Rows(RowKind::kBackoff);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0].key, testing::Not(testing::HasSubstr("hunter2")));
  EXPECT_THAT(rows[0].key, testing::Not(testing::HasSubstr("proxy")));
  Restart();
  EXPECT_EQ(RefusedWith(), core::Refusal::kProviderBackoff);
  clock_.Advance(absl::Minutes(5));
  Report(Acquire().lease_id, 200);
  EXPECT_EQ(Rows(RowKind::kBackoff).size(), 0u);
}

TEST_F(BackoffTest, ATombstoneSaysWhetherTheFileWentAway) {
  for (const char* id : {"by-hand", "by-import"}) ASSERT_TRUE(Create(id).ok());
  Answer<DeleteResult> deleted;
  engine_->Delete({.caller = {.actor = "ops"}, .id = "by-hand", .etag = ""}, deleted.done());
  ASSERT_TRUE(deleted.Get().ok());
  core::Edit edit{.op = core::Edit::Op::kDelete, .why = core::Why::kDeleted};
  edit.id = "by-import";
  ImportRequest import{.caller = {.actor = "import"}, .edits = {edit}, .digests = {}};
  Answer<ImportResult> imported;
  engine_->ApplyImport(std::move(import), imported.done());
  ASSERT_TRUE(imported.Get().ok());
  EXPECT_FALSE((*engine_->ReadTombstone("by-hand"))->retired);
  EXPECT_TRUE((*engine_->ReadTombstone("by-import"))->retired);
}

}  // namespace
}  // namespace credbroker::engine
