#include "core/policy.h"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

// A report and the lease it is about.
struct Given {
  int status = 0;
  std::string code;
  std::string body;
  Headers headers;
  Kind kind = Kind::kApiKey;
  bool refreshable = false;
  bool model_named = true;
  std::string provider = "openai";
  Outcome stated = Outcome::kOther;
};

Verdict Classify(const PolicyTable& table, const Given& g) {
  ReportFacts facts;
  facts.stated = g.stated;
  facts.http_status = g.status;
  facts.error_code = g.code;
  facts.body = g.body;
  facts.headers = g.headers;
  return table.Classify(g.provider, g.kind, g.refreshable, g.model_named, facts, kNow);
}

Verdict Classify(const Given& g) { return Classify(PolicyTable(), g); }

struct Row {
  std::string name;  // a sentence
  Given given;
  Outcome outcome;
  Scope scope;
  Action action;
  Cause cause;
  Advice advice;
  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

template <typename Enum>
std::string Text(Enum value) {
  return std::string(Name(value));
}

class DefaultPolicy : public testing::TestWithParam<Row> {};

TEST_P(DefaultPolicy, IsTheTableOfTheDesign) {
  const Row& row = GetParam();
  const Verdict v = Classify(row.given);
  SCOPED_TRACE(v.row);
  EXPECT_EQ(Text(v.outcome), Text(row.outcome));
  EXPECT_EQ(Text(v.scope), Text(row.scope));
  EXPECT_EQ(Text(v.action), Text(row.action));
  EXPECT_EQ(Text(v.cause), Text(row.cause));
  EXPECT_EQ(Text(v.advice), Text(row.advice));
}

Row Fault(std::string name, Given given) {
  return {std::move(name), std::move(given), Outcome::kRequestFault, Scope::kRequest,
          Action::kNone,   Cause::kNone,     Advice::kGiveUp};
}

Row QuotaUsed(std::string name, Given given) {
  return {std::move(name), std::move(given), Outcome::kQuota,    Scope::kCredential,
          Action::kWait,   Cause::kQuota,    Advice::kRetryOther};
}

Row KeyRejected(std::string name, Given given) {
  return {std::move(name),  std::move(given),      Outcome::kUnauthorized, Scope::kCredential,
          Action::kDisable, Cause::kTokenRejected, Advice::kRetryOther};
}

Row Challenged(std::string name, Given given) {
  return {std::move(name), std::move(given),  Outcome::kChallenge, Scope::kCredential,
          Action::kWait,   Cause::kChallenge, Advice::kRetryOther};
}

Row NoModel(std::string name, Given given) {
  return {std::move(name), std::move(given),      Outcome::kModelNotFound, Scope::kModel,
          Action::kWait,   Cause::kModelNotFound, Advice::kRetryOther};
}

Row Limited(std::string name, Scope scope, Given given) {
  return {std::move(name), std::move(given),  Outcome::kRateLimited, scope,
          Action::kWait,   Cause::kRateLimit, Advice::kRetryOther};
}

Row Passing(std::string name, Scope scope, Given given) {
  return {std::move(name), std::move(given),  Outcome::kTransient, scope,
          Action::kWait,   Cause::kTransient, Advice::kRetryOther};
}

const char kOpenAiWrongKey[] =
    R"({"error":{"message":"Incorrect API key","type":"invalid_request_error",)"
    R"("code":"invalid_api_key"}})";
const char kOpenAiNoModel[] =
    R"({"error":{"message":"no","type":"invalid_request_error","code":"model_not_found"}})";
const char kDeepSeekBalance[] =
    R"({"error":{"message":"Insufficient Balance","code":"invalid_request_error"}})";
const char kAnthropicBalance[] =
    R"({"type":"error","error":{"type":"invalid_request_error",)"
    R"("message":"Your credit balance is too low to access the API"}})";
const char kQuotedBalance[] =
    R"({"type":"error","error":{"type":"invalid_request_error","message":"bad: )"
    R"(\"message\": \"your credit balance is too low\")"
    R"(\"message\":\"your credit balance is too low"}})";
