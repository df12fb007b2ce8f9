// What a new process finds: equality with the one before, quarantine, sealed starts.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "server/engine/ledger.h"
#include "tests/engine/engine_fixture.h"

namespace credbroker::engine {
namespace {

using store::RowKind;

class RestartTest : public EngineTest {
 protected:
  // Times are stored in nanoseconds; the core counts in quarters of one.
  static int64_t Nanos(absl::Time time) { return absl::ToUnixNanos(time); }

  // All that is durable of all credentials, as text.
  std::string Durable() {
    std::string text;
    engine_->Scan("", 256, [&](const core::CredentialRow& row) {
      absl::StrAppend(&text, row.document->id.view(), " ", row.uid.number(), " ",
                      row.document->revision, " ", row.document->priority, " ",
                      row.document->group.view(), " ", row.material_version, " ",
                      core::Name(row.auth), " ", core::Name(row.state), " ", core::Name(row.cause),
                      " ", Nanos(row.next_recover), "\n");
      return true;
    });
    for (const std::string id : {"a", "b", "c", "d"}) {
      const auto view = engine_->Get(id);
      if (!view) continue;
      absl::StrAppend(&text, id, " ", view->intent.enabled, view->intent.actor, view->intent.reason,
                      Nanos(view->intent.since), "\n");
      for (const core::ScopedRecord& scoped : view->records) {
        absl::StrAppend(&text, "  ", scoped.model, " ", core::Name(scoped.record.cause), " ",
                        scoped.record.level, " ", Nanos(scoped.record.avoid_until), " ",
                        Nanos(scoped.record.began), "\n");
      }
    }
    return text;
  }
};

TEST_F(RestartTest, TheStoreRebuildsEveryDurableField) {
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(Create(id).ok());
  ASSERT_TRUE(SetIntent("a", false).ok());
  for (const int status : {429, 402, 404}) Report(Acquire().lease_id, status);
  Answer<DeleteResult> deleted;
  engine_->Delete({.caller = {.actor = "ops"}, .id = "d", .etag = ""}, deleted.done());
  ASSERT_TRUE(deleted.Get().ok());
  ASSERT_TRUE(Create("d", "sk-2").ok());
  engine_->Drain();
  const std::string before = Durable();
  EXPECT_TRUE(absl::StrContains(before, "rate_limit")) << before;
  Restart();
  ASSERT_TRUE(started_.ok()) << started_;
  EXPECT_EQ(Durable(), before);
  EXPECT_EQ(engine_->Stats().load.quarantined, 0u);
}

TEST_F(RestartTest, SpentRefreshTokensAreStillKnown) {
  ASSERT_TRUE(Create("a").ok());
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(clock_.Now()));
  const store::SpentToken one{.hash = 0xfedcba9876543210, .when = now, .credential_id = "a"};
  const store::SpentToken two{.hash = 7, .when = now, .credential_id = "b"};
  Answer<core::CredentialView> updated;
  engine_->Update({.caller = {.actor = "ops"},
                   .id = "a",
                   .etag = "",
                   .patch = nullptr,
                   .secret = MakeSecret("sk-2"),
                   .spent = {one}},
                  updated.done());
  ASSERT_TRUE(updated.Get().ok());
  Answer<bool> spent;
  engine_->SpendTokens({two}, spent.done());
  ASSERT_TRUE(spent.Get().ok());
  Restart();
  EXPECT_THAT(*engine_->ReadSpentTokens(), testing::UnorderedElementsAre(one, two));
  // Kept 90 days, then erased from the store as well.
  clock_.Advance(kSpentRetention + absl::Hours(1));
  ASSERT_TRUE(Create("b").ok());
  engine_->Drain();
  ASSERT_TRUE(Create("c").ok());
  engine_->Drain();
  EXPECT_THAT(*engine_->ReadSpentTokens(), testing::IsEmpty());
}

TEST_F(RestartTest, AUidIsNeverGivenTwice) {
  const core::Uid first = Create("a")->uid;
  Answer<DeleteResult> deleted;
  engine_->Delete({.caller = {.actor = "ops"}, .id = "a", .etag = ""}, deleted.done());
  ASSERT_TRUE(deleted.Get().ok());
  Restart();
  EXPECT_GT(Create("a")->uid, first);
}

TEST_F(RestartTest, ALeaseOfBeforeIsStillOurs) {
  ASSERT_TRUE(Create("a").ok());
  const std::string lease_id = Acquire().lease_id;
  Restart();
  EXPECT_TRUE(engine_->InspectLease(lease_id).has_value());
  EXPECT_EQ(Report(lease_id, 429).disposition, core::Disposition::kLate);
}

TEST_F(RestartTest, ABadSecretLeavesOneCredentialOutAndARepairBringsItBack) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  ASSERT_TRUE(store_->CorruptRow(RowKind::kSecret, "a", std::string(200, 'x')));
  Restart();
  ASSERT_TRUE(started_.ok()) << started_;
  const EngineStats stats = engine_->Stats();
  EXPECT_EQ(stats.load.quarantined, 1u);
  ASSERT_EQ(stats.load.quarantine.size(), 1u);
  EXPECT_TRUE(absl::StrContains(stats.load.quarantine[0], "secret row 'a'"));
  for (int i = 0; i < 4; ++i) {
    const AcquireAnswer answer = Acquire();
    ASSERT_EQ(answer.reply.kind, core::AcquireReply::Kind::kGranted);
    EXPECT_EQ(answer.reply.grant.document->id, "b");
  }
  Answer<core::CredentialView> updated;
  engine_->Update({.caller = {.actor = "ops"},
                   .id = "a",
                   .etag = "",
                   .patch = {},
                   .secret = MakeSecret("sk-new")},
                  updated.done());
  ASSERT_TRUE(updated.Get().ok());
  Restart();
  EXPECT_EQ(engine_->Stats().load.quarantined, 0u);
  EXPECT_EQ((*engine_->ReadSecret("a"))->api_key.reveal(), "sk-new");
}

