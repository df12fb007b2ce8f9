#include "client/ctl/table.h"

#include <sstream>

#include <gtest/gtest.h>

namespace credbroker::ctl {
namespace {

Table Sample() {
  Table table({{"ID", false, true}, {"N", true}, {"NOTE"}});
  table.Add({"東京/alice", "7", "x"});
  table.Add({"b", "1234", ""});
  return table;
}

std::string Printed(const Table& table, const Style& style) {
  std::ostringstream out;
  table.Print(out, style);
  return out.str();
}

TEST(Table, AlignsByColumnsOfTheTerminal) {
  EXPECT_EQ(Printed(Sample(), {}),
            "ID             N  NOTE\n"
            "東京/alice     7  x\n"
            "b           1234  -\n");
}

TEST(Table, HasNoTrailingSpaces) {
  Table table({{"A"}, {"LONG TITLE"}});
  table.Add({"1", "x"});
  EXPECT_EQ(Printed(table, {}), "A  LONG TITLE\n1  x\n");
}

TEST(Table, ShrinksTheColumnThatMayFirst) {
  Table table({{"ID", false, true}, {"STATE"}});
  table.Add({"a-very-long-credential-id", "available"});
  EXPECT_EQ(Printed(table, {.width = 22}),
            "ID           STATE\n"
            "a-very-lon…  available\n");
}

TEST(Table, CutsTheLineWhereNothingCanShrink) {
  Table table({{"ID"}, {"STATE"}});
  table.Add({"abcdef", "available"});
  EXPECT_EQ(Printed(table, {.width = 12}), "ID      STA…\nabcdef  ava…\n");
  EXPECT_EQ(Printed(table, {.width = 7}), "ID\nabcdef\n");
}

TEST(Table, PaintsCellsWithoutMovingColumns) {
  Table table({{"A"}, {"B"}});
  table.Add({Cell("x", Color::kGreen), "y"});
  EXPECT_EQ(Printed(table, {.color = true}),
            "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[32mx\x1b[0m  y\n");
}

TEST(Table, EscapesCells) {
  Table table({{"A"}});
  table.Add({"x\x1b[2J"});
  EXPECT_EQ(Printed(table, {}), "A\nx\\x1b[2J\n");
}

TEST(Table, IsNothingWithoutRows) { EXPECT_EQ(Printed(Table({{"A"}}), {}), ""); }

TEST(Facts, AlignsValuesAndLeavesOutEmptyOnes) {
  Facts facts;
  facts.Add("id", "a");
  facts.Add("empty", "");
  facts.Add("provider", "b\n");
  std::ostringstream out;
  facts.Print(out, {});
  EXPECT_EQ(out.str(), "id        a\nprovider  b\\n\n");
}

}  // namespace
}  // namespace credbroker::ctl