const char kGoogleWrongKey[] = R"({"error":{"code":400,"status":"INVALID_ARGUMENT",)"
                               R"("details":[{"reason":"API_KEY_INVALID"}]}})";

INSTANTIATE_TEST_SUITE_P(Success, DefaultPolicy,
                         testing::Values(Row{"2xx",
                                             {.status = 204},
                                             Outcome::kSuccess,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNone,
                                             Advice::kNone},
                                         Row{"stated success wins over the status",
                                             {.status = 500, .stated = Outcome::kSuccess},
                                             Outcome::kSuccess,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNone,
                                             Advice::kNone},
                                         Row{"code-like words in an answer are the answer",
                                             {.status = 200,
                                              .body = R"({"type":"overloaded_error"})"},
                                             Outcome::kSuccess,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNone,
                                             Advice::kNone},
                                         Row{"an error the proxy found in the stream counts",
                                             {.status = 200, .code = "overloaded_error"},
                                             Outcome::kOverloaded,
                                             Scope::kProviderModel,
                                             Action::kWait,
                                             Cause::kOverloaded,
                                             Advice::kGiveUp},
                                         Row{"cancelled",
                                             {.stated = Outcome::kCancelled},
                                             Outcome::kCancelled,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNone,
                                             Advice::kNone},
                                         Row{"499",
                                             {.status = 499},
                                             Outcome::kCancelled,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNone,
                                             Advice::kNone},
                                         Row{"network",
                                             {.stated = Outcome::kNetwork},
                                             Outcome::kNetwork,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNetwork,
                                             Advice::kRetryOther}));

INSTANTIATE_TEST_SUITE_P(
    RequestFaults, DefaultPolicy,
    testing::Values(Fault("400", {.status = 400}), Fault("413", {.status = 413}),
                    Fault("422", {.status = 422}), Fault("405", {.status = 405}),
                    Fault("stated", {.status = 403, .stated = Outcome::kRequestFault}),
                    Fault("by code behind 401", {.status = 401, .code = "invalid_request_error"}),
                    Fault("by code behind 402", {.status = 402, .code = "context_length_exceeded"}),
                    Fault("by code behind 404", {.status = 404, .code = "invalid_request_error"}),
                    Fault("by code behind 403",
                          {.status = 403, .code = "content_policy_violation"}),
                    Fault("codes in any case", {.status = 500, .code = "Request_Too_Large"}),
                    Fault("a caller's own words never penalise",
                          {.status = 400, .body = kQuotedBalance, .provider = "claude"}),
                    Fault("in the body behind 401",
                          {.status = 401, .body = R"({"error":{"type":"request_too_large"}})"})));

INSTANTIATE_TEST_SUITE_P(
    Tokens, DefaultPolicy,
    testing::Values(KeyRejected("API key", {.status = 401}),
                    KeyRejected("OpenAI says invalid_request_error too",
                                {.status = 401, .body = kOpenAiWrongKey}),
                    KeyRejected("Google answers 400", {.status = 400, .body = kGoogleWrongKey}),
                    KeyRejected("xAI answers 400",
                                {.status = 400,
                                 .body = R"({"code":"x","error":"Incorrect API key provided: ab"})",
                                 .provider = "xai"}),
                    Row{"login with a refresher",
                        {.status = 401, .kind = Kind::kOAuth, .refreshable = true},
                        Outcome::kUnauthorized,
                        Scope::kCredential,
                        Action::kRefresh,
                        Cause::kRefresh,
                        Advice::kRetrySame},
                    Row{"login without one",
                        {.status = 401, .kind = Kind::kOAuth},
                        Outcome::kUnauthorized,
                        Scope::kCredential,
                        Action::kWait,
                        Cause::kTokenRejected,
                        Advice::kRetryOther},
                    Row{"service account",
                        {.status = 401, .kind = Kind::kServiceAccount},
                        Outcome::kUnauthorized,
                        Scope::kCredential,
                        Action::kWait,
                        Cause::kTokenRejected,
                        Advice::kRetryOther},
                    Row{"403",
                        {.status = 403},
                        Outcome::kForbidden,
                        Scope::kCredential,
                        Action::kWait,
                        Cause::kForbidden,
                        Advice::kRetryOther}));

