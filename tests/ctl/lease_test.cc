#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

constexpr char kGrant[] = R"(
  lease_id: 'L1' credential_id: 'team/alice' group: 'default' provider: 'claude'
  kind: CREDENTIAL_KIND_OAUTH model: 'm' proxy_url: 'http://u:pw@host:80'
  request_headers { name: 'authorization' value: 'Bearer s3cret' }
  request_headers { name: 'x-app' value: 'cli' }
  expire_time { seconds: 1767323165 } probe: true)";

TEST_F(CtlTest, AcquireHidesSecretsInTables) {
  broker_.on_Acquire.Answer(kGrant);
  const Result result = Run({"acquire", "--provider", "claude", "--model", "m"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "lease       L1\n"
            "credential  team/alice\n"
            "group       default\n"
            "provider    claude\n"
            "kind        oauth\n"
            "model       m\n"
            "expires     2026-01-02T03:06:05Z (in 2 m)\n"
            "proxy       http://u:***@host:80\n"
            "header      authorization: *** (--show-secrets)\n"
            "header      x-app: *** (--show-secrets)\n"
            "probe       yes: half-open; report soon\n");
  const Result shown = Run({"acquire", "--provider", "claude", "--show-secrets"});
  EXPECT_NE(shown.out.find("header      authorization: Bearer s3cret\n"), std::string::npos);
  EXPECT_NE(shown.out.find("proxy       http://u:pw@host:80\n"), std::string::npos);
}

TEST_F(CtlTest, AcquireAsJsonIsTheWholeGrant) {
  broker_.on_Acquire.Answer(kGrant);
  const auto json = nlohmann::json::parse(Run({"acquire", "--provider", "p", "-o", "json"}).out);
  EXPECT_EQ(json["leaseId"], "L1");
  EXPECT_EQ(json["credentialId"], "team/alice");
  EXPECT_EQ(json["requestHeaders"][0]["value"], "QmVhcmVyIHMzY3JldA==");
  EXPECT_EQ(json["expireTime"], "2026-01-02T03:06:05Z");
  EXPECT_EQ(json["sessionRebound"], false);
}

TEST_F(CtlTest, AcquireSendsEveryFlag) {
  Run({"acquire", "--provider", "a",       "--provider", "b",   "--model",      "m", "--group",
       "g",       "--session",  "s",       "--pin",      "i",   "--exclude",    "x", "--exclude",
       "y",       "--kind",     "api-key", "--label",    "k=v", "--request-id", "r", "--ttl",
       "90s",     "--max-wait", "500ms"});
  EXPECT_EQ(broker_.on_Acquire.last().ShortDebugString(),
            "group: \"g\" providers: \"a\" providers: \"b\" model: \"m\" session_key: \"s\" "
            "credential_id: \"i\" excluded_credential_ids: \"x\" excluded_credential_ids: \"y\" "
            "kind: CREDENTIAL_KIND_API_KEY labels { key: \"k\" value: \"v\" } request_id: \"r\" "
            "ttl { seconds: 90 } max_wait { nanos: 500000000 }");
}

TEST_F(CtlTest, ARefusalSaysWhyAndWhenAndExitsWithFour) {
  broker_.on_Acquire.Refuse(Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "every candidate waits",
                                    "COOLING", {{"cause.rate_limited", "2"}}, absl::Seconds(29)));
  const Result result = Run({"acquire", "--provider", "claude"});
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err,
            "credbrokerctl: RESOURCE_EXHAUSTED COOLING: every candidate waits; retry in 29 s\n"
            "  causes: rate_limited 2\n");
}

TEST_F(CtlTest, RenewSaysTheNewExpiry) {
  broker_.on_Renew.Answer("expire_time { seconds: 1767323645 }");
  EXPECT_EQ(Run({"renew", "L1", "--ttl", "10m"}).out, "expires 2026-01-02T03:14:05Z (in 10 m)\n");
  EXPECT_EQ(broker_.on_Renew.last().ttl().seconds(), 600);
}

TEST_F(CtlTest, ReleaseOfAnEndedLeaseIsNoError) {
  broker_.on_Release.Answer("released: true");
  broker_.on_Release.Answer("released: false");
  const Result result = Run({"release", "L1", "L2"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "released\nit had ended already\n");
}

constexpr char kReport[] = R"(
  results { lease_id: 'L1' disposition: REPORT_DISPOSITION_ACCEPTED advice: ADVICE_RETRY_OTHER
            outcome: OUTCOME_RATE_LIMITED state: CREDENTIAL_STATE_WAITING
            next_recover_time { seconds: 1767323050 } cause: CAUSE_RATE_LIMITED
            credential_id: 'team/alice' })";

TEST_F(CtlTest, ReportShowsWhatItDid) {
  broker_.on_Report.Answer(kReport);
  const Result result =
      Run({"report", "L1", "--status", "429", "--header", "Retry-After: 5", "--header", "a: b"});
  EXPECT_EQ(result.out,
            "report      accepted\n"
            "credential  team/alice\n"
            "outcome     rate_limited\n"
            "advice      retry_other\n"
            "state       waiting\n"
            "cause       rate_limited\n"
            "recovers    2026-01-02T03:04:10Z (in 5 s)\n");
  const v1::ReportItem item = broker_.on_Report.last().items(0);
  EXPECT_EQ(item.http_status(), 429);
  ASSERT_EQ(item.headers_size(), 2);
  EXPECT_EQ(item.headers(0).name(), "retry-after");
  EXPECT_EQ(item.headers(0).value(), "5");
  EXPECT_EQ(item.outcome(), v1::OUTCOME_UNSPECIFIED);
}

TEST_F(CtlTest, ReportAsJsonHasWhatTheQuickstartReads) {
  broker_.on_Report.Answer(kReport);
  const auto json =
      nlohmann::json::parse(Run({"-o", "json", "report", "L1", "--status", "429"}).out);
  EXPECT_EQ(json["results"][0]["state"], "CREDENTIAL_STATE_WAITING");
  EXPECT_EQ(json["results"][0]["nextRecoverTime"], "2026-01-02T03:04:10Z");
  EXPECT_EQ(json["results"][0]["disposition"], "REPORT_DISPOSITION_ACCEPTED");
}

TEST_F(CtlTest, ReportOfANetworkErrorSetsTheOutcome) {
  Run({"report", "L1", "--network-error", "timeout", "--early"});
  const v1::ReportItem item = broker_.on_Report.last().items(0);
  EXPECT_EQ(item.outcome(), v1::OUTCOME_NETWORK_ERROR);
  EXPECT_EQ(item.network_error(), v1::NETWORK_ERROR_KIND_TIMEOUT);
  EXPECT_TRUE(item.early());
}

TEST_F(CtlTest, ReportReadsTheBodyFromAFileAndCutsIt) {
  const std::string path = folder_.Write("body", std::string(5000, 'x'));
  Run({"report", "L1", "--status", "400", "--body", "@" + path});
  EXPECT_EQ(broker_.on_Report.last().items(0).body_excerpt().size(), 4096u);
  Run({"report", "L1", "--status", "400", "--body", "@-"}, "from stdin");
  EXPECT_EQ(broker_.on_Report.last().items(0).body_excerpt(), "from stdin");
}

TEST_F(CtlTest, ReportOfAnUnknownLeaseExitsWithThree) {
  broker_.on_Report.Answer("results { lease_id: 'L1' disposition: REPORT_DISPOSITION_UNKNOWN }");
  const Result result = Run({"report", "L1", "--status", "200"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.err, "credbrokerctl: the broker does not know this lease\n");
}

}  // namespace
}  // namespace credbroker::ctl
