// The keys that seal the store, read from a file only its owner may read.
//
//   credbroker-keyring 1
//   # id              created              state         32 bytes in base64
//   9f3c2a1b00d4e5f6  2026-01-31T09:00:00Z active        3q2+7w...=
//   0011223344556677  2025-01-31T09:00:00Z decrypt-only  ...
//   8899aabbccddeeff  2025-01-31T09:00:00Z derive        ...
//
// Exactly one key is active: it seals what is written. decrypt-only keys open what older writes
// left, until every row is rewrapped. Exactly one key is `derive`: it never seals; other keys come
// from it (DeriveKey). It is a line of its own so that rotating the sealing keys leaves derived
// keys alone: lease ids made before a restart or a rotation stay valid. Replacing the derive line
// makes every outstanding lease id unknown.
//
// Thread-safety: immutable once made.
#ifndef CREDBROKER_SERVER_STORE_KEYRING_H_
#define CREDBROKER_SERVER_STORE_KEYRING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/secret.h"

namespace credbroker::store {

inline constexpr size_t kKeyBytes = 32;

// Random; printed as 16 lower-case hex digits.
using KeyId = uint64_t;
std::string KeyIdText(KeyId id);

enum class KeyState { kActive, kDecryptOnly, kDerive };

struct KeyInfo {
  KeyId id = 0;
  absl::Time created;
  KeyState state = KeyState::kDecryptOnly;
};

class Keyring {
 public:
  // Reads a file of mode 0400 owned by us or root; a symlink to one is fine (Kubernetes).
  //   kNotFound          no such file; the message says how to make one
  //   kPermissionDenied  wider mode, other owner, or not readable
  //   kInvalidArgument   malformed; the message names the line, never its content
  static absl::StatusOr<Keyring> Load(const std::string& path);
  // `origin` names the source in messages.
  static absl::StatusOr<Keyring> Parse(absl::string_view text, absl::string_view origin);

  Keyring(Keyring&&) = default;
  Keyring& operator=(Keyring&&) = default;

  KeyId active_id() const { return keys_[active_].info.id; }
  // The 32 bytes of an active or decrypt-only key; nullptr: not in this keyring.
  const core::Secret* Find(KeyId id) const;
  std::vector<KeyInfo> List() const;

  // 32 bytes by HKDF-SHA256 (RFC 5869) from the derive key, with `purpose` ("lease-mac") as info.
  // The same for the same derive key and purpose, across restarts and rotations.
  core::Secret DeriveKey(absl::string_view purpose) const;

 private:
  struct Key {
    KeyInfo info;
    core::Secret bytes;
  };
  Keyring() = default;
  absl::Status AddLine(absl::string_view line);
  absl::Status Finish();

  std::vector<Key> keys_;
  size_t active_ = 0;
  size_t derive_ = 0;
};

// Makes a keyring file with one fresh active and one fresh derive key, mode 0400. The file appears
// complete or not at all. kAlreadyExists: there is one, untouched.
absl::Status InitKeyring(const std::string& path);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_KEYRING_H_
