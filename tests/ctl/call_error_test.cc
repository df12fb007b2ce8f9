#include "client/ctl/call_error.h"

#include <gtest/gtest.h>

#include "client/ctl/exit_code.h"
#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

TEST(CallError, SaysCodeReasonRetryTimeAndCauses) {
  const auto status =
      FromGrpc(Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "every candidate waits", "COOLING",
                       {{"cause.rate_limited", "12"}, {"cause.busy", "3"}, {"group", "default"}},
                       absl::Milliseconds(28400)),
               "unix:/s");
  EXPECT_EQ(ErrorText(status),
            "RESOURCE_EXHAUSTED COOLING: every candidate waits; retry in 29 s\n"
            "  causes: busy 3, rate_limited 12\n"
            "  group: default");
}

TEST(CallError, ListsWrongFields) {
  const auto status = FromGrpc(
      Refusal(grpc::StatusCode::INVALID_ARGUMENT, "2 fields are wrong", "INVALID_FIELD", {},
              absl::ZeroDuration(), {{"group", "is too long"}, {"ttl", "must be 1 s to 1 h"}}),
      "unix:/s");
  EXPECT_EQ(ErrorText(status),
            "INVALID_ARGUMENT INVALID_FIELD: 2 fields are wrong\n"
            "  group: is too long\n"
            "  ttl: must be 1 s to 1 h");
}

TEST(CallError, NamesTheServerThatIsNotThere) {
  EXPECT_EQ(ErrorText(FromGrpc({grpc::StatusCode::UNAVAILABLE, "no route"}, "unix:/s")),
            "UNAVAILABLE: cannot reach the broker at unix:/s (no route)");
}

TEST(CallError, EscapesWhatTheServerSays) {
  const auto status =
      FromGrpc(Refusal(grpc::StatusCode::NOT_FOUND, "no \x1b[2J", "NO_SUCH_\x07", {{"a", "b\nc"}}),
               "unix:/s");
  EXPECT_EQ(ErrorText(status), "NOT_FOUND NO_SUCH_\\x07: no \\x1b[2J\n  a: b\\nc");
}

TEST(CallError, SurvivesDetailsThatDoNotParse) {
  const auto status =
      FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "no", "\xff\xff garbage"), "unix:/s");
  EXPECT_EQ(ErrorText(status), "ABORTED: no");
}

TEST(CallError, HasTheDocumentedExitCode) {
  const std::pair<grpc::StatusCode, int> rows[] = {{grpc::StatusCode::OK, 0},
                                                   {grpc::StatusCode::INVALID_ARGUMENT, 2},
                                                   {grpc::StatusCode::NOT_FOUND, 3},
                                                   {grpc::StatusCode::RESOURCE_EXHAUSTED, 4},
                                                   {grpc::StatusCode::FAILED_PRECONDITION, 5},
                                                   {grpc::StatusCode::OUT_OF_RANGE, 5},
                                                   {grpc::StatusCode::ABORTED, 6},
                                                   {grpc::StatusCode::ALREADY_EXISTS, 6},
                                                   {grpc::StatusCode::UNAVAILABLE, 7},
                                                   {grpc::StatusCode::DEADLINE_EXCEEDED, 7},
                                                   {grpc::StatusCode::PERMISSION_DENIED, 8},
                                                   {grpc::StatusCode::UNAUTHENTICATED, 8},
                                                   {grpc::StatusCode::INTERNAL, 9},
                                                   {grpc::StatusCode::UNIMPLEMENTED, 9}};
  for (const auto& [grpc_code, exit_code] : rows) {
    EXPECT_EQ(static_cast<int>(ExitCodeOf(FromGrpc({grpc_code, "x"}, "s"))), exit_code)
        << grpc_code;
  }
}

}  // namespace
}  // namespace credbroker::ctl
