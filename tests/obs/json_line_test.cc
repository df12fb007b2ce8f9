#include "server/obs/json_line.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace credbroker::obs {
namespace {

std::string Quoted(absl::string_view text, size_t max_bytes = 4096) {
  std::string out;
  AppendJsonString(text, max_bytes, out);
  return out;
}

struct Case {
  const char* what;
  std::string in;
  std::string out;
};

class JsonString : public testing::TestWithParam<Case> {};

TEST_P(JsonString, IsEscaped) { EXPECT_EQ(Quoted(GetParam().in), GetParam().out); }

const std::string kBad = "\xEF\xBF\xBD";
INSTANTIATE_TEST_SUITE_P(
    Table, JsonString,
    testing::Values(Case{"quotes", "a\"b\\c", R"("a\"b\\c")"},
                    Case{"newline", "a\nb\r\t", R"("a\nb\r\t")"},
                    Case{"control", std::string("\0\x1f\x7f", 3), R"("\u0000\u001f\u007f")"},
                    Case{"utf8", "é漢😀", "\"é漢😀\""},
                    Case{"line_separator", "\xE2\x80\xA8\xE2\x80\xA9", R"("\u2028\u2029")"},
                    Case{"stray_continuation", "\x80x", "\"" + kBad + "x\""},
                    Case{"overlong_slash", "\xC0\xAF", "\"" + kBad + kBad + "\""},
                    Case{"overlong_three", "\xE0\x80\xAF", "\"" + kBad + kBad + kBad + "\""},
                    Case{"surrogate", "\xED\xA0\x80", "\"" + kBad + kBad + kBad + "\""},
                    Case{"above_unicode", "\xF4\x90\x80\x80",
                         "\"" + kBad + kBad + kBad + kBad + "\""},
                    Case{"cut_sequence", "a\xE6\xBC", "\"a" + kBad + kBad + "\""}),
    [](const testing::TestParamInfo<Case>& row) { return row.param.what; });

TEST(JsonStringLength, IsCutAtACharacterAndMarked) {
  EXPECT_EQ(Quoted("abcd", 4), "\"abcd\"");
  EXPECT_EQ(Quoted("abcde", 4), "\"abcd…\"");
  EXPECT_EQ(Quoted("ab漢字", 6), "\"ab漢…\"");
}

TEST(JsonLine, IsValidJsonForAnyBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    JsonLine line(30);
    line.AddString(bytes, bytes);
    EXPECT_TRUE(nlohmann::json::accept(std::move(line).Finish()));
  }
}

TEST(JsonLine, HasNullForWhatJsonHasNoNumberFor) {
  JsonLine line(10);
  line.AddDouble("a", std::numeric_limits<double>::quiet_NaN());
  line.AddDouble("b", 0.5);
  EXPECT_EQ(std::move(line).Finish(), R"({"a":null,"b":0.5})");
}

}  // namespace
}  // namespace credbroker::obs
