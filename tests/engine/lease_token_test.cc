#include "server/engine/lease_token.h"

#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "gtest/gtest.h"

namespace credbroker::engine {
namespace {

core::LeaseClaims Claims() {
  core::LeaseClaims claims;
  claims.seq = core::LeaseSeq(300);
  claims.cell = 7;
  claims.epoch = 12;
  claims.uid = core::Uid(1ull << 60);
  claims.material_version = 3;
  claims.kind = core::Kind::kServiceAccount;
  claims.refreshable = true;
  claims.principal = "unix:/run/a.sock";
  claims.provider = "claude";
  claims.model = "opus\xff";
  claims.granted = absl::FromUnixNanos(1'800'000'000'123'456'789);
  claims.expires = claims.granted + absl::Seconds(120);
  return claims;
}

LeaseCodec Codec(char fill = 'k') { return LeaseCodec(core::Secret(std::string(32, fill))); }

TEST(LeaseTokenTest, WhatWasEncodedComesBackWhole) {
  const LeaseCodec codec = Codec();
  const std::string id = codec.Encode(Claims());
  const auto back = codec.Decode(id);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->seq, Claims().seq);
  EXPECT_EQ(back->cell, 7u);
  EXPECT_EQ(back->epoch, 12u);
  EXPECT_EQ(back->uid, Claims().uid);
  EXPECT_EQ(back->material_version, 3u);
  EXPECT_EQ(back->kind, core::Kind::kServiceAccount);
  EXPECT_TRUE(back->refreshable);
  EXPECT_EQ(back->principal, Claims().principal);
  EXPECT_EQ(back->provider, "claude");
  EXPECT_EQ(back->model, "opus\xff");
  EXPECT_EQ(back->granted, Claims().granted);
  EXPECT_EQ(back->expires, Claims().expires);
  for (const char c : id) {
    EXPECT_TRUE(absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_') << c;
  }
}

TEST(LeaseTokenTest, EveryChangedCharacterIsRefused) {
  const LeaseCodec codec = Codec();
  const std::string id = codec.Encode(Claims());
  for (size_t at = 0; at < id.size(); ++at) {
    for (const char other : {'A', 'B', '_', ' ', '=', '\0'}) {
      std::string forged = id;
      if (forged[at] == other) continue;
      forged[at] = other;
      EXPECT_FALSE(codec.Decode(forged).has_value()) << at << " " << other;
    }
  }
}

TEST(LeaseTokenTest, WhatIsCutOrAddedIsRefused) {
  const LeaseCodec codec = Codec();
  const std::string id = codec.Encode(Claims());
  for (size_t size = 0; size < id.size(); ++size) {
    EXPECT_FALSE(codec.Decode(id.substr(0, size)).has_value()) << size;
    EXPECT_FALSE(codec.Decode(id.substr(size + 1)).has_value()) << size;
  }
  EXPECT_FALSE(codec.Decode(id + "A").has_value());
  EXPECT_FALSE(codec.Decode(id + "=").has_value());
  EXPECT_FALSE(codec.Decode(" " + id).has_value());
  EXPECT_FALSE(codec.Decode(std::string(kMaxLeaseIdBytes + 4, 'A')).has_value());
}

TEST(LeaseTokenTest, AnotherKeyRefusesIt) {
  const LeaseCodec ours = Codec('k'), theirs = Codec('x');
  const std::string id = ours.Encode(Claims());
  EXPECT_FALSE(theirs.Decode(id).has_value());
  EXPECT_TRUE(ours.Decode(id).has_value());  // the thread's context was another one's meanwhile
}

TEST(LeaseTokenTest, ThreadsShareACodec) {
  const LeaseCodec codec = Codec();
  const std::string id = codec.Encode(Claims());
  std::thread other([&] { EXPECT_EQ(codec.Encode(Claims()), id); });
  EXPECT_TRUE(codec.Decode(id).has_value());
  other.join();
}

TEST(LeaseTokenTest, TheLongestNamesFit) {
  const LeaseCodec codec = Codec();
  core::LeaseClaims claims = Claims();
  claims.principal = claims.provider = claims.model = std::string(kMaxClaimNameBytes, 'n');
  const std::string id = codec.Encode(claims);
  EXPECT_LE(id.size(), kMaxLeaseIdBytes);
  EXPECT_TRUE(codec.Decode(id).has_value());
}

}  // namespace
}  // namespace credbroker::engine
