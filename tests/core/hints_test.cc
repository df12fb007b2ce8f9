#include <string>
#include <utility>
#include <vector>

#include "core/availability.h"
#include "core/error_body.h"
#include "core/hint_text.h"
#include "core/policy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

// Sun, 06 Nov 1994 08:49:07 GMT: 30 s before the date of RFC 9110's examples.
const absl::Time kNow = absl::FromUnixSeconds(784'111'747);

using Headers = std::vector<std::pair<std::string, std::string>>;

absl::Duration WaitOf(const Headers& headers, absl::Time now = kNow) {
  return ParseHints(headers, now).wait.value_or(absl::ZeroDuration());
}

struct RetryAfterCase {
  std::string value;
  absl::Duration wait;  // zero: ignored
};

class RetryAfter : public testing::TestWithParam<RetryAfterCase> {};

TEST_P(RetryAfter, IsSecondsOrADate) {
  EXPECT_EQ(WaitOf({{"Retry-After", GetParam().value}}), GetParam().wait) << GetParam().value;
}

const absl::Duration kIgnored = absl::ZeroDuration();

INSTANTIATE_TEST_SUITE_P(
    Values, RetryAfter,
    testing::Values(RetryAfterCase{"30", absl::Seconds(30)},
                    RetryAfterCase{" 30 ", absl::Seconds(30)},
                    RetryAfterCase{"0.5", absl::Milliseconds(500)},
                    RetryAfterCase{"Sun, 06 Nov 1994 08:49:37 GMT", absl::Seconds(30)},
                    RetryAfterCase{"Sunday, 06-Nov-94 08:49:37 GMT", absl::Seconds(30)},
                    RetryAfterCase{"Sun Nov  6 08:49:37 1994", absl::Seconds(30)},
                    RetryAfterCase{"Mon Nov 14 08:49:07 1994", absl::Hours(8 * 24)},
                    RetryAfterCase{"Sun, 06 Nov 1994 08:49:60 GMT", absl::Seconds(53)},
                    RetryAfterCase{"34560000", kMaxCooldown}, RetryAfterCase{"34560001", kIgnored},
                    RetryAfterCase{"0", kIgnored}, RetryAfterCase{"0.0", kIgnored},
                    RetryAfterCase{"-1", kIgnored}, RetryAfterCase{"+1", kIgnored},
                    RetryAfterCase{"", kIgnored}, RetryAfterCase{".", kIgnored},
                    RetryAfterCase{"1e3", kIgnored}, RetryAfterCase{"0x10", kIgnored},
                    RetryAfterCase{"nan", kIgnored}, RetryAfterCase{"inf", kIgnored},
                    RetryAfterCase{"infinite-future", kIgnored},
                    RetryAfterCase{"30 seconds", kIgnored},
                    RetryAfterCase{"99999999999999999999999999", kIgnored},
                    RetryAfterCase{std::string(300, '9'), kIgnored},
                    RetryAfterCase{"Sun, 06 Nov 1994 08:49:07 GMT", kIgnored},  // now
                    RetryAfterCase{"Sun, 06 Nov 1994 08:48:37 GMT", kIgnored},  // past
                    RetryAfterCase{"Sun, 06 Nov 1994 08:49:37 CET", kIgnored},
                    RetryAfterCase{"Sun, 06 Nov 1994 08:49:37 GMT+1", kIgnored},
                    RetryAfterCase{"Sun, 31 Feb 1995 08:49:37 GMT", kIgnored},
                    RetryAfterCase{"Sun, 06 Nov 1994 24:00:00 GMT", kIgnored},
                    RetryAfterCase{"Sun, 06 Nov 9999 08:49:37 GMT", kIgnored},
                    RetryAfterCase{"Xyz, 06 Nov 1994 08:49:37 GMT", kIgnored}));

TEST(HttpDate, TwoDigitYearIsWithinFiftyYears) {
  const absl::Time in_2026 = absl::FromCivil(absl::CivilDay(2026, 1, 1), absl::UTCTimeZone());
  const auto year = [&](const char* text) {
    return absl::ToCivilYear(*ParseHttpDate(text, in_2026), absl::UTCTimeZone()).year();
  };
  EXPECT_EQ(year("Sunday, 06-Nov-94 08:49:37 GMT"), 1994);
  EXPECT_EQ(year("Sunday, 06-Nov-76 08:49:37 GMT"), 2076);
  EXPECT_EQ(year("Sunday, 06-Nov-77 08:49:37 GMT"), 1977);
  const absl::Time in_2099 = absl::FromCivil(absl::CivilDay(2099, 12, 1), absl::UTCTimeZone());
  EXPECT_EQ(absl::ToCivilYear(*ParseHttpDate("Friday, 01-Jan-00 00:00:00 GMT", in_2099),
                              absl::UTCTimeZone())
                .year(),
            2100);
}

