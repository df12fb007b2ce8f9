#include "server/store/sealer.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace credbroker::store {
namespace {

constexpr char kEnvelopeVersion = 1;
constexpr size_t kHeaderBytes = 1 + 8;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kWrapBytes = kNonceBytes + kKeyBytes + kTagBytes;
static_assert(kSealOverhead == kHeaderBytes + kWrapBytes + kTagBytes);

// What OpenSSL refuses here it refuses only when broken or out of memory. Writing a row unsealed,
// or under a weak key, would be worse than stopping.
void Require(bool condition) {
  if (!condition) abort();
}

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* Bytes(char* text) { return reinterpret_cast<unsigned char*>(text); }

// One direction of AES-256-GCM with its context kept: making one costs more than sealing a row.
class Gcm {
 public:
  explicit Gcm(bool encrypt) : encrypt_(encrypt) {
    // Fetched by hand: the implicit fetch of EVP_aes_256_gcm() takes a lock for every use.
    EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    context_ = EVP_CIPHER_CTX_new();
    Require(cipher != nullptr && context_ != nullptr);
    Require(EVP_CipherInit_ex2(context_, cipher, nullptr, nullptr, encrypt, nullptr) == 1);
    EVP_CIPHER_free(cipher);
  }
  ~Gcm() { EVP_CIPHER_CTX_free(context_); }
  Gcm(const Gcm&) = delete;
  Gcm& operator=(const Gcm&) = delete;

  // `nonce` is kNonceBytes long.
  void Start(absl::string_view key, absl::string_view nonce, absl::string_view associated) {
    Require(key.size() == kKeyBytes && nonce.size() == kNonceBytes);
    Require(EVP_CipherInit_ex2(context_, nullptr, Bytes(key), Bytes(nonce), encrypt_, nullptr) ==
            1);
    Feed(nullptr, associated);
  }
  // `out` has room for the whole of `in`, and the tag after it when encrypting.
  void Encrypt(absl::string_view in, char* out) {
    Feed(Bytes(out), in);
    int rest = 0;
    Require(EVP_CipherFinal_ex(context_, Bytes(out) + in.size(), &rest) == 1);
    Require(EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, kTagBytes, out + in.size()) == 1);
  }
  // `in` ends with the tag. False: not authentic, and `out` must not be used.
  bool Decrypt(absl::string_view in, char* out) {
    const size_t size = in.size() - kTagBytes;
    Feed(Bytes(out), in.substr(0, size));
    char* tag = const_cast<char*>(in.data() + size);
    Require(EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1);
    int rest = 0;
    unsigned char none[kTagBytes];
    return EVP_CipherFinal_ex(context_, none, &rest) == 1;
  }

 private:
  void Feed(unsigned char* out, absl::string_view in) {
    Require(in.size() <= INT_MAX);
    int done = 0;
    if (in.empty()) return;
    Require(EVP_CipherUpdate(context_, out, &done, Bytes(in), static_cast<int>(in.size())) == 1);
  }

  const bool encrypt_;
  EVP_CIPHER_CTX* context_ = nullptr;
};

Gcm& Encryptor() {
  thread_local Gcm gcm(true);
  return gcm;
}

Gcm& Decryptor() {
  thread_local Gcm gcm(false);
  return gcm;
}

void AppendBigEndian(std::string& out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

// Every part with its length, so that no two contexts have the same bytes.
std::string AssociatedData(const SealContext& context) {
  std::string data;
  data.reserve(64 + context.store_id.size() + context.key.size() + context.binding.size());
  data.push_back(kEnvelopeVersion);
  data.push_back(static_cast<char>(context.kind));
  AppendBigEndian(data, context.version);
  for (absl::string_view part : {context.store_id, context.key, context.binding}) {
    AppendBigEndian(data, part.size());
    absl::StrAppend(&data, part);
  }
  return data;
}

absl::string_view ZeroNonce() {
  static constexpr char kZero[kNonceBytes] = {};
  return absl::string_view(kZero, kNonceBytes);
}

absl::Status NotAuthentic() {
  return absl::DataLossError("a sealed value is not authentic: damaged, moved or edited");
}

// Version, key id, nonce, wrapped key: the first kHeaderBytes + kWrapBytes of an envelope.
std::string Wrap(const Keyring& keyring, absl::string_view data_key, absl::string_view nonce) {
  std::string out(1, kEnvelopeVersion);
  AppendBigEndian(out, keyring.active_id());
  const absl::string_view master = keyring.Find(keyring.active_id())->reveal();
  const std::string header = out;
  absl::StrAppend(&out, nonce);
  out.resize(kHeaderBytes + kWrapBytes);
  Gcm& gcm = Encryptor();
  gcm.Start(master, nonce, header);
  gcm.Encrypt(data_key, out.data() + kHeaderBytes + kNonceBytes);
  return out;
}

// Into `data_key`, kKeyBytes long.
absl::Status Unwrap(const Keyring& keyring, absl::string_view sealed, char* data_key) {
  absl::StatusOr<KeyId> id = Sealer::SealedWith(sealed);
  if (!id.ok()) return id.status();
  const core::Secret* master = keyring.Find(*id);
  if (master == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("sealed with key ", KeyIdText(*id), ", which the keyring does not have"));
  }
  Gcm& gcm = Decryptor();
  gcm.Start(master->reveal(), sealed.substr(kHeaderBytes, kNonceBytes),
            sealed.substr(0, kHeaderBytes));
  const absl::string_view wrapped =
      sealed.substr(kHeaderBytes + kNonceBytes, kKeyBytes + kTagBytes);
  return gcm.Decrypt(wrapped, data_key) ? absl::OkStatus() : NotAuthentic();
}

}  // namespace

