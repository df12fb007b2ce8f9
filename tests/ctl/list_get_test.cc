#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

constexpr char kPage[] = R"(
  credentials { id: 'team/alice' provider: 'claude' group: 'default' max_in_flight: 2 priority: 5
    status { state: CREDENTIAL_STATE_AVAILABLE busy: true in_flight: 2 } }
  credentials { id: 'team/東京' provider: 'openai' group: 'default' email: 'a@b\033[31m' weight: 1
    status { state: CREDENTIAL_STATE_WAITING cause: CAUSE_RATE_LIMITED
             next_recover_time { seconds: 1767323343 } } }
  credentials { id: 'x' provider: 'claude'
    status { state: CREDENTIAL_STATE_DISABLED cause: CAUSE_OPERATOR } }
  total_size: 1203 next_page_token: 'T'
  counts { available: 1000 busy: 1 waiting: 200 disabled: 3 })";

TEST_F(CtlTest, ListIsAnAlignedTableWithCounts) {
  admin_.on_ListCredentials.Answer(kPage);
  const Result result = Run({"list", "--state", "all"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(
      result.out,
      "ID          PROVIDER  STATE             CAUSE         RECOVERS     IN FLIGHT  PRIORITY\n"
      "team/alice  claude    available (busy)  -             -                  2/2         5\n"
      "team/東京   openai    waiting           rate_limited  in 4 m 58 s          0         0\n"
      "x           claude    disabled          operator      -                    0         0\n"
      "\n"
      "3 of 1,203 shown (available 1,000 (busy 1), waiting 200, disabled 3)\n"
      "next page: --page-token T, or --all\n");
}

TEST_F(CtlTest, ListOfNothingSaysWhatThereIs) {
  admin_.on_ListCredentials.Answer("counts { waiting: 2 }");
  EXPECT_EQ(Run({"list"}).out, "0 of 0 shown (available 0, waiting 2, disabled 0)\n");
}

TEST_F(CtlTest, WideListEscapesWhatTheServerSends) {
  admin_.on_ListCredentials.Answer(kPage);
  const std::string out = Run({"list", "-o", "wide"}).out;
  EXPECT_NE(out.find("a@b\\x1b[31m"), std::string::npos);
  EXPECT_EQ(out.find('\x1b'), std::string::npos);
}

TEST_F(CtlTest, ColorFollowsTerminalFlagAndNoColor) {
  admin_.on_ListCredentials.Answer(kPage);
  const auto colored = [this](std::vector<std::string> args) {
    args.insert(args.begin(), "list");
    return Run(args).out.find("\x1b[33mwaiting\x1b[0m") != std::string::npos;
  };
  EXPECT_FALSE(colored({}));
  EXPECT_TRUE(colored({"--color", "always"}));
  env_.out_is_terminal = true;
  EXPECT_TRUE(colored({}));
  EXPECT_FALSE(colored({"--color", "never"}));
  variables_["NO_COLOR"] = "1";
  EXPECT_FALSE(colored({}));
  EXPECT_TRUE(colored({"--color", "always"}));
}

TEST_F(CtlTest, ListIsCutOnTerminalsOnly) {
  admin_.on_ListCredentials.Answer(
      "credentials { id: 'team/a-credential-with-a-very-long-name' provider: 'claude' }");
  env_.terminal_width = 70;
  EXPECT_NE(Run({"list"}).out.find("very-long-name"), std::string::npos);
  env_.out_is_terminal = true;
  const std::string out = Run({"list", "--color", "never"}).out;
  EXPECT_EQ(out.find("very-long-name"), std::string::npos);
  EXPECT_NE(out.find("…"), std::string::npos);
}

TEST_F(CtlTest, ListSendsItsFlags) {
  Run({"list", "--state", "waiting", "--filter", "priority > 1 OR x = 2", "--provider", "a",
       "--provider", "b", "--group", "g", "--order-by", "priority desc", "--page-size", "7",
       "--page-token", "T"});
  EXPECT_EQ(admin_.on_ListCredentials.last().ShortDebugString(),
            "page_size: 7 page_token: \"T\" filter: \"(priority > 1 OR x = 2) AND (provider = "
            "\\\"a\\\" OR provider = \\\"b\\\")\" order_by: \"priority desc\" state: "
            "STATE_FILTER_WAITING group: \"g\"");
}

TEST_F(CtlTest, ListAllGoesThroughThePagesAndJoinsThem) {
  admin_.on_ListCredentials.Answer("credentials { id: 'a' } next_page_token: 'P2' total_size: 2");
  admin_.on_ListCredentials.Answer("credentials { id: 'b' } total_size: 2");
  const auto json = nlohmann::json::parse(Run({"list", "--all", "-o", "json"}).out);
  ASSERT_EQ(json["credentials"].size(), 2u);
  EXPECT_EQ(json["credentials"][0]["id"], "a");
  EXPECT_EQ(json["credentials"][1]["id"], "b");
  EXPECT_EQ(json["nextPageToken"], "");
  EXPECT_EQ(json["totalSize"], "2");
  const auto requests = admin_.on_ListCredentials.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].page_size(), 1000);
  EXPECT_EQ(requests[1].page_token(), "P2");
}

