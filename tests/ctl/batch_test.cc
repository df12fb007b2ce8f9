#include <gtest/gtest.h>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

TEST_F(CtlTest, BatchSendsItsOperationsInOrder) {
  Run({"batch",     "a",
       "b",         "--set-priority",
       "-5",        "--set-weight",
       "3",         "--set-prefix",
       "",          "--set-proxy",
       "direct",    "--set-max-in-flight",
       "-1",        "--set-max-in-flight-per-model",
       "4",         "--set-group",
       "g",         "--set-label",
       "k=v",       "--unset-label",
       "old",       "--reset",
       "--disable", "--reason",
       "r",         "--until",
       "1m",        "--comment",
       "c",         "--request-id",
       "q"});
  EXPECT_EQ(
      admin_.on_BatchUpdate.last().ShortDebugString(),
      "ids { ids: \"a\" ids: \"b\" } operations { set_priority: -5 } operations { set_weight: 3 } "
      "operations { set_prefix: \"\" } operations { set_proxy_url: \"direct\" } operations { "
      "set_max_in_flight: -1 } operations { set_max_in_flight_per_model: 4 } operations { "
      "set_group: \"g\" } operations { set_labels { set { key: \"k\" value: \"v\" } remove: "
      "\"old\" } } operations { reset { } } operations { disable { reason: \"r\" until { seconds: "
      "1767323105 } } } request_id: \"q\" comment: \"c\"");
}

TEST_F(CtlTest, BatchReadsIdsFromStandardInput) {
  Run({"batch", "-", "--delete"}, "a\n\n  b  \r\nc");
  EXPECT_EQ(admin_.on_BatchUpdate.last().ShortDebugString(),
            "ids { ids: \"a\" ids: \"b\" ids: \"c\" } operations { delete { } }");
}

TEST_F(CtlTest, BatchReadsAProxyWithPasswordFromAFile) {
  const std::string path = folder_.Write("proxy", "http://u:pw@host:80\n");
  Run({"batch", "a", "--set-proxy", "@" + path});
  EXPECT_EQ(admin_.on_BatchUpdate.last().operations(0).set_proxy_url(), "http://u:pw@host:80");
}

TEST_F(CtlTest, DryRunShowsThePreviewAndTheToken) {
  admin_.on_BatchUpdate.Answer(R"(
      results { id: 'a' status: BATCH_ITEM_STATUS_OK
                changes { field: 'priority' old_value: '0' new_value: '5' } }
      results { id: 'b' status: BATCH_ITEM_STATUS_SKIPPED message: 'already as wanted' }
      matched_count: 2 ok_count: 1 skipped_count: 1 selection_token: 'TOK'
      warnings: 'reset cannot be undone')");
  const Result result =
      Run({"batch", "--filter", "provider = claude", "--set-priority", "5", "--dry-run"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "ID  RESULT   CHANGE            MESSAGE\n"
            "a   ok       priority: 0 -> 5  -\n"
            "b   skipped  -                 already as wanted\n"
            "\n"
            "would change 1 of 2 (skipped 1, not found 0, conflict 0)\n"
            "warning: reset cannot be undone\n"
            "nothing was changed; to apply to exactly these rows within 10 minutes, give\n"
            "the same flags with --selection TOK instead of ids or filter\n");
  EXPECT_FALSE(admin_.on_BatchUpdate.last().filter().has_expected_count());
}

TEST_F(CtlTest, RowsInConflictExitWithOne) {
  admin_.on_BatchUpdate.Answer(R"(
      batch_id: 'B1' results { id: 'a' status: BATCH_ITEM_STATUS_OK }
      results { id: 'b' status: BATCH_ITEM_STATUS_CONFLICT message: 'changed since' }
      matched_count: 2 ok_count: 1 conflict_count: 1 undoable: true)");
  const Result result = Run({"batch", "--selection", "TOK", "--enable"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out,
            "ID  RESULT    CHANGE  MESSAGE\n"
            "a   ok        -       -\n"
            "b   conflict  -       changed since\n"
            "\n"
            "changed 1 of 2 (skipped 0, not found 0, conflict 1)\n"
            "batch B1; undo within 24 h: credbrokerctl batch undo B1\n");
  EXPECT_EQ(result.err, "credbrokerctl: 1 row was not changed as asked (not_found, conflict)\n");
}

TEST_F(CtlTest, AWrongExpectedCountExitsWithFive) {
  admin_.on_BatchUpdate.Refuse(Refusal(grpc::StatusCode::FAILED_PRECONDITION,
                                       "the filter matches 3, not 4; nothing changed",
                                       "EXPECTED_COUNT_MISMATCH", {{"count", "3"}}));
  const Result result =
      Run({"batch", "--filter", "provider = a", "--expected-count", "4", "--enable"});
  EXPECT_EQ(result.code, 5);
  EXPECT_EQ(admin_.on_BatchUpdate.last().filter().expected_count(), 4);
}

TEST_F(CtlTest, UndoPutsABatchBack) {
  admin_.on_UndoBatch.Answer("batch_id: 'B2' ok_count: 2 skipped_count: 1");
  const Result result = Run({"batch", "undo", "B1"});
  EXPECT_EQ(result.out, "put back 2 (skipped 1, conflict 0)\nbatch B2\n");
  EXPECT_EQ(admin_.on_UndoBatch.last().batch_id(), "B1");
  EXPECT_TRUE(admin_.on_BatchUpdate.requests().empty());
}

}  // namespace
}  // namespace credbroker::ctl