TEST(Hints, HeaderNamesAreFoundInAnyCase) {
  EXPECT_EQ(WaitOf({{"RETRY-AFTER", "7"}}), absl::Seconds(7));
  EXPECT_EQ(WaitOf({{"X-RateLimit-Remaining-Requests", "0"}, {"x-ratelimit-RESET-requests", "9s"}}),
            absl::Seconds(9));
}

TEST(Hints, MillisecondsAreReadToo) {
  EXPECT_EQ(WaitOf({{"retry-after-ms", "1500"}}), absl::Milliseconds(1500));
}

TEST(Hints, LongestWins) {
  EXPECT_EQ(WaitOf({{"retry-after", "3"}, {"retry-after", "8"}, {"retry-after-ms", "100"}}),
            absl::Seconds(8));
  const Headers both = {{"retry-after", "3"},
                        {"x-ratelimit-remaining-tokens", "0"},
                        {"x-ratelimit-reset-tokens", "6m0s"}};
  const Hints hints = ParseHints(both, kNow);
  EXPECT_EQ(hints.wait, absl::Minutes(6));
  EXPECT_EQ(hints.raw, "x-ratelimit-reset-tokens: 6m0s");
  EXPECT_EQ(hints.retry_after, absl::Seconds(3));
  EXPECT_EQ(hints.retry_after_raw, "retry-after: 3");
}

TEST(Hints, WindowWithHeadroomIsNoReasonToWait) {
  const Hints hints = ParseHints(Headers{{"x-ratelimit-limit-requests", "60"},
                                         {"x-ratelimit-remaining-requests", "59"},
                                         {"x-ratelimit-reset-requests", "1h"}},
                                 kNow);
  EXPECT_FALSE(hints.wait.has_value());
  ASSERT_EQ(hints.windows.size(), 1);
  EXPECT_EQ(hints.windows[0].name, "requests");
  EXPECT_EQ(hints.windows[0].limit, 60);
  EXPECT_EQ(hints.windows[0].remaining, 59);
  EXPECT_EQ(hints.windows[0].reset, kNow + absl::Hours(1));
}

struct ResetCase {
  std::string value;
  absl::Duration wait;
};

class Reset : public testing::TestWithParam<ResetCase> {};

