#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

class WatchTest : public CtlTest {
 protected:
  WatchTest() {
    for (const char* text : {R"(event: WATCH_EVENT_INITIAL time { seconds: 1767323045 } cursor: 'C1'
                                credential { id: 'a'
                                  status { state: CREDENTIAL_STATE_AVAILABLE } })",
                             "event: WATCH_EVENT_SYNCED time { seconds: 1767323045 } cursor: 'C2'",
                             "event: WATCH_EVENT_HEARTBEAT time { seconds: 1767323046 }",
                             R"(event: WATCH_EVENT_CHANGED time { seconds: 1767323047 } cursor: 'C3'
                                credential { id: 'a\n' status { state: CREDENTIAL_STATE_WAITING
                                  cause: CAUSE_RATE_LIMITED
                                  next_recover_time { seconds: 1767323074 } } }
                                transition { from: CREDENTIAL_STATE_AVAILABLE
                                  to: CREDENTIAL_STATE_WAITING
                                  why: TRANSITION_REASON_REPORTED_FAILURE model: 'm' })"}) {
      v1::WatchCredentialsResponse& event = admin_.events.emplace_back();
      EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &event));
    }
  }
};

TEST_F(WatchTest, PrintsOneLineAnEvent) {
  const Result result = Run({"watch", "--initial"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "03:04:05  initial  a  available\n"
            "03:04:05  synced\n"
            "03:04:07  changed  a\\n  available -> waiting, rate_limited, recovers in 29 s  "
            "(reported_failure) model m\n");
  EXPECT_TRUE(admin_.on_Watch.last().send_initial());
}

TEST_F(WatchTest, PrintsOneJsonObjectALine) {
  std::istringstream lines(Run({"watch", "-o", "json"}).out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(nlohmann::json::parse(line).contains("event"));
  }
  EXPECT_EQ(count, 4);
}

TEST_F(WatchTest, EndsAfterSoManyEvents) {
  EXPECT_EQ(Run({"watch", "--max-events", "1"}).out, "03:04:05  initial  a  available\n");
}

TEST_F(WatchTest, NamesTheCursorToGoOnWith) {
  admin_.on_Watch.Refuse(
      Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "too slow", "LIMIT_REACHED"));
  const Result result = Run({"watch"});
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(result.err,
            "go on with --cursor C3\n"
            "credbrokerctl: RESOURCE_EXHAUSTED LIMIT_REACHED: too slow\n");
}

}  // namespace
}  // namespace credbroker::ctl
