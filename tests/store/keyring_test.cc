#include "server/store/keyring.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/store/scratch_folder.h"

namespace credbroker::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kBytes1[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";  // 00 01 02 .. 1f
constexpr char kBytes2[] = "//////////////////////////////////////////8=";

std::string Valid() {
  return absl::StrCat("credbroker-keyring 1\n# a comment\n\n",
                      "00000000000000aa 2026-01-31T09:00:00Z active ", kBytes1, "\n",
                      "00000000000000bb\t2025-01-31T09:00:00Z  decrypt-only ", kBytes2, "\n",
                      "00000000000000cc 2025-01-31T09:00:00Z derive ", kBytes1, "\n");
}

void WriteWithMode(const std::string& path, const std::string& content, mode_t mode) {
  unlink(path.c_str());
  std::ofstream(path) << content;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

TEST(Keyring, ReadsItsKeysAndTheirStates) {
  absl::StatusOr<Keyring> keyring = Keyring::Parse(Valid(), "test");
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  EXPECT_EQ(keyring->active_id(), 0xaau);
  ASSERT_NE(keyring->Find(0xaa), nullptr);
  std::string expected;
  for (int i = 0; i < 32; ++i) expected.push_back(static_cast<char>(i));
  EXPECT_EQ(keyring->Find(0xaa)->reveal(), expected);
  ASSERT_NE(keyring->Find(0xbb), nullptr);
  EXPECT_EQ(keyring->Find(0xbb)->reveal(), std::string(32, '\xff'));
  EXPECT_EQ(keyring->Find(0xcc), nullptr) << "the derive key must not open seals";
  EXPECT_EQ(keyring->Find(0xdd), nullptr);
  ASSERT_EQ(keyring->List().size(), 3u);
  EXPECT_EQ(keyring->List()[1].state, KeyState::kDecryptOnly);
}

struct Malformed {
  const char* what;
  const char* from;
  const char* to;
  const char* message;
};

TEST(Keyring, NamesTheLineOfEveryMistakeAndNeverShowsAKey) {
  const Malformed table[] = {
      {"another format", "credbroker-keyring 1", "credbroker-keyring 2", "line 1: expected"},
      {"empty", "credbroker-keyring 1", "", "line 1: expected"},
      {"two active keys", "decrypt-only", "active", "2 active keys, not 1"},
      {"no active key", "active", "decrypt-only", "0 active keys, not 1"},
      {"no derive key", "derive", "decrypt-only", "0 derive keys, not 1"},
      {"an unknown state", "decrypt-only", "revoked", "line 5: the state"},
      {"a short id", "00000000000000bb", "bb", "line 5: the id"},
      {"an id that is no number", "00000000000000bb", "zz000000000000bb", "line 5: the id"},
      {"an id twice", "00000000000000bb", "00000000000000aa", "line 5: the id is there twice"},
      {"a bad time", "2025-01-31T09:00:00Z", "yesterday", "line 5: the creation time"},
      {"a short key", "//8=", "8=", "line 5: the key"},
      {"a long key", "//8=", "////", "line 5: the key"},
      {"31 bytes", "//8=", "/w==", "line 5: the key"},
      {"not base64", "//8=", "!!8=", "line 5: the key"},
      {"a missing word", "decrypt-only ", "", "line 5: expected four words"},
      {"a word too many", "decrypt-only", "decrypt-only really", "line 5: expected four words"},
  };
  for (const Malformed& row : table) {
    SCOPED_TRACE(row.what);
    absl::StatusOr<Keyring> keyring =
        Keyring::Parse(absl::StrReplaceAll(Valid(), {{row.from, row.to}}), "file X");
    EXPECT_TRUE(absl::IsInvalidArgument(keyring.status())) << keyring.status();
    EXPECT_THAT(keyring.status().message(), HasSubstr(row.message));
    EXPECT_THAT(keyring.status().message(), HasSubstr("file X"));
    EXPECT_THAT(keyring.status().message(), Not(HasSubstr("AAEC")));
    EXPECT_THAT(keyring.status().message(), Not(HasSubstr("/////")));
  }
}

TEST(Keyring, RefusesEveryModeButOwnerRead) {
  ScratchFolder folder;
  const std::string path = folder / "keyring";
  for (mode_t mode : {0600, 0440, 0404, 0500, 0640, 0777, 01400}) {
    WriteWithMode(path, Valid(), mode);
    absl::Status status = Keyring::Load(path).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << mode << " " << status;
    EXPECT_THAT(status.message(), HasSubstr("it must be 0400"));
  }
  WriteWithMode(path, Valid(), 0400);
  EXPECT_TRUE(Keyring::Load(path).ok());
}

TEST(Keyring, RefusesAnotherUsersFile) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  ScratchFolder folder;
  const std::string path = folder / "keyring";
  WriteWithMode(path, Valid(), 0400);
  ASSERT_EQ(chown(path.c_str(), 12345, static_cast<gid_t>(-1)), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(Keyring::Load(path).status()));
}

TEST(Keyring, SaysWhenThereIsNone) {
  ScratchFolder folder;
  absl::Status status = Keyring::Load(folder / "keyring").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(status.message(), HasSubstr("keyring"));
}

TEST(Keyring, RefusesWhatIsNotAReasonableFile) {
  ScratchFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0400), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(Keyring::Load(folder / "fifo").status()));
  std::filesystem::create_directory(folder / "dir");
  EXPECT_FALSE(Keyring::Load(folder / "dir").ok());
  WriteWithMode(folder / "huge", Valid() + std::string(70'000, '#'), 0400);
  EXPECT_TRUE(absl::IsInvalidArgument(Keyring::Load(folder / "huge").status()));
}

TEST(Keyring, FollowsTheSymlinkOfAMountedSecret) {
  ScratchFolder folder;
  WriteWithMode(folder / "real", Valid(), 0400);
  std::filesystem::create_symlink(folder / "real", folder / "keyring");
  EXPECT_TRUE(Keyring::Load(folder / "keyring").ok());
}

TEST(InitKeyring, MakesAFreshPrivateKeyringOnce) {
  ScratchFolder folder;
  const std::string path = folder / "keyring";
  ASSERT_TRUE(InitKeyring(path).ok());
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, mode_t{0400});
  absl::StatusOr<Keyring> first = Keyring::Load(path);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::IsAlreadyExists(InitKeyring(path)));
  EXPECT_EQ(Keyring::Load(path)->active_id(), first->active_id()) << "the keyring was replaced";
  ASSERT_TRUE(InitKeyring(folder / "other").ok());
  absl::StatusOr<Keyring> other = Keyring::Load(folder / "other");
  EXPECT_NE(other->active_id(), first->active_id());
  EXPECT_NE(*other->Find(other->active_id()), *first->Find(first->active_id()));
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "")) {
    ++files;
    EXPECT_THAT(entry.path().filename().string(), ::testing::AnyOf("keyring", "other"));
  }
  EXPECT_EQ(files, 2) << "a draft was left behind";
}

