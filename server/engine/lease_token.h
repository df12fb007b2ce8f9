// Lease ids: the claims of a lease and a MAC over them, as url-safe text. Claims are not secret;
// the MAC makes them unforgeable, also across restarts (its key comes from the keyring).
//
// Form: base64url without padding of { version 1, fields, HMAC-SHA256 cut to 16 bytes }. HMAC was
// chosen over SipHash (a third of its time) because 0.2 us outside the pool's lock buys an ordinary
// 256-bit key.
//
// Thread-safety: all functions may be called from any thread; each thread keeps its own MAC
// context.
#ifndef CREDBROKER_SERVER_ENGINE_LEASE_TOKEN_H_
#define CREDBROKER_SERVER_ENGINE_LEASE_TOKEN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "core/command.h"
#include "core/secret.h"

namespace credbroker::engine {

inline constexpr size_t kMaxLeaseIdBytes = 2048;
inline constexpr size_t kMaxClaimNameBytes = 400;  // principal, provider, model: each

// What a lease id is made from: core::LeaseClaims without copies of its names.
struct LeaseFields {
  core::LeaseSeq seq;
  uint32_t cell = 0;
  uint64_t epoch = 0;
  core::Uid uid;
  uint64_t material_version = 0;
  core::Kind kind = core::Kind::kApiKey;
  bool refreshable = false;
  absl::Time granted, expires;
  absl::string_view principal, provider, model;
};

class LeaseCodec {
 public:
  // `key`: 32 bytes, Keyring::DeriveKey("lease-mac").
  explicit LeaseCodec(core::Secret key);

  // REQUIRES: each name is at most kMaxClaimNameBytes long.
  std::string Encode(const LeaseFields& lease) const;
  std::string Encode(const core::LeaseClaims& claims) const;
  // Nothing unless Encode with this key made exactly this text.
  std::optional<core::LeaseClaims> Decode(absl::string_view lease_id) const;

 private:
  static constexpr size_t kMacBytes = 16;
  void Mac(absl::string_view bytes, char* out) const;  // kMacBytes

  const core::Secret key_;
  const uint64_t number_;  // of this codec: tells a thread whose context it keeps
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_LEASE_TOKEN_H_
