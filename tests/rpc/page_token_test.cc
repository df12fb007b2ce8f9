#include "server/rpc/page_token.h"

#include "gtest/gtest.h"

namespace credbroker::rpc {
namespace {

TEST(PageToken, ComesBackForTheSameQueryOnly) {
  const std::string token = EncodePageToken("q", {"id", "7"});
  EXPECT_EQ(DecodePageToken("q", token), (std::vector<std::string>{"id", "7"}));
  EXPECT_FALSE(DecodePageToken("other", token).has_value());
}

TEST(PageToken, RefusesEveryDamagedByte) {
  const std::string token = EncodePageToken("q", {"some/id", "7"});
  for (size_t i = 0; i < token.size(); ++i) {
    std::string damaged = token;
    damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
    if (damaged == token) continue;
    const auto parts = DecodePageToken("q", damaged);
    // The last characters may hold bits that belong to no byte.
    if (parts.has_value()) {
      EXPECT_EQ(*parts, *DecodePageToken("q", token));
    }
  }
  EXPECT_FALSE(DecodePageToken("q", "").has_value());
  EXPECT_FALSE(DecodePageToken("q", "!!").has_value());
  EXPECT_FALSE(DecodePageToken("q", std::string(5000, 'A')).has_value());
}

}  // namespace
}  // namespace credbroker::rpc