Sealer::Sealer(std::shared_ptr<const Keyring> keyring) : keyring_(std::move(keyring)) {}
Sealer::~Sealer() = default;

absl::StatusOr<KeyId> Sealer::SealedWith(absl::string_view sealed) {
  if (!sealed.empty() && sealed[0] != kEnvelopeVersion) {
    return absl::UnimplementedError(
        absl::StrCat("sealed with envelope version ", static_cast<unsigned char>(sealed[0]),
                     ", this build knows ", static_cast<int>(kEnvelopeVersion)));
  }
  if (sealed.size() < kSealOverhead) return NotAuthentic();
  KeyId id = 0;
  for (size_t i = 1; i < kHeaderBytes; ++i) id = id << 8 | static_cast<unsigned char>(sealed[i]);
  return id;
}

std::string Sealer::Seal(const SealContext& context, absl::string_view plaintext) const {
  char random[kKeyBytes + kNonceBytes];
  Require(RAND_priv_bytes(Bytes(random), sizeof random) == 1);
  const absl::string_view data_key(random, kKeyBytes);
  std::string out = Wrap(*keyring_, data_key, absl::string_view(random + kKeyBytes, kNonceBytes));
  const size_t start = out.size();
  out.resize(start + plaintext.size() + kTagBytes);
  Gcm& gcm = Encryptor();
  gcm.Start(data_key, ZeroNonce(), AssociatedData(context));
  gcm.Encrypt(plaintext, out.data() + start);
  core::WipeBytes(random, sizeof random);
  return out;
}

absl::StatusOr<core::Secret> Sealer::Open(const SealContext& context,
                                          absl::string_view sealed) const {
  char data_key[kKeyBytes];
  absl::Status unwrapped = Unwrap(*keyring_, sealed, data_key);
  if (!unwrapped.ok()) {
    core::WipeBytes(data_key, sizeof data_key);
    return unwrapped;
  }
  core::Secret plaintext = core::Secret::OfSize(sealed.size() - kSealOverhead);
  Gcm& gcm = Decryptor();
  gcm.Start(absl::string_view(data_key, kKeyBytes), ZeroNonce(), AssociatedData(context));
  core::WipeBytes(data_key, sizeof data_key);
  if (!gcm.Decrypt(sealed.substr(kHeaderBytes + kWrapBytes), plaintext.mutable_data())) {
    return NotAuthentic();  // the unauthentic plaintext is wiped with its Secret
  }
  return plaintext;
}

absl::StatusOr<std::string> Sealer::Rewrap(absl::string_view sealed) const {
  char random[kKeyBytes + kNonceBytes];
  absl::Status unwrapped = Unwrap(*keyring_, sealed, random);
  if (!unwrapped.ok()) {
    core::WipeBytes(random, sizeof random);
    return unwrapped;
  }
  std::string result(sealed);
  if (*SealedWith(sealed) != keyring_->active_id()) {
    Require(RAND_bytes(Bytes(random) + kKeyBytes, kNonceBytes) == 1);
    result = Wrap(*keyring_, absl::string_view(random, kKeyBytes),
                  absl::string_view(random + kKeyBytes, kNonceBytes));
    absl::StrAppend(&result, sealed.substr(kHeaderBytes + kWrapBytes));
  }
  core::WipeBytes(random, sizeof random);
  return result;
}

}  // namespace credbroker::store
