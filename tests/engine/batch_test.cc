// BatchUpdate, selections and undo.
#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/engine/engine_fixture.h"

namespace credbroker::engine {
namespace {

using Kind = BatchOperation::Kind;

class BatchTest : public EngineTest {
 protected:
  BatchTest() {
    for (const char* id : {"a", "b", "c"}) EXPECT_TRUE(Create(id).ok());
  }
  static std::map<std::string, ItemStatus> Statuses(const BatchResult& result) {
    std::map<std::string, ItemStatus> statuses;
    for (const BatchItem& item : result.items) statuses[item.id] = item.status;
    return statuses;
  }
  int64_t PriorityOf(const std::string& id) { return engine_->Get(id)->document->priority; }
  absl::StatusOr<BatchResult> SetPriority(std::vector<std::string> ids, int64_t priority) {
    return Batch({.caller = {},
                  .selection = IdSelection{.ids = std::move(ids)},
                  .operations = {Priority(priority)},
                  .comment = ""});
  }
};

TEST_F(BatchTest, EachRowIsAnswered) {
  ASSERT_TRUE(SetPriority({"b"}, 5).ok());
  const auto result = SetPriority({"a", "b", "x", "a"}, 5);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Statuses(*result), (std::map<std::string, ItemStatus>{{"a", ItemStatus::kOk},
                                                                  {"b", ItemStatus::kSkipped},
                                                                  {"x", ItemStatus::kNotFound}}));
  EXPECT_EQ(result->matched, 3);
  EXPECT_EQ(result->ok, 1);
  EXPECT_TRUE(result->undoable);
  EXPECT_EQ(PriorityOf("a"), 5);
}

TEST_F(BatchTest, AnotherCountThanExpectedChangesNothing) {
  BatchRequest request{
      .caller = {},
      .selection = FilterSelection{.filter = [](const core::Document& d) { return d.id != "c"; },
                                   .expected_count = 3},
      .operations = {Priority(9)},
      .comment = ""};
  EXPECT_TRUE(absl::IsFailedPrecondition(Batch(request).status()));
  EXPECT_EQ(PriorityOf("a"), 0);
  std::get<FilterSelection>(request.selection).expected_count = 2;
  EXPECT_EQ(Batch(request)->ok, 2);
  EXPECT_EQ(PriorityOf("c"), 0);
  std::get<FilterSelection>(request.selection).expected_count = std::nullopt;
  EXPECT_TRUE(absl::IsInvalidArgument(Batch(request).status()));
}

TEST_F(BatchTest, ADryRunFreezesNamesAndEtagsForTenMinutes) {
  BatchRequest dry{
      .caller = {},
      .selection =
          FilterSelection{.filter = [](const core::Document& d) { return d.priority == 0; },
                          .expected_count = {}},
      .operations = {Priority(7)},
      .dry_run = true,
      .comment = ""};
  const auto preview = Batch(dry);
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_EQ(preview->ok, 3);
  ASSERT_EQ(preview->items[0].changes.size(), 1u);
  EXPECT_EQ(preview->items[0].changes[0].field, "priority");
  EXPECT_EQ(preview->items[0].changes[0].new_value, "7");
  EXPECT_EQ(PriorityOf("a"), 0);
  ASSERT_TRUE(SetPriority({"b"}, 1).ok());  // another etag
  ASSERT_TRUE(Create("d").ok());            // matches, but was not there
  BatchRequest apply{.caller = {},
                     .selection = TokenSelection{.token = preview->selection_token},
                     .operations = {Priority(7)},
                     .comment = ""};
  const auto result = Batch(apply);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Statuses(*result),
            (std::map<std::string, ItemStatus>{
                {"a", ItemStatus::kOk}, {"b", ItemStatus::kConflict}, {"c", ItemStatus::kOk}}));
  EXPECT_EQ(PriorityOf("b"), 1);
  EXPECT_EQ(PriorityOf("d"), 0);
  BatchRequest theirs = apply;
  theirs.caller.actor = "somebody else";
  EXPECT_TRUE(absl::IsFailedPrecondition(Batch(theirs).status()));
  clock_.Advance(absl::Minutes(10));
  EXPECT_TRUE(absl::IsFailedPrecondition(Batch(apply).status()));
}

TEST_F(BatchTest, AFailedCommitOfABatchChangesNoRow) {
  engine_->Drain();
  store_->FailNextCommits(1, absl::UnavailableError("i/o"));
  EXPECT_TRUE(absl::IsUnavailable(SetPriority({"a", "b"}, 3).status()));
  EXPECT_EQ(PriorityOf("a"), 0);
  EXPECT_EQ(PriorityOf("b"), 0);
}

// What happened to a row between the batch and its undo, and what undo makes of it.
struct UndoCase {
  const char* what;
  void (*meanwhile)(core::Document&);
  ItemStatus status;
  int64_t priority;
  const char* prefix;
};