INSTANTIATE_TEST_SUITE_P(
    Challenges, DefaultPolicy,
    testing::Values(
        Challenged("page", {.status = 403, .body = "<!DOCTYPE html><HTML><title>Just a Moment..."}),
        Challenged("header", {.status = 403, .headers = {{"CF-Mitigated", "challenge"}}}),
        Challenged("stated", {.stated = Outcome::kChallenge})));

INSTANTIATE_TEST_SUITE_P(
    Quotas, DefaultPolicy,
    testing::Values(
        QuotaUsed("402", {.status = 402}),
        QuotaUsed("code behind 429", {.status = 429, .code = "insufficient_quota"}),
        QuotaUsed("ChatGPT plan", {.status = 429,
                                   .body = R"({"error":{"type":"usage_limit_reached"}})",
                                   .provider = "codex"}),
        QuotaUsed("DeepSeek calls it a request error", {.status = 402, .body = kDeepSeekBalance}),
        QuotaUsed("Anthropic answers 400",
                  {.status = 400, .body = kAnthropicBalance, .provider = "claude"})));

INSTANTIATE_TEST_SUITE_P(Models, DefaultPolicy,
                         testing::Values(NoModel("404", {.status = 404}),
                                         NoModel("not_found_error of Anthropic",
                                                 {.status = 404, .code = "not_found_error"}),
                                         NoModel("by code",
                                                 {.status = 400, .code = "model_not_supported"}),
                                         NoModel("OpenAI", {.status = 404, .body = kOpenAiNoModel}),
                                         Row{"404 without a model is nobody's fault",
                                             {.status = 404, .model_named = false},
                                             Outcome::kModelNotFound,
                                             Scope::kRequest,
                                             Action::kNone,
                                             Cause::kNone,
                                             Advice::kRetryOther}));

INSTANTIATE_TEST_SUITE_P(
    Limits, DefaultPolicy,
    testing::Values(
        Limited("429 is the credential's", Scope::kCredential, {.status = 429}),
        Limited("Gemini counts per model", Scope::kModel, {.status = 429, .provider = "gemini"}),
        Limited("but not without a model", Scope::kCredential,
                {.status = 429, .model_named = false, .provider = "gemini"}),
        Limited("antigravity's quotas are per model", Scope::kModel,
                {.status = 429, .code = "QUOTA_EXHAUSTED", .provider = "antigravity"}),
        Limited("stated without a status", Scope::kCredential, {.stated = Outcome::kRateLimited}),
        Limited("in a stream", Scope::kCredential, {.status = 200, .code = "rate_limit_error"}),
        Row{"529",
            {.status = 529},
            Outcome::kOverloaded,
            Scope::kProviderModel,
            Action::kWait,
            Cause::kOverloaded,
            Advice::kGiveUp},
        Row{"529 without a model",
            {.status = 529, .model_named = false},
            Outcome::kOverloaded,
            Scope::kProvider,
            Action::kWait,
            Cause::kOverloaded,
            Advice::kGiveUp},
        Passing("408", Scope::kModel, {.status = 408}),
        Passing("500", Scope::kModel, {.status = 500}),
        Passing("524", Scope::kModel, {.status = 524}),
        Passing("503 without a model", Scope::kCredential, {.status = 503, .model_named = false}),
        Row{"a redirect",
            {.status = 302},
            Outcome::kOther,
            Scope::kRequest,
            Action::kNone,
            Cause::kNone,
            Advice::kGiveUp}));