TEST(InitKeyring, SaysWhereItCannotWrite) {
  ScratchFolder folder;
  absl::Status status = InitKeyring(folder / "no/keyring");
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("no/keyring"));
}

// Computed with another implementation of RFC 5869 (Python's hmac).
TEST(DeriveKey, IsHkdfSha256OfTheDeriveKey) {
  absl::StatusOr<Keyring> keyring = Keyring::Parse(Valid(), "test");
  const std::string expected = "4de77e2a2e43df362d266203f651deb2b61d7c4f072bf946b333dc4b42ddc263";
  std::string hex;
  const core::Secret derived = keyring->DeriveKey("lease-mac");
  for (unsigned char byte : derived.reveal()) hex += absl::StrCat(absl::Hex(byte, absl::kZeroPad2));
  EXPECT_EQ(hex, expected);
}

TEST(DeriveKey, DiffersByPurposeAndSurvivesRotation) {
  absl::StatusOr<Keyring> before = Keyring::Parse(Valid(), "test");
  absl::StatusOr<Keyring> after = Keyring::Parse(
      absl::StrReplaceAll(Valid(), {{"active", "decrypt-only"}, {"decrypt-only", "active"}}),
      "test");
  ASSERT_TRUE(after.ok()) << after.status();
  ASSERT_NE(before->active_id(), after->active_id());
  EXPECT_EQ(before->DeriveKey("lease-mac"), after->DeriveKey("lease-mac"));
  EXPECT_NE(before->DeriveKey("lease-mac"), before->DeriveKey("audit-chain"));
  absl::StatusOr<Keyring> replaced = Keyring::Parse(
      absl::StrReplaceAll(Valid(),
                          {{absl::StrCat("derive ", kBytes1), absl::StrCat("derive ", kBytes2)}}),
      "test");
  EXPECT_NE(before->DeriveKey("lease-mac"), replaced->DeriveKey("lease-mac"));
}

}  // namespace
}  // namespace credbroker::store