TEST_F(BatchTest, UndoPutsBackOnlyWhatIsStillTheBatchs) {
  const UndoCase cases[] = {
      {"nothing", nullptr, ItemStatus::kOk, 0, ""},
      {"another field", [](core::Document& d) { d.note = "n"; }, ItemStatus::kOk, 0, ""},
      {"one of its fields", [](core::Document& d) { d.priority = 6; }, ItemStatus::kConflict, 6,
       ""},
      {"both of its fields",
       [](core::Document& d) {
         d.priority = 6;
         d.prefix = "q";
       },
       ItemStatus::kConflict, 6, "q"},
      {"there and back", [](core::Document& d) { d.priority = 5; }, ItemStatus::kOk, 0, ""},
  };
  int number = 0;
  for (const UndoCase& one : cases) {
    const std::string id = absl::StrCat("case", number++);
    ASSERT_TRUE(Create(id).ok());
    const auto batch = Batch({.caller = {},
                              .selection = IdSelection{.ids = {id}},
                              .operations = {Priority(5), Operation(Kind::kPrefix, "p")},
                              .comment = ""});
    ASSERT_TRUE(batch.ok()) << batch.status();
    if (one.meanwhile != nullptr) {
      Answer<core::CredentialView> updated;
      engine_->Update({.caller = {.actor = "ops"},
                       .id = id,
                       .etag = "",
                       .patch =
                           [&](core::Document& document) {
                             one.meanwhile(document);
                             return absl::OkStatus();
                           },
                       .secret = nullptr},
                      updated.done());
      ASSERT_TRUE(updated.Get().ok());
    }
    const auto undone = Undo(batch->batch_id);
    ASSERT_TRUE(undone.ok()) << undone.status();
    EXPECT_EQ(undone->items.at(0).status, one.status) << one.what;
    EXPECT_EQ(PriorityOf(id), one.priority) << one.what;
    EXPECT_EQ(engine_->Get(id)->document->prefix, one.prefix) << one.what;
  }
}

TEST_F(BatchTest, AnUndoCanBeUndone) {
  const auto batch = SetPriority({"a"}, 5);
  const auto undone = Undo(batch->batch_id);
  EXPECT_EQ(PriorityOf("a"), 0);
  ASSERT_TRUE(Undo(undone->batch_id).ok());
  EXPECT_EQ(PriorityOf("a"), 5);
}

TEST_F(BatchTest, UndoOfADisableBringsTheIntentBackUnlessAnOperatorSpoke) {
  const auto disabled = Batch({.caller = {},
                               .selection = IdSelection{.ids = {"a", "b"}},
                               .operations = {Operation(Kind::kDisable, "cost")},
                               .comment = ""});
  ASSERT_EQ(disabled->ok, 2);
  ASSERT_TRUE(SetIntent("b", false).ok());  // the same, with another reason
  const auto undone = Undo(disabled->batch_id);
  EXPECT_EQ(Statuses(*undone), (std::map<std::string, ItemStatus>{{"a", ItemStatus::kOk},
                                                                  {"b", ItemStatus::kConflict}}));
  EXPECT_TRUE(engine_->Get("a")->intent.enabled);
  EXPECT_FALSE(engine_->Get("b")->intent.enabled);
}

TEST_F(BatchTest, ADeleteIsUndoneWithItsSecretUidAndHealthAlsoAfterARestart) {
  const core::Uid uid = engine_->Get("a")->uid;
  ASSERT_TRUE(SetIntent("b", false).ok());
  ASSERT_TRUE(SetIntent("c", false).ok());
  Report(Acquire().lease_id, 429);
  ASSERT_EQ(engine_->Get("a")->state, core::State::kWaiting);
  const auto deleted = Batch({.caller = {},
                              .selection = IdSelection{.ids = {"a", "b"}},
                              .operations = {Operation(Kind::kDelete)},
                              .comment = ""});
  ASSERT_EQ(deleted->ok, 2);
  EXPECT_FALSE(engine_->Get("a").has_value());
  Restart();
  EXPECT_FALSE(engine_->Get("a").has_value());
  const auto undone = Undo(deleted->batch_id);
  ASSERT_TRUE(undone.ok()) << undone.status();
  EXPECT_EQ(undone->ok, 2);
  EXPECT_EQ(engine_->Get("a")->uid, uid);
  EXPECT_EQ(engine_->Get("a")->state, core::State::kWaiting);
  EXPECT_EQ((*engine_->ReadSecret("a"))->api_key.reveal(), "sk-1");
  EXPECT_FALSE(engine_->Get("b")->intent.enabled);
  EXPECT_EQ(Undo(deleted->batch_id)->conflict, 2) << "both exist again";
}

