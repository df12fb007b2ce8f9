#include "server/obs/trace.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace credbroker::obs {
namespace {

constexpr char kHeader[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(Traceparent, IsReadAndWrittenBack) {
  const auto trace = ParseTraceparent(kHeader);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->TraceId(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace->SpanId(), "00f067aa0ba902b7");
  EXPECT_TRUE(trace->sampled);
  EXPECT_EQ(trace->Traceparent(), kHeader);
}

TEST(Traceparent, OfALaterVersionIsReadAsFarAsItIsKnown) {
  for (const char* header : {"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
                             "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra"}) {
    const auto trace = ParseTraceparent(header);
    ASSERT_TRUE(trace.has_value()) << header;
    EXPECT_EQ(trace->Traceparent(), kHeader);
  }
}

class BadTraceparent : public testing::TestWithParam<std::string> {};

TEST_P(BadTraceparent, IsNoTrace) { EXPECT_FALSE(ParseTraceparent(GetParam()).has_value()); }

INSTANTIATE_TEST_SUITE_P(
    Table, BadTraceparent,
    testing::Values("", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                    "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
                    "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
                    " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e473\xFF-00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 "));

TEST(TraceContext, AChildKeepsTheTraceAndGetsItsOwnSpan) {
  std::mt19937_64 random(1);
  const TraceContext parent = *ParseTraceparent(kHeader);
  const TraceContext child = ChildOf(parent, random);
  EXPECT_EQ(child.TraceId(), parent.TraceId());
  EXPECT_NE(child.SpanId(), parent.SpanId());
  EXPECT_TRUE(child.sampled);
  EXPECT_TRUE(child.valid());
}

TEST(TraceContext, ANewTraceIsValidAndUnsampled) {
  std::mt19937_64 random(1);
  const TraceContext trace = NewTrace(random);
  EXPECT_TRUE(trace.valid());
  EXPECT_FALSE(trace.sampled);
  EXPECT_EQ(ParseTraceparent(trace.Traceparent()), trace);
}

TEST(ScopedTrace, RestoresTheOneBefore) {
  std::mt19937_64 random(1);
  const TraceContext outer = NewTrace(random);
  const TraceContext inner = NewTrace(random);
  EXPECT_FALSE(CurrentTrace().valid());
  {
    const ScopedTrace outer_scope(outer);
    {
      const ScopedTrace inner_scope(inner);
      EXPECT_EQ(CurrentTrace(), inner);
    }
    EXPECT_EQ(CurrentTrace(), outer);
  }
  EXPECT_FALSE(CurrentTrace().valid());
}

}  // namespace
}  // namespace credbroker::obs
