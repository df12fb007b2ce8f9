#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

constexpr char kRows[] = R"(
  candidates { credential_id: 'a' provider: 'claude' verdict: VERDICT_CHOSEN priority: 1 weight: 1
               state: CREDENTIAL_STATE_AVAILABLE }
  candidates { credential_id: 'b' provider: 'claude' verdict: VERDICT_WAITING weight: 1
               state: CREDENTIAL_STATE_WAITING cause: CAUSE_RATE_LIMITED detail: 'until later'
               next_recover_time { seconds: 1767323074 } }
  verdict_counts { verdict: VERDICT_CHOSEN count: 1 }
  verdict_counts { verdict: VERDICT_WAITING count: 1 }
  cause_counts { cause: CAUSE_RATE_LIMITED count: 1 }
  total_size: 2 model: 'm' strategy: 'round-robin')";

TEST_F(CtlTest, ExplainShowsTheAnswerAndEachVerdict) {
  admin_.on_Explain.Answer(absl::StrCat(kRows, "chosen_credential_id: 'a'"));
  const Result result = Run({"explain", "--provider", "claude", "--verdict", "waiting"});
  EXPECT_EQ(result.out,
            "answer    would grant a\n"
            "model     m\n"
            "strategy  round-robin\n"
            "verdicts  chosen 1, waiting 1\n"
            "causes    rate_limited 1\n"
            "\n"
            "CREDENTIAL  PROVIDER  VERDICT  STATE      CAUSE         RECOVERS  PRIORITY  WEIGHT"
            "  IN FLIGHT  DETAIL\n"
            "a           claude    chosen   available  -             -                1       1"
            "          0  -\n"
            "b           claude    waiting  waiting    rate_limited  in 29 s          0       1"
            "          0  until later\n");
  EXPECT_EQ(admin_.on_Explain.last().verdicts(0), v1::VERDICT_WAITING);
  EXPECT_EQ(admin_.on_Explain.last().acquire().providers(0), "claude");
}

TEST_F(CtlTest, ExplainOfARefusalIsNoError) {
  v1::ExplainResponse response;
  response.mutable_answer()->set_code(8);
  response.mutable_answer()->set_message("every candidate waits");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(29);
  response.mutable_answer()->add_details()->PackFrom(retry);
  admin_.on_Explain.Answer(response);
  const Result result = Run({"explain", "--provider", "claude"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out,
            "answer  would refuse: RESOURCE_EXHAUSTED: every candidate waits; retry in 29 s\n");
}

TEST_F(CtlTest, ExplainAsJsonHasTheRefusalsDetails) {
  v1::ExplainResponse response;
  google::rpc::ErrorInfo info;
  info.set_reason("COOLING");
  response.mutable_answer()->add_details()->PackFrom(info);
  admin_.on_Explain.Answer(response);
  const Result result = Run({"explain", "--provider", "claude", "-o", "json"});
  EXPECT_NE(result.out.find("\"reason\": \"COOLING\""), std::string::npos) << result.out;
}

TEST_F(CtlTest, StatsShowsTheServerAndItsPools) {
  admin_.on_GetStats.Answer(R"(
      version: '0.1.0' uptime { seconds: 3725 } totals { available: 1 waiting: 2 }
      live_leases: 4 store { backend: 'sqlite' healthy: true commit_count: 1234 }
      pools { group: 'default' provider: 'claude' counts { available: 1 waiting: 2 } live_leases: 4
              causes { cause: CAUSE_RATE_LIMITED count: 2 }
              next_recover_time { seconds: 1767323050 } }
      breakers { provider: 'claude' egress: 'socks5://h' open_until { seconds: 1767323055 } })");
  EXPECT_EQ(Run({"stats", "--group", "default"}).out,
            "version         0.1.0\n"
            "uptime          1 h 2 m\n"
            "credentials     available 1, waiting 2, disabled 0\n"
            "leases          4 live, 0 remembered, 0 expired without report\n"
            "parked calls    0\n"
            "sessions bound  0\n"
            "store           sqlite, healthy, 1,234 commits, 0 failed, 0 pending\n"
            "\n"
            "GROUP    PROVIDER  AVAILABLE  BUSY  HALF-OPEN  WAITING  DISABLED  LEASES  PARKED"
            "  NEXT RECOVERY  CAUSES\n"
            "default  claude            1     0          0        2         0       4       0"
            "  in 5 s         rate_limited 2\n"
            "\n"
            "BACKS OFF  PROVIDER  MODEL  EGRESS      CAUSE         BLOCKED UNTIL  HALF-OPEN UNTIL\n"
            "breaker    claude    -      socks5://h  breaker_open  in 10 s        -\n");
}

TEST_F(CtlTest, PolicyTestShowsWhatTheRowDoes) {
  admin_.on_TestPolicy.Answer(R"(
      matched_row: 'built-in: 429' outcome: OUTCOME_RATE_LIMITED scope: FAILURE_SCOPE_CREDENTIAL
      action: FAILURE_ACTION_WAIT cause: CAUSE_RATE_LIMITED duration { seconds: 30 }
      block_duration { seconds: 30 } advice: ADVICE_RETRY_OTHER hint: 'retry-after: 30')");
  const Result result = Run({"policy", "test", "--provider", "claude", "--status", "429",
                             "--header", "retry-after: 30", "--kind", "api_key", "--at", "1m"});
  EXPECT_EQ(result.out,
            "row       built-in: 429\n"
            "outcome   rate_limited\n"
            "scope     credential\n"
            "action    wait\n"
            "cause     rate_limited\n"
            "duration  30 s (before jitter)\n"
            "waits     30 s\n"
            "from      retry-after: 30\n"
            "advice    retry_other\n");
  const v1::TestPolicyRequest request = admin_.on_TestPolicy.last();
  EXPECT_EQ(request.http_status(), 429);
  EXPECT_EQ(request.kind(), v1::CREDENTIAL_KIND_API_KEY);
  EXPECT_EQ(request.time().seconds(), 1767323105);
}

}  // namespace
}  // namespace credbroker::ctl