TEST_F(BatchTest, UndoIsOverAfterADay) {
  Answer<DeleteResult> answer;
  engine_->Delete({.caller = {.actor = "ops"}, .id = "a", .etag = ""}, answer.done());
  const std::string batch_id = answer.Get()->batch_id;
  clock_.Advance(absl::Hours(24));
  EXPECT_TRUE(absl::IsNotFound(Undo(batch_id).status()));
  EXPECT_TRUE(absl::IsNotFound(Undo("no such batch").status()));
}

TEST_F(BatchTest, ADryUndoChangesNothing) {
  const auto batch = SetPriority({"a"}, 5);
  const auto preview = Undo(batch->batch_id, /*dry_run=*/true);
  ASSERT_TRUE(preview.ok());
  EXPECT_EQ(preview->ok, 1);
  EXPECT_EQ(preview->items[0].changes[0].new_value, "0");
  EXPECT_EQ(PriorityOf("a"), 5);
}

TEST_F(BatchTest, AResetSaysThatItCannotBeUndone) {
  const auto result = Batch({.caller = {},
                             .selection = IdSelection{.ids = {"a"}},
                             .operations = {Operation(Kind::kReset)},
                             .comment = ""});
  EXPECT_EQ(result->ok, 1);
  EXPECT_FALSE(result->undoable);
  EXPECT_EQ(Undo(result->batch_id)->skipped, 1);
}

TEST_F(BatchTest, LabelsGroupAndCapsComeBack) {
  BatchOperation labels = Operation(Kind::kLabels);
  labels.set_labels = {{"tier", "gold"}};
  BatchOperation cap = Operation(Kind::kMaxInFlight);
  cap.cap = 3;
  const auto batch = Batch({.caller = {},
                            .selection = IdSelection{.ids = {"a"}},
                            .operations = {labels, cap, Operation(Kind::kGroup, "east")},
                            .comment = ""});
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(engine_->Get("a")->document->group, "east");
  EXPECT_EQ(engine_->Get("a")->document->labels.size(), 1u);
  EXPECT_EQ(engine_->Get("a")->document->max_in_flight, 3);
  ASSERT_EQ(Undo(batch->batch_id)->ok, 1);
  EXPECT_EQ(engine_->Get("a")->document->group, "default");
  EXPECT_TRUE(engine_->Get("a")->document->labels.empty());
  EXPECT_FALSE(engine_->Get("a")->document->max_in_flight.has_value());
  Restart();
  EXPECT_EQ(engine_->Stats().load.quarantined, 0u) << "the secret followed its document";
}

TEST_F(BatchTest, ARepeatedBatchAnswersTheSame) {
  const BatchRequest request{.caller = {.actor = "ops", .request_id = "r"},
                             .selection = IdSelection{.ids = {"a", "x"}},
                             .operations = {Priority(4)},
                             .comment = ""};
  const auto first = Batch(request);
  ASSERT_TRUE(SetPriority({"a"}, 1).ok());
  Restart();
  const auto again = Batch(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->batch_id, first->batch_id);
  EXPECT_EQ(Statuses(*again), Statuses(*first));
  EXPECT_EQ(PriorityOf("a"), 1);
}

TEST_F(BatchTest, ALargeBatchSpansPartsAndIsUndoneWhole) {
  ImportRequest import{.caller = {.actor = "ops"}, .edits = {}, .digests = {}};
  for (int i = 0; i < 2500; ++i) {
    core::Edit edit;
    edit.op = core::Edit::Op::kCreate;
    edit.id = absl::StrCat("many/", i);
    edit.document = MakeDocument(edit.id);
    edit.secret = MakeSecret("k");
    import.edits.push_back(std::move(edit));
  }
  import.digests.push_back({.id = "many/0", .value = "digest"});
  Answer<ImportResult> imported;
  engine_->ApplyImport(std::move(import), imported.done());
  const auto rows = imported.Get();
  ASSERT_TRUE(rows.ok()) << rows.status();
  for (const absl::Status& row : rows->rows) ASSERT_TRUE(row.ok()) << row;
  const auto digests = engine_->ReadDigests("many");
  ASSERT_EQ(digests->size(), 1u);
  EXPECT_EQ((*digests)[0].value, "digest");
  const auto all = [](const core::Document&) { return true; };
  const auto batch = Batch({.caller = {},
                            .selection = FilterSelection{.filter = all, .expected_count = 2503},
                            .operations = {Priority(2)},
                            .comment = ""});
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->ok, 2503);
  Restart();
  EXPECT_EQ(PriorityOf("many/2499"), 2);
  EXPECT_EQ(Undo(batch->batch_id)->ok, 2503);
  EXPECT_EQ(PriorityOf("many/2499"), 0);
}

}  // namespace
}  // namespace credbroker::engine