TEST(DefaultPolicyTimes, AreThoseOfTheDesign) {
  const Verdict limited = Classify({.status = 429});
  EXPECT_FALSE(limited.hint.has_value());
  EXPECT_EQ(limited.ladder, (Ladder{absl::Seconds(1), 2, absl::Minutes(30)}));
  EXPECT_EQ(limited.cap, absl::Minutes(15));
  EXPECT_EQ(Classify({.status = 402}).hint, absl::Minutes(30));
  EXPECT_EQ(Classify({.status = 403}).hint, absl::Minutes(30));
  EXPECT_EQ(Classify({.status = 403}).disable_after, 3);
  EXPECT_EQ(Classify({.status = 404}).ladder, (Ladder{absl::Minutes(10), 2, absl::Hours(12)}));
  EXPECT_EQ(Classify({.status = 500}).ladder, (Ladder{absl::Seconds(5), 2, absl::Seconds(60)}));
  EXPECT_EQ(Classify({.status = 529}).ladder, (Ladder{absl::Seconds(1), 2, absl::Seconds(60)}));
  EXPECT_EQ(Classify({.status = 401, .kind = Kind::kOAuth}).hint, absl::Minutes(30));
}

TEST(DefaultPolicyTimes, ChallengeTakesAtLeastTenSecondsWhateverTheJitter) {
  Given g = {.status = 403, .headers = {{"cf-mitigated", "challenge"}}};
  EXPECT_GE(Classify(g).ladder.At(1) * 0.8, absl::Seconds(10));
  g.headers.push_back({"retry-after", "2"});
  EXPECT_EQ(Classify(g).hint, absl::Seconds(10));
  g.headers.push_back({"retry-after", "20"});
  EXPECT_EQ(Classify(g).hint, absl::Seconds(20));
}

TEST(DefaultPolicyHints, WinOverLaddersAndFixedTimes) {
  const Headers thirty = {{"Retry-After", "30"}};
  const Verdict v = Classify({.status = 429, .headers = thirty});
  EXPECT_EQ(v.hint, absl::Seconds(30));
  EXPECT_EQ(v.raw_hint, "retry-after: 30");
  EXPECT_EQ(Classify({.status = 402, .headers = thirty}).hint, absl::Seconds(30));
  EXPECT_EQ(Classify({.status = 503, .headers = thirty}).hint, absl::Seconds(30));
}

TEST(DefaultPolicyHints, ComeFromTheBodyToo) {
  const Verdict v = Classify(
      {.status = 429,
       .body = R"({"error":{"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34s"}]}})",
       .headers = {{"retry-after", "1"}},
       .provider = "gemini"});
  EXPECT_EQ(v.hint, absl::Seconds(34));
  EXPECT_EQ(v.raw_hint, "retryDelay: 34s");
  EXPECT_EQ(
      Classify({.status = 429,
                .body = R"({"error":{"type":"usage_limit_reached","resets_in_seconds":9000}})"})
          .hint,
      absl::Seconds(9000));
}

TEST(DefaultPolicyHints, ExhaustedWindowIsNotWhyAServerFailed) {
  const Headers exhausted = {{"x-ratelimit-remaining-requests", "0"},
                             {"x-ratelimit-reset-requests", "1h"}};
  EXPECT_EQ(Classify({.status = 429, .headers = exhausted}).hint, absl::Hours(1));
  const Verdict v = Classify({.status = 500, .headers = exhausted});
  EXPECT_FALSE(v.hint.has_value());
  EXPECT_EQ(v.windows.size(), 1);
}

TEST(DefaultPolicyHints, SuccessBringsItsWindows) {
  const Verdict v = Classify(
      {.status = 200,
       .headers = {{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "1h"}}});
  EXPECT_EQ(v.windows.size(), 1);
  EXPECT_FALSE(v.hint.has_value());
}

}  // namespace
}  // namespace credbroker::core
