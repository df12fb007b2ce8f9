#include "credbroker/client/secret.h"

#include <sstream>
#include <type_traits>

#include "gtest/gtest.h"

namespace credbroker::client {
namespace {

TEST(Secret, WipesTheStringItWasTakenFrom) {
  std::string source = "sk-1234567890abcdefghij-long-enough-for-the-heap";
  const char* bytes = source.data();
  const size_t size = source.size();
  const Secret secret = Secret::TakeFrom(source);
  EXPECT_TRUE(source.empty());
  EXPECT_EQ(secret.reveal(), "sk-1234567890abcdefghij-long-enough-for-the-heap");
  // The string keeps its buffer.
  for (size_t i = 0; i < size; ++i) EXPECT_EQ(bytes[i], '\0') << i;
}

TEST(Secret, IsEmptyAfterAWipeOrAMove) {
  Secret one{"sk-1"};
  Secret two = std::move(one);
  EXPECT_TRUE(one.empty());  // NOLINT(bugprone-use-after-move): that is what is asked
  EXPECT_EQ(two.reveal(), "sk-1");
  two.Wipe();
  EXPECT_TRUE(two.empty());
}

TEST(Secret, PrintsNothingOfItself) {
  static_assert(!std::is_copy_constructible_v<Secret>);
  std::ostringstream out;
  PrintTo(Secret{"sk-1"}, &out);
  EXPECT_EQ(out.str(), "[secret]");
}

}  // namespace
}  // namespace credbroker::client
