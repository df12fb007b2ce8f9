#include "server/config/scalar.h"

#include <gtest/gtest.h>

#include "credbroker/config/v1/config.pb.h"
#include "server/config/problems.h"

namespace credbroker::config {
namespace {

TEST(Duration, IsReadAsWritten) {
  EXPECT_EQ(ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(ParseDuration("15m"), absl::Minutes(15));
  EXPECT_EQ(ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(ParseDuration("1.5h"), absl::Minutes(90));
  EXPECT_EQ(ParseDuration("7d"), absl::Hours(168));
  EXPECT_EQ(ParseDuration("0s"), absl::ZeroDuration());
  EXPECT_EQ(ParseDuration("2m0.25s"), absl::Milliseconds(120'250));
}

TEST(Duration, IsRefusedIfItCouldMeanSomethingElse) {
  for (const char* const text :
       {"", "5", "s", "5 s", "-5s", "5S", "5sec", "5m1h", "5s5s", "1.s", ".5s", "1e3s", "inf",
        "99999999999999s", "10001d", "5s ", "5us", "1h-5m", "+5s"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
}

TEST(Duration, IsWrittenAsItIsRead) {
  for (const char* const text : {"0s", "250ms", "2m", "1h30m", "7d", "1d1h1m1s1ms"}) {
    EXPECT_EQ(DurationText(*ParseDuration(text)), text);
  }
  EXPECT_EQ(DurationText(absl::Seconds(90)), "1m30s");
}

TEST(EnumValue, IsFoundByShortAndFullNameInAnyCase) {
  const auto& type = *v1::Strategy_descriptor();
  for (const char* const text : {"least-in-flight", "least_in_flight", "Least-In-Flight",
                                 "STRATEGY_LEAST_IN_FLIGHT", "strategy-least-in-flight"}) {
    ASSERT_NE(FindEnumValue(type, text), nullptr) << text;
    EXPECT_EQ(FindEnumValue(type, text)->number(), v1::STRATEGY_LEAST_IN_FLIGHT);
  }
  for (const char* const text : {"", "unspecified", "STRATEGY_UNSPECIFIED", "4", "leastinflight"}) {
    EXPECT_EQ(FindEnumValue(type, text), nullptr) << text;
  }
}

TEST(Nearest, IsAMisspellingAndNotJustAnyWord) {
  EXPECT_EQ(Nearest("lables", {"limits", "labels"}), "labels");
  EXPECT_EQ(Nearest("maxParked", {"max_calls", "max_parked"}), "max_parked");
  EXPECT_EQ(Nearest("colour", {"limits", "labels"}), "");
}

}  // namespace
}  // namespace credbroker::config
