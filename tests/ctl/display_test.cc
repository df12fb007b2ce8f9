#include "client/ctl/display.h"

#include <gtest/gtest.h>

namespace credbroker::ctl {
namespace {

TEST(Printable, EscapesWhatDrivesATerminal) {
  EXPECT_EQ(Printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(Printable("a\r\nb\tc\x7f"), "a\\x0d\\nb\\tc\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(Printable(absl::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, EscapesWhatDeceivesAReader) {
  EXPECT_EQ(Printable("a\u202eb"), "a\\u202eb");
  EXPECT_EQ(Printable("a\u200bb\u2028\ufeff"), "a\\u200bb\\u2028\\ufeff");
}

TEST(Printable, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Printable("\xff"), "\\xff");
  EXPECT_EQ(Printable("\xc0\x80"), "\\xc0\\x80");                    // overlong
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(Printable("a\xe4\xb8"), "a\\xe4\\xb8");                  // cut short
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
}

TEST(Printable, LeavesTextOfAnyLanguageAlone) {
  const std::string text = "Zürich 東京 한국 é 🔑 ~!";
  EXPECT_EQ(Printable(text), text);
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("Zürich"), 6);
  EXPECT_EQ(DisplayWidth("東京"), 4);
  EXPECT_EQ(DisplayWidth("한국"), 4);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
  EXPECT_EQ(DisplayWidth("🔑"), 2);
}

TEST(Clip, NeverSplitsACharacterNorExceedsItsWidth) {
  EXPECT_EQ(Clip("abc", 3), "abc");
  EXPECT_EQ(Clip("abcd", 3), "ab…");
  EXPECT_EQ(Clip("東京都", 4), "東…");
  EXPECT_EQ(Clip("東京都", 5), "東京…");
  EXPECT_EQ(Clip("東京", 1), "…");
}

}  // namespace
}  // namespace credbroker::ctl