TEST_P(Reset, IsRecognisedByItsForm) {
  EXPECT_EQ(WaitOf({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", GetParam().value}},
                   absl::FromUnixSeconds(1'700'000'000)),
            GetParam().wait)
      << GetParam().value;
}

INSTANTIATE_TEST_SUITE_P(
    Forms, Reset,
    testing::Values(ResetCase{"60", absl::Seconds(60)}, ResetCase{"0.25", absl::Milliseconds(250)},
                    ResetCase{"1m2.5s", absl::Milliseconds(62'500)},
                    ResetCase{"120ms", absl::Milliseconds(120)},
                    ResetCase{"6h0m0s", absl::Hours(6)}, ResetCase{"1d2h", absl::Hours(26)},
                    ResetCase{"1700000090", absl::Seconds(90)},
                    ResetCase{"1700000090.5", absl::Milliseconds(90'500)},
                    ResetCase{"1700000090000", absl::Seconds(90)},
                    ResetCase{"2023-11-14T22:14:50Z", absl::Seconds(90)},
                    ResetCase{"2023-11-14T22:14:50.5+00:00", absl::Milliseconds(90'500)},
                    ResetCase{"2023-11-14T22:00:00Z", kIgnored}, ResetCase{"1600000000", kIgnored},
                    ResetCase{"1800000000000", kIgnored}, ResetCase{"-5", kIgnored},
                    ResetCase{"1m2", kIgnored}, ResetCase{"s", kIgnored}, ResetCase{"1y", kIgnored},
                    ResetCase{"999999999d", kIgnored}, ResetCase{"1m2.5s\r\nx: y", kIgnored},
                    ResetCase{"soon", kIgnored}));

TEST(Hints, AnthropicWindowsAreReadByName) {
  const Hints hints =
      ParseHints(Headers{{"anthropic-ratelimit-requests-limit", "50"},
                         {"anthropic-ratelimit-requests-remaining", "0"},
                         {"anthropic-ratelimit-requests-reset", "1994-11-06T08:50:07Z"},
                         {"anthropic-ratelimit-input-tokens-remaining", "1000"},
                         {"anthropic-ratelimit-input-tokens-reset", "1994-11-06T09:49:07Z"}},
                 kNow);
  EXPECT_EQ(hints.wait, absl::Minutes(1));
  ASSERT_EQ(hints.windows.size(), 2);
  EXPECT_EQ(hints.windows[1].name, "input-tokens");
}

TEST(Hints, SubscriptionWindowsCountByStatusAndUtilization) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const Hints hints =
      ParseHints(Headers{{"anthropic-ratelimit-unified-status", "rejected"},
                         {"anthropic-ratelimit-unified-reset", "1700018000"},
                         {"anthropic-ratelimit-unified-5h-status", "rejected"},
                         {"anthropic-ratelimit-unified-5h-reset", "1700018000"},
                         {"anthropic-ratelimit-unified-5h-utilization", "1.0"},
                         {"anthropic-ratelimit-unified-7d-status", "allowed"},
                         {"anthropic-ratelimit-unified-7d-reset", "1700500000"},
                         {"anthropic-ratelimit-unified-7d-utilization", "0.25"},
                         {"anthropic-ratelimit-unified-overage-status", "rejected"},
                         {"anthropic-ratelimit-unified-overage-reset", "1701000000"}},
                 now);
  EXPECT_EQ(hints.wait, absl::Seconds(18'000));
  ASSERT_EQ(hints.windows.size(), 3);
  EXPECT_EQ(hints.windows[2].name, "unified-7d");
  EXPECT_EQ(hints.windows[2].remaining, 75);
}

TEST(Hints, ChatGptPlanWindowsCountInPercent) {
  const Hints hints = ParseHints(Headers{{"x-codex-primary-used-percent", "100"},
                                         {"x-codex-primary-reset-after-seconds", "600"},
                                         {"x-codex-secondary-used-percent", "40"},
                                         {"x-codex-secondary-reset-after-seconds", "86400"}},
                                 kNow);
  EXPECT_EQ(hints.wait, absl::Minutes(10));
  ASSERT_EQ(hints.windows.size(), 2);
  EXPECT_EQ(hints.windows[1].remaining, 60);
}

TEST(Hints, ExhaustedWindowWithoutResetSaysNothing) {
  const Hints hints = ParseHints(Headers{{"x-ratelimit-remaining-requests", "0"}}, kNow);
  EXPECT_FALSE(hints.wait.has_value());
  EXPECT_TRUE(hints.windows.empty());
}

TEST(Hints, KeepABoundedNumberOfWindows) {
  Headers headers;
  for (int i = 0; i < 1000; ++i) {
    headers.emplace_back("x-ratelimit-reset-w" + std::to_string(i), "60");
  }
  EXPECT_EQ(ParseHints(headers, kNow).windows.size(), 16);
}

TEST(Hints, RawHintIsPrintable) {
  EXPECT_EQ(RawHint("retry-after", "3\x01\xff"), "retry-after: 3??");
  EXPECT_EQ(RawHint("x", std::string(500, 'y')).size(), kMaxRawHint);
}

TEST(ErrorBody, FindsCodesOfEveryDialect) {
  using testing::ElementsAre;
  const auto codes = [](absl::string_view body) {
    const ErrorBody found = ScanErrorBody(body, kNow);
    return std::vector<std::string>(found.codes.begin(), found.codes.end());
  };
  EXPECT_THAT(codes(R"({"type":"error","error":{"type":"overloaded_error","message":"m"}})"),
              ElementsAre("error", "overloaded_error"));
  EXPECT_THAT(codes(R"({"error":{"message":"m","type":"t","param":null,"code":"c"}})"),
              ElementsAre("t", "c"));
  EXPECT_THAT(codes(R"([{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}])"),
              ElementsAre("RESOURCE_EXHAUSTED"));
  EXPECT_THAT(codes("event: error\ndata: {\"type\" : \"api_error\"}\n\n"),
              ElementsAre("api_error"));
}

TEST(ErrorBody, IgnoresWhatACallerWroteIntoAString) {
  const ErrorBody found = ScanErrorBody(
      R"({"error":{"message":"bad field \"code\":\"insufficient_quota\" in {\"type\":\"x\"}"}})",
      kNow);
  EXPECT_TRUE(found.codes.empty());
}

TEST(ErrorBody, SurvivesBeingCutAnywhere) {
  const std::string body =
      R"({"error":{"type":"usage_limit_reached","resets_in_seconds":120,"x":"\"\\"}})";
  for (size_t i = 0; i <= body.size(); ++i) {
    const ErrorBody found = ScanErrorBody(absl::string_view(body).substr(0, i), kNow);
    if (found.wait.has_value()) {
      EXPECT_EQ(*found.wait, absl::Minutes(2)) << i;
    }
  }
  EXPECT_EQ(ScanErrorBody(body, kNow).wait, absl::Minutes(2));
}

TEST(ErrorBody, ReadsTheWaitOfEveryDialect) {
  const auto wait = [](absl::string_view body) { return ScanErrorBody(body, kNow).wait; };
  EXPECT_EQ(wait(R"({"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo",)"
                 R"("retryDelay":"34.5s"}]}})"),
            absl::Milliseconds(34'500));
  EXPECT_EQ(wait(R"({"error":{"details":[{"metadata":{"quotaResetDelay":"1h2m"}}]}})"),
            absl::Minutes(62));
  EXPECT_EQ(wait(R"({"error":{"type":"usage_limit_reached","resets_at":784115347}})"), std::nullopt)
      << "unix seconds before 2001 cannot be told from spans; no window is that long";
  EXPECT_EQ(wait(R"({"error":{"retryDelay":"-5s","resets_in_seconds":-1}})"), std::nullopt);
}

}  // namespace
}  // namespace credbroker::core
