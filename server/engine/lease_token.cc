#include "server/engine/lease_token.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/strings/escaping.h"
#include "core/check.h"

namespace credbroker::engine {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kRefreshableBit = 0x80;
constexpr uint8_t kKinds = 3;

struct FreeMac {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

// Fetching and keying a context costs more than the MAC itself, so each thread keeps one.
struct ThreadContext {
  uint64_t codec = 0;
  std::unique_ptr<EVP_MAC_CTX, FreeMac> context;
};

EVP_MAC_CTX* NewContext(absl::string_view key) {
  static EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  CB_CHECK(hmac != nullptr);
  EVP_MAC_CTX* context = EVP_MAC_CTX_new(hmac);
  CB_CHECK(context != nullptr);
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
  CB_CHECK(EVP_MAC_init(context, reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                        params) == 1);
  return context;
}

// Room for every id: a few numbers, three names and the MAC.
class Writer {
 public:
  void Byte(uint8_t byte) { bytes_[size_++] = static_cast<char>(byte); }
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) Byte(static_cast<uint8_t>(value | 0x80));
    Byte(static_cast<uint8_t>(value));
  }
  void Name(absl::string_view name) {
    CB_CHECK(name.size() <= kMaxClaimNameBytes);
    Varint(name.size());
    std::memcpy(bytes_.data() + size_, name.data(), name.size());
    size_ += name.size();
  }
  // Where `count` more bytes go.
  char* Take(size_t count) {
    size_ += count;
    return bytes_.data() + size_ - count;
  }
  absl::string_view written() const { return {bytes_.data(), size_}; }

 private:
  static constexpr size_t kNumbers = 96;
  std::array<char, kNumbers + 3 * (kMaxClaimNameBytes + 2)> bytes_;
  size_t size_ = 0;
};

// Reads what is there and remembers whether anything was missing.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : rest_(bytes) {}

  uint8_t Byte() {
    if (rest_.empty()) return Bad();
    const uint8_t byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = Byte();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return Bad();
  }
  std::string Name() {
    const uint64_t size = Varint();
    if (size > kMaxClaimNameBytes || size > rest_.size()) {
      Bad();
      return "";
    }
    std::string name(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return name;
  }
  bool complete() const { return good_ && rest_.empty(); }

 private:
  uint8_t Bad() {
    good_ = false;
    rest_ = {};
    return 0;
  }
  absl::string_view rest_;
  bool good_ = true;
};

std::optional<core::LeaseClaims> ReadClaims(absl::string_view bytes) {
  Reader in(bytes);
  if (in.Byte() != kVersion) return std::nullopt;
  core::LeaseClaims claims;
  claims.seq = core::LeaseSeq(in.Varint());
  const uint64_t cell = in.Varint();
  claims.cell = static_cast<uint32_t>(cell);
  claims.epoch = in.Varint();
  claims.uid = core::Uid(in.Varint());
  claims.material_version = in.Varint();
  const uint8_t kind = in.Byte();
  claims.kind = static_cast<core::Kind>(kind & ~kRefreshableBit);
  claims.refreshable = (kind & kRefreshableBit) != 0;
  const uint64_t granted_ns = in.Varint();
  const uint64_t lifetime_ns = in.Varint();
  claims.granted = absl::FromUnixNanos(static_cast<int64_t>(granted_ns));
  claims.expires = claims.granted + absl::Nanoseconds(static_cast<int64_t>(lifetime_ns));
  claims.principal = in.Name();
  claims.provider = in.Name();
  claims.model = in.Name();
  if (!in.complete() || cell > UINT32_MAX || (kind & ~kRefreshableBit) >= kKinds) {
    return std::nullopt;
  }
  return claims;
}

uint64_t NextCodecNumber() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

}  // namespace

LeaseCodec::LeaseCodec(core::Secret key) : key_(std::move(key)), number_(NextCodecNumber()) {
  CB_CHECK(key_.size() == 32);
}

void LeaseCodec::Mac(absl::string_view bytes, char* out) const {
  thread_local ThreadContext mine;
  if (mine.codec != number_) {
    mine.context.reset(NewContext(key_.reveal()));
    mine.codec = number_;
  }
  EVP_MAC_CTX* context = mine.context.get();
  unsigned char full[32];
  size_t size = 0;
  // An init without a key starts over with the key the context has.
  CB_CHECK(EVP_MAC_init(context, nullptr, 0, nullptr) == 1);
  CB_CHECK(EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(bytes.data()),
                          bytes.size()) == 1);
  CB_CHECK(EVP_MAC_final(context, full, &size, sizeof(full)) == 1 && size == sizeof(full));
  std::memcpy(out, full, kMacBytes);
}

std::string LeaseCodec::Encode(const core::LeaseClaims& claims) const {
  return Encode(LeaseFields{.seq = claims.seq,
                            .cell = claims.cell,
                            .epoch = claims.epoch,
                            .uid = claims.uid,
                            .material_version = claims.material_version,
                            .kind = claims.kind,
                            .refreshable = claims.refreshable,
                            .granted = claims.granted,
                            .expires = claims.expires,
                            .principal = claims.principal,
                            .provider = claims.provider,
                            .model = claims.model});
}

std::string LeaseCodec::Encode(const LeaseFields& lease) const {
  Writer out;
  out.Byte(kVersion);
  out.Varint(lease.seq.number());
  out.Varint(lease.cell);
  out.Varint(lease.epoch);
  out.Varint(lease.uid.number());
  out.Varint(lease.material_version);
  out.Byte(static_cast<uint8_t>(static_cast<uint8_t>(lease.kind) |
                                (lease.refreshable ? kRefreshableBit : 0)));
  out.Varint(static_cast<uint64_t>(absl::ToUnixNanos(lease.granted)));
  out.Varint(static_cast<uint64_t>(absl::ToInt64Nanoseconds(lease.expires - lease.granted)));
  out.Name(lease.principal);
  out.Name(lease.provider);
  out.Name(lease.model);
  const absl::string_view body = out.written();
  Mac(body, out.Take(kMacBytes));
  std::string text;
  absl::WebSafeBase64Escape(out.written(), &text);
  return text;
}

std::optional<core::LeaseClaims> LeaseCodec::Decode(absl::string_view lease_id) const {
  if (lease_id.size() > kMaxLeaseIdBytes) return std::nullopt;
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(lease_id, &bytes)) return std::nullopt;
  if (bytes.size() <= kMacBytes) return std::nullopt;
  const absl::string_view all(bytes);
  const absl::string_view body = all.substr(0, all.size() - kMacBytes);
  char mac[kMacBytes];
  Mac(body, mac);
  if (CRYPTO_memcmp(mac, all.data() + body.size(), kMacBytes) != 0) return std::nullopt;
  // Base64 ignores spaces and the last bits: two texts must not name one lease.
  std::string canonical;
  absl::WebSafeBase64Escape(bytes, &canonical);
  if (canonical != lease_id) return std::nullopt;
  return ReadClaims(body);
}

}  // namespace credbroker::engine
