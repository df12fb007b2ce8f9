#include "server/store/sealer.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace credbroker::store {
namespace {

constexpr char kText[] =
    "credbroker-keyring 1\n"
    "00000000000000aa 2026-01-31T09:00:00Z active AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    "00000000000000bb 2026-01-31T09:00:00Z decrypt-only "
    "//////////////////////////////////////////8=\n"
    "00000000000000cc 2026-01-31T09:00:00Z derive AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

std::shared_ptr<const Keyring> KeyringOf(absl::string_view text) {
  absl::StatusOr<Keyring> keyring = Keyring::Parse(text, "test");
  EXPECT_TRUE(keyring.ok()) << keyring.status();
  return std::make_shared<const Keyring>(*std::move(keyring));
}

// aa and bb change places.
std::shared_ptr<const Keyring> Rotated() {
  return KeyringOf(
      absl::StrReplaceAll(kText, {{" active", " decrypt-only"}, {" decrypt-only", " active"}}));
}

// As kText after its decrypt-only key was dropped, or as Rotated after aa was.
std::shared_ptr<const Keyring> WithOnly(absl::string_view id) {
  std::string kept = "credbroker-keyring 1\n";
  absl::StrAppend(&kept, id, " 2026-01-31T09:00:00Z active ",
                  id == "00000000000000aa" ? "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
                                           : "//////////////////////////////////////////8=",
                  "\n00000000000000cc 2026-01-31T09:00:00Z derive "
                  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  return KeyringOf(kept);
}

const SealContext kPlace{.store_id = "0123456789abcdef0123456789abcdef",
                         .kind = RowKind::kSecret,
                         .key = "cred-1",
                         .version = 7,
                         .binding = "openai|https://token|client"};

class SealerTest : public ::testing::Test {
 protected:
  const Sealer sealer_{KeyringOf(kText)};
};

TEST_F(SealerTest, OpensWhatItSealed) {
  for (size_t size : {0, 1, 15, 16, 17, 1'500, 1'000'000}) {
    const std::string plain(size, 'p');
    const std::string sealed = sealer_.Seal(kPlace, plain);
    EXPECT_EQ(sealed.size(), size + kSealOverhead);
    absl::StatusOr<core::Secret> opened = sealer_.Open(kPlace, sealed);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->reveal(), plain);
  }
}

TEST_F(SealerTest, NeverSealsTwiceAlikeAndNeverShowsThePlaintext) {
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    const std::string sealed = sealer_.Seal(kPlace, "sk-canary-sk-canary");
    EXPECT_EQ(sealed.find("canary"), std::string::npos);
    // Nonce and wrapped key together, and the ciphertext alone.
    EXPECT_TRUE(seen.insert(sealed.substr(9, 12)).second) << "a nonce was used twice";
    EXPECT_TRUE(seen.insert(sealed.substr(69)).second);
  }
}

TEST_F(SealerTest, OpensOnlyInItsOwnPlace) {
  const std::string sealed = sealer_.Seal(kPlace, "secret");
  std::vector<SealContext> others(7, kPlace);
  others[0].store_id = "ffffffffffffffffffffffffffffffff";
  others[1].kind = RowKind::kDocument;
  others[2].key = "cred-2";
  others[3].version = 8;
  others[4].binding = "openai|https://evil|client";
  // The same bytes in a row, cut elsewhere.
  others[5].key = "cred-1o";
  others[5].binding = "penai|https://token|client";
  others[6].key = "";
  others[6].store_id = "0123456789abcdef0123456789abcdefcred-1";
  for (const SealContext& other : others) {
    EXPECT_TRUE(absl::IsDataLoss(sealer_.Open(other, sealed).status()));
  }
  EXPECT_TRUE(sealer_.Open(kPlace, sealed).ok());
}

TEST_F(SealerTest, TellsAnUnknownKeyFromDamage) {
  const std::string sealed = sealer_.Seal(kPlace, "secret");
  const Sealer stranger(WithOnly("00000000000000bb"));
  absl::Status status = stranger.Open(kPlace, sealed).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(status.message(), ::testing::HasSubstr("00000000000000aa"));
  EXPECT_TRUE(absl::IsNotFound(stranger.Rewrap(sealed).status()));
  // A keyring with the right id and the wrong bytes.
  const Sealer impostor(KeyringOf(absl::StrReplaceAll(kText, {{"AAEC", "AAED"}})));
  EXPECT_TRUE(absl::IsDataLoss(impostor.Open(kPlace, sealed).status()));
}

TEST_F(SealerTest, TheDeriveKeyOpensNothing) {
  std::string sealed = sealer_.Seal(kPlace, "secret");
  sealed[8] = '\xcc';
  EXPECT_TRUE(absl::IsNotFound(sealer_.Open(kPlace, sealed).status()));
}

TEST_F(SealerTest, RotatesByRewrapping) {
  const std::string old = sealer_.Seal(kPlace, "secret");
  const Sealer rotated(Rotated());
  EXPECT_EQ(rotated.Open(kPlace, old)->reveal(), "secret") << "before the rewrap";
  absl::StatusOr<std::string> rewrapped = rotated.Rewrap(old);
  ASSERT_TRUE(rewrapped.ok()) << rewrapped.status();
  EXPECT_EQ(*Sealer::SealedWith(old), 0xaau);
  EXPECT_EQ(*Sealer::SealedWith(*rewrapped), 0xbbu);
  EXPECT_EQ(*rotated.Rewrap(*rewrapped), *rewrapped) << "nothing to do";
  // The old key may now be dropped.
  const Sealer dropped(WithOnly("00000000000000bb"));
  EXPECT_EQ(dropped.Open(kPlace, *rewrapped)->reveal(), "secret");
  EXPECT_FALSE(dropped.Open(kPlace, old).ok());
}

TEST_F(SealerTest, NoDamageYieldsAPlaintext) {
  const std::string plain(1'500, 's');
  const std::string sealed = sealer_.Seal(kPlace, plain);
  SealContext elsewhere = kPlace;
  elsewhere.key = "cred-2";
  const std::string other = sealer_.Seal(elsewhere, plain);
  std::mt19937_64 random(1);
  int refused = 0;
  // Every byte of the envelope's head, then 1,000 offsets anywhere.
  for (size_t i = 0; i < kSealOverhead + 1'000; ++i) {
    const size_t at = i < kSealOverhead ? i : random() % sealed.size();
    SCOPED_TRACE(at);
    std::string flipped = sealed;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << random() % 8));
    std::string zeroed = sealed;
    zeroed.replace(at, 64, std::string(std::min<size_t>(64, sealed.size() - at), '\0'));
    std::string mixed = sealed.substr(0, at) + other.substr(at);
    for (const std::string& bad :
         {flipped, zeroed, mixed, sealed.substr(0, at), sealed + sealed.substr(0, at + 1)}) {
      if (bad == sealed) continue;
      absl::StatusOr<core::Secret> opened = sealer_.Open(kPlace, bad);
      EXPECT_FALSE(opened.ok());
      if (!opened.ok()) ++refused;
      // A rewrap looks at the head only; it must not make the value good again.
      absl::StatusOr<std::string> rewrapped = Sealer(Rotated()).Rewrap(bad);
      EXPECT_FALSE(rewrapped.ok() && sealer_.Open(kPlace, *rewrapped).ok());
    }
  }
  EXPECT_GT(refused, 5'000);
}

TEST_F(SealerTest, RefusesGarbageOfEverySize) {
  std::mt19937_64 random(1);
  for (size_t size = 0; size < 300; ++size) {
    std::string garbage;
    for (size_t i = 0; i < size; ++i) garbage.push_back(static_cast<char>(random()));
    if (size > 9) garbage.replace(0, 9, std::string("\x01\0\0\0\0\0\0\0\xaa", 9));
    EXPECT_FALSE(sealer_.Open(kPlace, garbage).ok());
    EXPECT_FALSE(sealer_.Rewrap(garbage).ok());
  }
}

TEST_F(SealerTest, WorksFromManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      for (int n = 0; n < 300; ++n) {
        const std::string plain = absl::StrCat(i, ":", n);
        absl::StatusOr<core::Secret> opened = sealer_.Open(kPlace, sealer_.Seal(kPlace, plain));
        ASSERT_TRUE(opened.ok());
        ASSERT_EQ(opened->reveal(), plain);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace credbroker::store
