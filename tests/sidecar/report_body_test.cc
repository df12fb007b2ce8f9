#include "client/sidecar/report_body.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace credbroker::sidecar {
namespace {

TEST(ReportBody, ReadsOneReport) {
  const auto items = ParseReportBody(
      R"({"lease":"s_1","status":429,"headers":{"Retry-After":"30","Set-Cookie":"x"},
          "error_code":"rate_limit_error","body":"{}"})");
  ASSERT_TRUE(items.ok()) << items.status();
  ASSERT_EQ(items->size(), 1u);
  const api::ReportItem& item = items->front();
  EXPECT_EQ(item.lease_id(), "s_1");
  EXPECT_EQ(item.http_status(), 429);
  EXPECT_EQ(item.error_code(), "rate_limit_error");
  ASSERT_EQ(item.headers_size(), 1);
  EXPECT_EQ(item.headers(0).name(), "retry-after");
  EXPECT_FALSE(item.early());
}

TEST(ReportBody, ReadsSeveralReports) {
  const auto items = ParseReportBody(
      R"({"items":[{"lease":"a","status":"200","early":true},{"lease":"b","outcome":"cancelled"},
          {"lease":"c","network_error":"timeout"},{"lease":"d","status":499}]})");
  ASSERT_TRUE(items.ok()) << items.status();
  ASSERT_EQ(items->size(), 4u);
  EXPECT_TRUE((*items)[0].early());
  EXPECT_EQ((*items)[1].outcome(), api::OUTCOME_CANCELLED);
  EXPECT_EQ((*items)[2].outcome(), api::OUTCOME_NETWORK_ERROR);
  EXPECT_EQ((*items)[2].network_error(), api::NETWORK_ERROR_KIND_TIMEOUT);
  EXPECT_EQ((*items)[3].outcome(), api::OUTCOME_CANCELLED);
}

struct BadBody {
  const char* body;
  const char* says;
};

class BadReportBody : public testing::TestWithParam<BadBody> {};

TEST_P(BadReportBody, IsRefusedByFieldAndNeverRepeated) {
  const auto items = ParseReportBody(GetParam().body);
  ASSERT_FALSE(items.ok()) << GetParam().body;
  EXPECT_NE(items.status().message().find(GetParam().says), absl::string_view::npos)
      << items.status();
  EXPECT_EQ(items.status().message().find("evil"), absl::string_view::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, BadReportBody,
    testing::Values(
        BadBody{"", "no JSON"}, BadBody{"{", "no JSON"}, BadBody{"[]", "must be an object"},
        BadBody{"{}", "lease"}, BadBody{R"({"lease":5,"status":200})", "lease"},
        BadBody{R"({"lease":"a"})", "outcome"}, BadBody{R"({"lease":"a","status":42})", "status"},
        BadBody{R"({"lease":"a","status":600})", "status"},
        BadBody{R"({"lease":"a","status":-1})", "status"},
        BadBody{R"({"lease":"a","status":1e3})", "status"},
        BadBody{R"({"lease":"a","outcome":"evil"})", "outcome: is none of"},
        BadBody{R"({"lease":"a","network_error":"evil"})", "network_error: is none of"},
        BadBody{R"({"lease":"a","status":200,"headers":[]})", "headers"},
        BadBody{R"({"lease":"a","status":200,"early":1})", "early"},
        BadBody{R"({"lease":"a","status":200,"evil":1})", "unknown field"},
        BadBody{R"({"items":[]})", "items"}, BadBody{R"({"items":[{}],"x":1})", "items"},
        BadBody{R"({"items":[{"lease":"a","status":200},{"lease":"b"}]})", "items[1].outcome"},
        BadBody{"{\"lease\":\"a\",\"status\":200,\"error_code\":\"\\u0000\"}", "error_code"}));

TEST(ReportBody, RefusesMoreThan256Reports) {
  std::string body = "{\"items\":[";
  for (int i = 0; i < 257; ++i) {
    absl::StrAppend(&body, i == 0 ? "" : ",", R"({"lease":"a","status":200})");
  }
  EXPECT_FALSE(ParseReportBody(body + "]}").ok());
}

TEST(ReportBody, AnswersInTheSameWords) {
  api::ReportResponse response;
  api::ReportResult& result = *response.add_results();
  result.set_disposition(api::REPORT_DISPOSITION_ACCEPTED);
  result.set_advice(api::ADVICE_RETRY_OTHER);
  result.set_cause(api::CAUSE_RATE_LIMITED);
  result.set_credential_id("team/a");
  EXPECT_EQ(ReportAnswerBody(response),
            R"({"results":[{"advice":"retry-other","cause":"rate-limited","credential":"team/a",)"
            R"("disposition":"accepted"}]})"
            "\n");
}

}  // namespace
}  // namespace credbroker::sidecar
