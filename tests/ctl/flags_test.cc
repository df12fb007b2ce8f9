#include "client/ctl/flags.h"

#include <gtest/gtest.h>

namespace credbroker::ctl {
namespace {

TEST(Span, TakesDaysBesideTheUsualUnits) {
  EXPECT_EQ(*ParseSpan("30s"), absl::Seconds(30));
  EXPECT_EQ(*ParseSpan("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseSpan("7d"), absl::Hours(168));
  EXPECT_EQ(*ParseSpan("1d12h"), absl::Hours(36));
  EXPECT_EQ(*ParseSpan("0s"), absl::ZeroDuration());
  EXPECT_EQ(*ParseSpan("0d"), absl::ZeroDuration());
  EXPECT_EQ(*ParseSpan("1.5s"), absl::Milliseconds(1500));
}

class BadSpan : public ::testing::TestWithParam<const char*> {};
TEST_P(BadSpan, IsRefused) { EXPECT_FALSE(ParseSpan(GetParam()).ok()); }
INSTANTIATE_TEST_SUITE_P(Spans, BadSpan,
                         ::testing::Values("", "30", "-5s", "+5s", "inf", "s", "d", "-1d", "1dd",
                                           "5 s", "99999999999d", "9999999999999h", "x"));

TEST(MomentFlag, IsASpanFromNowOrATime) {
  const absl::Time now = absl::FromUnixSeconds(1000);
  EXPECT_EQ(ParseMoment("30m")->At(now), now + absl::Minutes(30));
  EXPECT_EQ(ParseMoment("2026-01-02T03:04:05Z")->At(now), absl::FromUnixSeconds(1767323045));
  EXPECT_EQ(ParseMoment("2026-01-02T04:04:05+01:00")->At(now), absl::FromUnixSeconds(1767323045));
  for (const char* bad :
       {"", "tomorrow", "2026-01-02", "infinite-future", "2026-13-01T00:00:00Z"}) {
    EXPECT_FALSE(ParseMoment(bad).ok()) << bad;
  }
}

TEST(HeaderFlag, LowersTheNameAndTrimsTheValue) {
  const auto header = ParseHeader("Retry-After:  30 ");
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->name(), "retry-after");
  EXPECT_EQ(header->value(), "30");
  EXPECT_EQ(ParseHeader("date: Mon, 1:2:3")->value(), "Mon, 1:2:3");
}

TEST(HeaderFlag, NeverQuotesAValue) {
  for (const char* bad : {"authorization s3cret", ": s3cret", "a b: s3cret"}) {
    const auto header = ParseHeader(bad);
    ASSERT_FALSE(header.ok()) << bad;
    EXPECT_EQ(header.status().message().find("s3cret"), absl::string_view::npos);
  }
}

TEST(PairFlag, SplitsAtTheFirstEqualSign) {
  EXPECT_EQ(ParsePair("a=b=c")->second, "b=c");
  EXPECT_EQ(ParsePair("a=")->second, "");
  EXPECT_FALSE(ParsePair("=b").ok());
  EXPECT_FALSE(ParsePair("ab").ok());
}

TEST(EnumFlag, OffersTheEnumsWordsAndTakesDashes) {
  FlagSet flags;
  v1::Outcome outcome = v1::OUTCOME_UNSPECIFIED;
  const Flag& flag = flags.EnumChoice("--outcome", "WORD", &outcome, "");
  EXPECT_EQ(flag.choices.front(), "success");
  EXPECT_TRUE(flag.set("rate-limited").ok());
  EXPECT_EQ(outcome, v1::OUTCOME_RATE_LIMITED);
  EXPECT_TRUE(flag.set("CANCELLED").ok());
  EXPECT_EQ(outcome, v1::OUTCOME_CANCELLED);
  EXPECT_FALSE(flag.set("unspecified").ok());
  EXPECT_FALSE(flag.set("").ok());
}

}  // namespace
}  // namespace credbroker::ctl
