// Seals what the store keeps: AES-256-GCM under a fresh data key per write, which is itself
// wrapped by the keyring's active key.
//
// Envelope: version (1 byte, 1), key id (8, big endian), nonce (12), wrapped data key (32) and its
// tag (16), ciphertext (as long as the plaintext), tag (16): 85 bytes more than the plaintext.
// The payload's nonce is zero: its data key encrypts this one message. The associated data binds
// the payload to its place (SealContext), so a sealed value copied to another row, version or
// store, or beside edited attributes, does not open. Random 96-bit nonces allow 2^32 seals under
// one active key; rotate before (NIST SP 800-38D, 8.3).
//
// Thread-safety: Seal, Open and Rewrap may be called from any thread.
#ifndef CREDBROKER_SERVER_STORE_SEALER_H_
#define CREDBROKER_SERVER_STORE_SEALER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/secret.h"
#include "server/store/keyring.h"
#include "server/store/store.h"

namespace credbroker::store {

// Where a sealed value belongs. All of it must be the same to open it.
struct SealContext {
  absl::string_view store_id;
  RowKind kind = RowKind::kMeta;
  absl::string_view key;
  uint64_t version = 0;
  // What else the value is only good for: for a secret the provider, token_url, client_id, proxy
  // and group, in an encoding without ambiguity.
  absl::string_view binding;
};

inline constexpr size_t kSealOverhead = 1 + 8 + 12 + 32 + 16 + 16;

class Sealer {
 public:
  explicit Sealer(std::shared_ptr<const Keyring> keyring);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  // Never fails: without random numbers or memory the process stops.
  std::string Seal(const SealContext& context, absl::string_view plaintext) const;

  //   kNotFound  sealed with a key the keyring lacks: the row may be fine, the keyring is not. A
  //              flipped bit in the key id looks the same, so judge by how many rows say it.
  //   kDataLoss  not authentic: damaged, truncated, moved, or its attributes were edited
  //   kUnimplemented  an envelope version this build does not know
  absl::StatusOr<core::Secret> Open(const SealContext& context, absl::string_view sealed) const;

  // The same value with its data key wrapped by the active key; the payload is not opened, so no
  // context is needed. Returns it unchanged if it is so already. Errors as Open, of the wrapping.
  absl::StatusOr<std::string> Rewrap(absl::string_view sealed) const;

  // The id in the envelope; kDataLoss if it is too short to have one.
  static absl::StatusOr<KeyId> SealedWith(absl::string_view sealed);

 private:
  const std::shared_ptr<const Keyring> keyring_;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SEALER_H_