TEST_F(RestartTest, ABadDocumentStaysInTheStoreAndItsNameIsTaken) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  ASSERT_TRUE(store_->CorruptRow(RowKind::kDocument, "a", "damaged"));
  Restart();
  ASSERT_TRUE(started_.ok()) << started_;
  EXPECT_FALSE(engine_->Get("a").has_value());
  EXPECT_TRUE(engine_->Get("b").has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition(Create("a").status()));
  const auto rows = store_->ReadPrefix({.kind = RowKind::kDocument, .prefix = "a", .after = ""});
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ((*rows)[0].value, "damaged");
}

TEST_F(RestartTest, AnIntentThatCannotBeReadKeepsItsCredentialDisabled) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(SetIntent("a", false).ok());
  ASSERT_TRUE(store_->CorruptRow(RowKind::kIntent, "a", "damaged"));
  Restart();
  EXPECT_EQ(engine_->Get("a")->state, core::State::kDisabled);
}

TEST_F(RestartTest, AnotherKeyringStartsSealedAndTheRightOneOpens) {
  ASSERT_TRUE(Create("a").ok());
  Restart(TestKeyring('x'));
  EXPECT_TRUE(absl::IsFailedPrecondition(started_)) << started_;
  EXPECT_TRUE(absl::StrContains(engine_->ready().message(), "sealed"));
  EXPECT_NE(Acquire().reply.kind, core::AcquireReply::Kind::kGranted);
  EXPECT_TRUE(absl::IsUnavailable(Create("b").status()));
  EXPECT_FALSE(engine_->Get("a").has_value());
  ASSERT_TRUE(engine_->Start(TestKeyring()).ok());
  EXPECT_TRUE(engine_->ready().ok());
  EXPECT_EQ(Acquire().reply.kind, core::AcquireReply::Kind::kGranted);
}

TEST_F(RestartTest, HistoryGoesOnAndTheStoreKeepsMore) {
  ASSERT_TRUE(Create("a").ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(SetIntent("a", i % 2 != 0).ok());
    engine_->Drain();
  }
  Restart();
  ASSERT_TRUE(SetIntent("a", false).ok());
  engine_->Drain();
  const auto lines = engine_->ReadHistory("a");
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_GE(lines->size(), 21u);
  for (size_t i = 1; i < lines->size(); ++i) {
    EXPECT_EQ((*lines)[i].line.number + 1, (*lines)[i - 1].line.number);
  }
}

TEST_F(RestartTest, TheStoreKeeps32LinesMoreThanMemory) {
  ASSERT_TRUE(Create("a").ok());
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(SetIntent("a", i % 2 != 0).ok());
    engine_->Drain();
  }
  const auto lines = engine_->ReadHistory("a");
  ASSERT_TRUE(lines.ok()) << lines.status();
  const std::vector<core::TransitionView> newest = engine_->Get("a")->history;
  EXPECT_EQ(lines->size(), newest.size() + 32);
  EXPECT_EQ(lines->front().line.number, newest.front().line.number);
  EXPECT_EQ(store_->ReadPrefix({.kind = RowKind::kHistory, .prefix = "", .after = ""})->size(),
            lines->size());
}

}  // namespace
}  // namespace credbroker::engine
