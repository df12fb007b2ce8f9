#include "core/secret.h"

#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

TEST(Secret, HoldsAnyBytesAndComparesThem) {
  const std::string bytes("a\0b", 3);
  EXPECT_EQ(Secret(bytes).reveal(), bytes);
  EXPECT_EQ(Secret(bytes), Secret(bytes));
  EXPECT_NE(Secret(bytes), Secret("a"));
  EXPECT_NE(Secret("ab"), Secret("ac"));
  EXPECT_NE(Secret("xb"), Secret("ab"));
  EXPECT_EQ(Secret(), Secret(""));
  EXPECT_TRUE(Secret().empty());
}

TEST(Secret, IsCopiedOnlyByName) {
  static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
  static_assert(std::is_nothrow_move_constructible_v<Secret>);
  Secret first("token");
  const Secret copy = first.Clone();
  Secret second = std::move(first);
  EXPECT_EQ(copy, second);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): a moved-from secret is empty
  second = Secret("other");
  EXPECT_EQ(second.reveal(), "other");
  second.Wipe();
  EXPECT_TRUE(second.empty());
}

TEST(Secret, TakesTheBytesAwayFromTheirSource) {
  std::string source = "a token longer than the small string buffer";
  const char* memory = source.data();
  const size_t size = source.size();
  const Secret taken = Secret::TakeFrom(source);
  EXPECT_EQ(taken.size(), size);
  EXPECT_TRUE(source.empty());
  // The string keeps its memory, which must hold nothing now.
  EXPECT_EQ(std::string(memory, source.capacity()), std::string(source.capacity(), '\0'));
}

TEST(Secret, IsPrintedWithoutItsBytes) {
  EXPECT_EQ(::testing::PrintToString(Secret("token")), "[secret]");
  EXPECT_EQ(::testing::PrintToString(Secret()), "[empty secret]");
}

}  // namespace
}  // namespace credbroker::core
