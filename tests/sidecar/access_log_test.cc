#include "client/sidecar/access_log.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace credbroker::sidecar {
namespace {

constexpr char kFrame[] = "<190>Nov 23 13:34:00 nginx: ";
constexpr char kLease[] = "\"lease\":\"s_AAAAAAAAAAAAAAAAAAAAAA\"";

LoggedCall Parse(const std::string& fields) {
  const auto call = ParseAccessLog(absl::StrCat(kFrame, "{", kLease, ",", fields, "}"));
  EXPECT_TRUE(call.ok()) << call.status() << " " << fields;
  return call.value_or(LoggedCall());
}

TEST(AccessLog, TakesTheStatusOfTheUpstream) {
  const LoggedCall call = Parse(R"("status":"200","upstream_status":"200")");
  EXPECT_EQ(call.kind, LoggedCall::Kind::kReport);
  EXPECT_EQ(call.item.lease_id(), "s_AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(call.item.http_status(), 200);
  EXPECT_EQ(call.item.outcome(), api::OUTCOME_UNSPECIFIED);
}

TEST(AccessLog, TakesTheLastOfSeveralUpstreams) {
  EXPECT_EQ(Parse(R"("status":"200","upstream_status":"502, 200")").item.http_status(), 200);
  EXPECT_EQ(Parse(R"("status":"429","upstream_status":"200 : 429")").item.http_status(), 429);
  EXPECT_EQ(Parse(R"("status":"429","upstream_status":"-, 429")").item.http_status(), 429);
}

TEST(AccessLog, SaysNothingOfAnUpstreamThatWasNeverAsked) {
  EXPECT_EQ(Parse(R"("status":"403","upstream_status":"-")").kind, LoggedCall::Kind::kUnused);
  EXPECT_EQ(Parse(R"("status":"413","upstream_status":"")").kind, LoggedCall::Kind::kUnused);
}

TEST(AccessLog, TellsABrokenConnectionFromABadGatewayOfTheUpstream) {
  const LoggedCall broken = Parse(
      R"("status":"502","upstream_status":"502","upstream_header_time":"-",
         "upstream_connect_time":"-")");
  EXPECT_EQ(broken.item.outcome(), api::OUTCOME_NETWORK_ERROR);
  EXPECT_EQ(broken.item.network_error(), api::NETWORK_ERROR_KIND_CONNECT);
  EXPECT_EQ(broken.item.http_status(), 0);
  const LoggedCall reset = Parse(
      R"("status":"502","upstream_status":"502","upstream_header_time":"-",
         "upstream_connect_time":"0.001")");
  EXPECT_EQ(reset.item.network_error(), api::NETWORK_ERROR_KIND_RESET);
  const LoggedCall timeout =
      Parse(R"("status":"504","upstream_status":"504","upstream_header_time":"-")");
  EXPECT_EQ(timeout.item.network_error(), api::NETWORK_ERROR_KIND_TIMEOUT);
  const LoggedCall real =
      Parse(R"("status":"502","upstream_status":"502","upstream_header_time":"0.120")");
  EXPECT_EQ(real.item.outcome(), api::OUTCOME_UNSPECIFIED);
  EXPECT_EQ(real.item.http_status(), 502);
}

TEST(AccessLog, TakesAProxysOwnWordForABrokenConnection) {
  const LoggedCall call = Parse(R"("status":"502","error":"tls")");
  EXPECT_EQ(call.item.outcome(), api::OUTCOME_NETWORK_ERROR);
  EXPECT_EQ(call.item.network_error(), api::NETWORK_ERROR_KIND_TLS);
}

TEST(AccessLog, TakesAClientThatWentAwayForCancelled) {
  EXPECT_EQ(Parse(R"("status":"499","upstream_status":"-")").item.outcome(),
            api::OUTCOME_CANCELLED);
  EXPECT_EQ(Parse(R"("status":"499","upstream_status":"200")").item.outcome(),
            api::OUTCOME_CANCELLED);
  EXPECT_EQ(Parse(R"("status":"499","upstream_status":"499")").item.outcome(),
            api::OUTCOME_CANCELLED);
  EXPECT_EQ(Parse(R"("status":499)").item.outcome(), api::OUTCOME_CANCELLED);
}

TEST(AccessLog, BelievesAnUpstreamsErrorThoughTheClientWentAway) {
  const LoggedCall call = Parse(R"("status":"499","upstream_status":"429")");
  EXPECT_EQ(call.item.http_status(), 429);
  EXPECT_EQ(call.item.outcome(), api::OUTCOME_UNSPECIFIED);
}

TEST(AccessLog, ReadsLimitHeadersHoweverTheyAreNamed) {
  const LoggedCall call = Parse(
      R"("upstream_status":"429","retry_after":"30","upstream_http_x_ratelimit_reset":"5",
         "headers":{"Anthropic-Ratelimit-Requests-Reset":"2030-01-01T00:00:00Z"},
         "upstream_http_x_empty":"-","upstream_http_set_cookie":"a=b")");
  std::string seen;
  for (const auto& header : call.item.headers()) {
    absl::StrAppend(&seen, header.name(), "=", header.value(), ";");
  }
  EXPECT_EQ(seen,
            "anthropic-ratelimit-requests-reset=2030-01-01T00:00:00Z;retry-after=30;"
            "x-ratelimit-reset=5;");
}

// A line of Caddy: its user_id, its status.
absl::StatusOr<LoggedCall> Caddy(const std::string& user_id, int status) {
  return ParseAccessLog(absl::StrCat(
      R"({"level":"info","ts":1.5,"logger":"http.log.access.log0","request":{"method":"POST",
      "headers":{"X-Credbroker-Lease":["s_BBBBBBBBBBBBBBBBBBBBBA"]}},"user_id":")",
      user_id, R"(","status":)", status, R"(,"resp_headers":{"Retry-After":["7"]}})"));
}

TEST(AccessLog, UnderstandsCaddysOwnFormat) {
  const auto call = Caddy("s_AAAAAAAAAAAAAAAAAAAAAA ", 429);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->item.lease_id(), "s_AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(call->item.http_status(), 429);
  ASSERT_EQ(call->item.headers_size(), 1);
  EXPECT_EQ(call->item.headers(0).value(), "7");
}

TEST(AccessLog, TellsCaddysOwnErrorsFromTheUpstreams) {
  const auto broken = Caddy("s_AAAAAAAAAAAAAAAAAAAAAA 502", 502);
  ASSERT_TRUE(broken.ok()) << broken.status();
  EXPECT_EQ(broken->item.outcome(), api::OUTCOME_NETWORK_ERROR);
  EXPECT_EQ(broken->item.network_error(), api::NETWORK_ERROR_KIND_RESET);
  EXPECT_EQ(Caddy("s_AAAAAAAAAAAAAAAAAAAAAA 504", 504)->item.network_error(),
            api::NETWORK_ERROR_KIND_TIMEOUT);
  EXPECT_EQ(Caddy("s_AAAAAAAAAAAAAAAAAAAAAA ", 502)->item.http_status(), 502);
  // Its client went away before there was an answer.
  EXPECT_EQ(Caddy("s_AAAAAAAAAAAAAAAAAAAAAA ", 0)->item.outcome(), api::OUTCOME_CANCELLED);
}

TEST(AccessLog, TakesNoLeaseFromWhatAnEndUserSent) {
  EXPECT_EQ(Caddy("", 401)->kind, LoggedCall::Kind::kNoLease);
  EXPECT_EQ(Caddy(" ", 401)->kind, LoggedCall::Kind::kNoLease);
  EXPECT_EQ(Caddy("alice", 401)->kind, LoggedCall::Kind::kNoLease);
}

TEST(AccessLog, TakesAnyFraming) {
  for (const absl::string_view frame : {"", "<134>", "<190>Nov  3 01:02:03 host nginx: ",
                                        "<134>1 2030-01-01T00:00:00Z h app 1 - - "}) {
    const auto call = ParseAccessLog(absl::StrCat(frame, "{", kLease, ",\"status\":200}\n"));
    ASSERT_TRUE(call.ok()) << frame;
    EXPECT_EQ(call->item.http_status(), 200) << frame;
  }
}

TEST(AccessLog, LeavesLinesWithoutLeaseAlone) {
  const auto call = ParseAccessLog(R"(<190>x: {"lease":"-","status":"200"})");
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->kind, LoggedCall::Kind::kNoLease);
  EXPECT_EQ(ParseAccessLog(R"({"status":"200"})")->kind, LoggedCall::Kind::kNoLease);
}

TEST(AccessLog, SurvivesBytesThatAreNoText) {
  const auto call =
      ParseAccessLog(absl::StrCat("{", kLease, ",\"status\":429,\"uri\":\"\xff\xfe\"}"));
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->item.http_status(), 429);
}

TEST(AccessLog, RefusesWhatIsNoSuchLine) {
  for (const std::string& line :
       {std::string(), std::string("<190>"), std::string("<999>x: {}"), std::string("<1x>{}"),
        std::string("hello"), std::string("{\"lease\":"), std::string("[1]"),
        absl::StrCat("{", kLease, ",\"status\":\"abc\"}"),
        absl::StrCat("{", kLease, ",\"status\":42}"),
        absl::StrCat("{", kLease, ",\"status\":200,\"upstream_status\":\"2000\"}"),
        absl::StrCat("{", kLease, ",\"status\":{}}"),
        absl::StrCat("{", kLease, ",\"a\":", std::string(50, '['), std::string(50, ']'), "}"),
        absl::StrCat("{\"a\":\"", std::string(kMaxDatagramBytes, 'x'), "\"}")}) {
    EXPECT_FALSE(ParseAccessLog(line).ok()) << line.substr(0, 80);
  }
}

}  // namespace
}  // namespace credbroker::sidecar
