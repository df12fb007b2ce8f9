#include "server/obs/grpc_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace credbroker::obs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<GrpcMethod> Methods() {
  return {{"credbroker.v1.BrokerService", "Acquire", GrpcType::kUnary},
          {"credbroker.v1.BrokerService", "Session", GrpcType::kBidiStream}};
}

std::string Text(const GrpcServerMetrics& metrics) {
  Exposition out;
  metrics.Collect(out);
  return out.Text();
}

TEST(GrpcServerMetrics, HasEverySeriesAtZeroBeforeTheFirstCall) {
  const std::string text = Text(GrpcServerMetrics(Methods()));
  for (const char* code :
       {"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
        "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
        "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}) {
    EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_type=\"unary\",grpc_service="
                                "\"credbroker.v1.BrokerService\",grpc_method=\"Acquire\","
                                "grpc_code=\"" +
                                std::string(code) + "\"} 0\n"));
  }
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{grpc_type=\"bidi_stream\",grpc_service="
                              "\"credbroker.v1.BrokerService\",grpc_method=\"Session\"} 0\n"));
}

TEST(GrpcServerMetrics, CountsACallUnderItsCode) {
  GrpcServerMetrics metrics(Methods());
  GrpcMethodMetrics* acquire = metrics.Method("/credbroker.v1.BrokerService/Acquire");
  acquire->started.Increment();
  acquire->received.Increment();
  acquire->Handled(8, absl::Milliseconds(3));
  const std::string text = Text(metrics);
  const std::string labels =
      "{grpc_type=\"unary\",grpc_service=\"credbroker.v1.BrokerService\",grpc_method=\"Acquire\"";
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total" + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_msg_received_total" + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_msg_sent_total" + labels + "} 0\n"));
  EXPECT_THAT(text, HasSubstr(labels + ",grpc_code=\"ResourceExhausted\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_count" + labels + "} 1\n"));
}

TEST(GrpcServerMetrics, GivesAnInventedMethodNoSeriesOfItsOwn) {
  GrpcServerMetrics metrics(Methods());
  metrics.Method("/evil.Service/Method1")->Handled(12, absl::ZeroDuration());
  metrics.Method("/evil.Service/Method2")->Handled(12, absl::ZeroDuration());
  const std::string text = Text(metrics);
  EXPECT_THAT(text, Not(HasSubstr("evil")));
  EXPECT_THAT(text, HasSubstr("grpc_service=\"unknown\",grpc_method=\"unknown\","
                              "grpc_code=\"Unimplemented\"} 2\n"));
}

TEST(GrpcCodeName, TakesANumberOutOfRangeForUnknown) {
  EXPECT_EQ(GrpcCodeName(5), "NotFound");
  EXPECT_EQ(GrpcCodeName(-1), "Unknown");
  EXPECT_EQ(GrpcCodeName(17), "Unknown");
}

}  // namespace
}  // namespace credbroker::obs
