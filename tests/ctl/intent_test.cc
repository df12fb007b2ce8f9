#include <gtest/gtest.h>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

TEST_F(CtlTest, DisableSendsUntilAndSaysWhatHolds) {
  admin_.on_Disable.Answer(R"(
      credential { id: 'a' intent { disabled: true until { seconds: 1767330245 } } }
      live_leases: 2)");
  const Result result = Run({"disable", "a", "--until", "2h", "--reason", "upkeep"});
  EXPECT_EQ(result.out, "a: disabled until 2026-01-02T05:04:05Z (in 2 h), 2 live leases\n");
  EXPECT_EQ(admin_.on_Disable.last().ShortDebugString(),
            "id: \"a\" reason: \"upkeep\" until { seconds: 1767330245 }");
}

TEST_F(CtlTest, DisableWaitsForSessionsWhenAsked) {
  admin_.on_Disable.Answer("credential { id: 'a' }");
  EXPECT_EQ(Run({"disable", "a", "--wait"}).code, 0);
  EXPECT_TRUE(admin_.on_Disable.last().wait());
}

TEST_F(CtlTest, DisableOfSeveralGoesOnAfterAFailureAndExitsWithOne) {
  admin_.on_Disable.Refuse(grpc::Status(grpc::StatusCode::NOT_FOUND, "no such credential"));
  admin_.on_Disable.Answer("credential { id: 'b' }");
  const Result result = Run({"disable", "a", "b"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "b: disabled\n");
  EXPECT_EQ(result.err, "credbrokerctl: a: NOT_FOUND: no such credential\n");
}

TEST_F(CtlTest, EnableNamesTheCauseThatRemains) {
  admin_.on_Enable.Answer(R"(
      credential { id: 'a' status { state: CREDENTIAL_STATE_WAITING cause: CAUSE_RATE_LIMITED
                                    next_recover_time { seconds: 1767323074 } } }
      remaining_cause: CAUSE_RATE_LIMITED)");
  admin_.on_Enable.Answer("credential { status { state: CREDENTIAL_STATE_AVAILABLE } }");
  EXPECT_EQ(Run({"enable", "a", "b"}).out,
            "a: enabled, still waiting: rate_limited, recovers in 29 s\n"
            "b: enabled, available\n");
}

TEST_F(CtlTest, AnEtagThatIsNotCurrentExitsWithSix) {
  admin_.on_Enable.Refuse(
      Refusal(grpc::StatusCode::ABORTED, "the etag is not the current one", "ETAG_MISMATCH"));
  EXPECT_EQ(Run({"enable", "a", "--etag", "old"}).code, 6);
}

TEST_F(CtlTest, ResetSaysHowManyRecordsItCleared) {
  admin_.on_ResetAvailability.Answer(R"(
      credential { status { state: CREDENTIAL_STATE_AVAILABLE } } cleared_records: 1)");
  EXPECT_EQ(Run({"reset", "a"}).out, "a: 1 record cleared, available\n");
}

}  // namespace
}  // namespace credbroker::ctl
