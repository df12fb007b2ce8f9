// Text beside std::string.
#include "core/text.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

TEST(Text, KeepsAnyBytesOfAnyLength) {
  std::string bytes;
  for (int size = 0; size < 300; ++size) {
    const Text text = bytes;
    EXPECT_EQ(text.view(), bytes);
    EXPECT_EQ(text.size(), bytes.size());
    EXPECT_EQ(text.empty(), bytes.empty());
    EXPECT_EQ(text, bytes);
    EXPECT_EQ(std::string(text), bytes);
    bytes.push_back(static_cast<char>(size % 7 == 0 ? 0 : size));
  }
}

TEST(Text, CopiesAreTheirOwnAndMovesLeaveNothing) {
  for (const std::string bytes : {"", "1234567", "12345678", "a long one that needs a block"}) {
    Text first = bytes;
    Text second = first;
    EXPECT_EQ(first, second);
    const Text third = std::move(first);
    EXPECT_EQ(third, bytes);
    EXPECT_TRUE(first.empty());  // NOLINT: that is what is tested
    second = "other";
    EXPECT_EQ(third, bytes);
    second = third;
    EXPECT_EQ(second, bytes);
    const Text& itself = second;
    second = itself;
    EXPECT_EQ(second, bytes);
    second.clear();
    EXPECT_TRUE(second.empty());
  }
}

TEST(Text, OrdersAndComparesByBytes) {
  const std::vector<std::string> all = {"", "a", "ab", "abcdefg", "abcdefgh", "abcdefghi", "b"};
  for (const std::string& a : all) {
    for (const std::string& b : all) {
      EXPECT_EQ(Text(a) == Text(b), a == b);
      EXPECT_EQ(Text(a) == b, a == b);
      EXPECT_EQ(Text(a) != b, a != b);
      EXPECT_EQ(Text(a) < Text(b), a < b);
    }
  }
}

}  // namespace
}  // namespace credbroker::core