constexpr char kCredential[] = R"(
  id: 'team/alice' provider: 'claude' kind: CREDENTIAL_KIND_OAUTH group: 'default' priority: 5
  proxy_url: 'http://u:***@h' labels { key: 'tier' value: 'paid' } etag: 'e1'
  status { state: CREDENTIAL_STATE_WAITING cause: CAUSE_RATE_LIMITED auth_health: AUTH_HEALTH_OK
    next_recover_time { seconds: 1767323050 } material_version: 3
    availability { block_until { seconds: 1767323050 } avoid_until { seconds: 1767323105 }
                   cause: CAUSE_RATE_LIMITED level: 2 raw_hint: 'retry-after: 5'
                   began { seconds: 1767323044 } }
    rate_windows { name: 'requests' limit: 1000 remaining: 0 }
    history { time { seconds: 1767323044 } from: CREDENTIAL_STATE_AVAILABLE
              to: CREDENTIAL_STATE_WAITING why: TRANSITION_REASON_REPORTED_FAILURE
              cause: CAUSE_RATE_LIMITED } })";

TEST_F(CtlTest, GetShowsDocumentStatusCooldownsAndHistory) {
  admin_.on_GetCredential.Answer(kCredential);
  EXPECT_EQ(Run({"get", "team/alice"}).out,
            "id        team/alice\n"
            "provider  claude (oauth)\n"
            "group     default\n"
            "priority  5\n"
            "proxy     http://u:***@h\n"
            "labels    tier=paid\n"
            "etag      e1\n"
            "\n"
            "state           waiting\n"
            "cause           rate_limited\n"
            "recovers        2026-01-02T03:04:10Z (in 5 s)\n"
            "auth            ok\n"
            "in flight       0\n"
            "secret version  3\n"
            "\n"
            "MODEL  CAUSE         WAITS UNTIL  HALF-OPEN UNTIL  LEVEL  BEGAN    HINT\n"
            "(all)  rate_limited  in 5 s       in 1 m               2  1 s ago  retry-after: 5\n"
            "\n"
            "LIMIT OF  LIMIT  REMAINING  RESETS\n"
            "requests  1,000          0  -\n"
            "\n"
            "WHEN     FROM       TO       WHY               CAUSE         MODEL  BY\n"
            "1 s ago  available  waiting  reported_failure  rate_limited  -      -\n");
}

TEST_F(CtlTest, GetAsJsonHasWhatTheQuickstartReads) {
  admin_.on_GetCredential.Answer(kCredential);
  const auto json = nlohmann::json::parse(Run({"-o", "json", "get", "team/alice"}).out);
  EXPECT_EQ(json["status"]["state"], "CREDENTIAL_STATE_WAITING");
  EXPECT_EQ(json["status"]["busy"], false);
}

TEST_F(CtlTest, GetGoesOnAfterAnIdThatIsNotThere) {
  admin_.on_GetCredential.Refuse(
      Refusal(grpc::StatusCode::NOT_FOUND, "no such credential", "NO_SUCH_CREDENTIAL"));
  EXPECT_EQ(Run({"get", "nope"}).code, 3);
  admin_.on_GetCredential.Answer("id: 'a'");
  admin_.on_GetCredential.Refuse(grpc::Status(grpc::StatusCode::NOT_FOUND, "no"));
  const Result result = Run({"get", "a", "b"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "credbrokerctl: b: NOT_FOUND: no\n");
}

}  // namespace
}  // namespace credbroker::ctl
