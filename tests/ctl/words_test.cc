#include "client/ctl/words.h"

#include <gtest/gtest.h>

namespace credbroker::ctl {
namespace {

TEST(Words, SayEnumsWithoutTheirPrefix) {
  EXPECT_EQ(Word(v1::CAUSE_RATE_LIMITED), "rate_limited");
  EXPECT_EQ(Word(v1::CREDENTIAL_STATE_WAITING), "waiting");
  EXPECT_EQ(Word(v1::NETWORK_ERROR_KIND_DNS), "dns");
  EXPECT_EQ(Word(v1::CAUSE_UNSPECIFIED), "");
  EXPECT_EQ(Word(static_cast<v1::Cause>(4711)), "4711");
}

TEST(Words, SaySpansInTheirTwoGreatestUnits) {
  EXPECT_EQ(SpanWords(absl::Seconds(298)), "4 m 58 s");
  EXPECT_EQ(SpanWords(absl::Seconds(29)), "29 s");
  EXPECT_EQ(SpanWords(absl::Milliseconds(28200)), "29 s");
  EXPECT_EQ(SpanWords(absl::Milliseconds(300)), "<1 s");
  EXPECT_EQ(SpanWords(absl::ZeroDuration()), "0 s");
  EXPECT_EQ(SpanWords(absl::Minutes(60)), "1 h");
  EXPECT_EQ(SpanWords(absl::Hours(76)), "3 d 4 h");
  EXPECT_EQ(SpanWords(-absl::Seconds(61)), "1 m 1 s");
}

TEST(Words, SayTimesRelativeToNow) {
  const absl::Time now = absl::FromUnixSeconds(1767323045);
  EXPECT_EQ(Relative(now + absl::Seconds(298), now), "in 4 m 58 s");
  EXPECT_EQ(Relative(now - absl::Seconds(3), now), "3 s ago");
  EXPECT_EQ(Relative(now, now), "now");
  EXPECT_EQ(Absolute(now + absl::Seconds(5), now), "2026-01-02T03:04:10Z (in 5 s)");
}

TEST(Words, GroupDigits) {
  EXPECT_EQ(Count(0), "0");
  EXPECT_EQ(Count(999), "999");
  EXPECT_EQ(Count(1234567), "1,234,567");
  EXPECT_EQ(Count(-1000), "-1,000");
}

TEST(Words, HideAProxysPassword) {
  EXPECT_EQ(WithoutPassword("socks5://u:secret@host:1080"), "socks5://u:***@host:1080");
  EXPECT_EQ(WithoutPassword("http://u:a@b:c@host/x"), "http://u:***@host/x");
  EXPECT_EQ(WithoutPassword("http://host:8080"), "http://host:8080");
  EXPECT_EQ(WithoutPassword("u:pw@host"), "u:***@host");
  EXPECT_EQ(WithoutPassword("direct"), "direct");
}

TEST(Words, KeepNanosecondsOfTimesAndSpans) {
  google::protobuf::Timestamp time;
  FromTime(absl::FromUnixNanos(-1), &time);
  EXPECT_EQ(time.seconds(), -1);
  EXPECT_EQ(time.nanos(), 999999999);
  EXPECT_EQ(ToTime(time), absl::FromUnixNanos(-1));
}

}  // namespace
}  // namespace credbroker::ctl
