// Keys of rows, what a secret is bound to, and sealing.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <utility>

#include "absl/strings/match.h"
#include "core/check.h"
#include "nlohmann/json.hpp"
#include "server/store/record.h"

namespace credbroker::store {
namespace {

void PutBig(std::string& out, uint64_t number, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(number >> shift));
  }
}

uint64_t GetBig(absl::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<uint8_t>(byte);
  return number;
}

std::string Attribute(const nlohmann::json& attributes, const char* name) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

}  // namespace

std::string HistoryPrefix(absl::string_view id, core::Uid uid) {
  std::string key(id);
  key.push_back('\0');
  PutBig(key, uid.number(), 8);
  return key;
}

std::string HistoryKey(absl::string_view id, core::Uid uid, uint64_t number) {
  std::string key = HistoryPrefix(id, uid);
  PutBig(key, number, 8);
  return key;
}

std::optional<HistoryName> ParseHistoryKey(absl::string_view key) {
  constexpr size_t kTail = 1 + 8 + 8;
  if (key.size() <= kTail) return std::nullopt;
  const absl::string_view tail = key.substr(key.size() - kTail);
  if (tail[0] != '\0') return std::nullopt;
  return HistoryName{.id = key.substr(0, key.size() - kTail),
                     .uid = core::Uid(GetBig(tail.substr(1, 8))),
                     .number = GetBig(tail.substr(9, 8))};
}

std::string BatchKey(absl::string_view batch_id, uint32_t part) {
  std::string key(batch_id);
  if (part == 0) return key;
  key.push_back('\0');
  PutBig(key, part, 4);
  return key;
}

std::string RequestKey(absl::string_view principal, absl::string_view request_id) {
  std::string key(principal);
  key.push_back('\0');
  key.append(request_id.data(), request_id.size());
  return key;
}

std::string SpentTokenKey(uint64_t hash) {
  std::string key(8, '\0');
  for (size_t i = 0; i < 8; ++i) key[i] = static_cast<char>(hash >> (56 - 8 * i) & 0xff);
  return key;
}

std::string BackoffKey(const core::BackoffRecord& backoff, absl::string_view blind) {
  std::string key = backoff.provider;
  key.push_back('\0');
  key.append(backoff.model);
  if (backoff.egress.empty()) return key;
  key.push_back('\0');
  key.append(blind.data(), blind.size());
  return key;
}

std::string SecretBinding(const core::Document& document) {
  std::string token_url, client_id;
  const absl::string_view json = document.attributes_json;
  // Parsing 50,000 objects at start only to find neither name costs too much. An escape may spell
  // a name in another way, so any backslash parses.
  if (absl::StrContains(json, "token_url") || absl::StrContains(json, "client_id") ||
      absl::StrContains(json, '\\')) {
    const nlohmann::json attributes =
        nlohmann::json::parse(document.attributes_json.str(), nullptr, false);
    if (attributes.is_object()) {
      token_url = Attribute(attributes, "token_url");
      client_id = Attribute(attributes, "client_id");
    }
  }
  std::string binding;
  const absl::string_view parts[] = {document.provider, document.group, document.proxy_url,
                                     document.base_url, token_url,      client_id};
  for (const absl::string_view part : parts) {
    PutBig(binding, part.size(), 4);
    binding.append(part.data(), part.size());
  }
  return binding;
}

RecordSealer::RecordSealer(std::shared_ptr<const Keyring> keyring, absl::string_view store_id,
                           uint64_t first_version)
    : blind_key_(keyring->DeriveKey("row-name")),
      sealer_(std::move(keyring)),
      store_id_(store_id),
      next_version_(first_version) {}

std::string RecordSealer::Blind(absl::string_view text) const {
  constexpr size_t kBytes = 16;
  const absl::string_view key = blind_key_.reveal();
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CB_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest,
                &size) != nullptr);
  CB_CHECK(size >= kBytes);
  return std::string(reinterpret_cast<const char*>(digest), kBytes);
}

Write RecordSealer::Put(RowKind kind, std::string key, absl::string_view plain,
                        absl::string_view binding) const {
  Write write{.kind = kind, .key = std::move(key), .value = {}, .version = next_version_++};
  write.value = sealer_.Seal({.store_id = store_id_,
                              .kind = kind,
                              .key = write.key,
                              .version = write.version,
                              .binding = binding},
                             plain);
  return write;
}

Write RecordSealer::Erase(RowKind kind, std::string key) {
  return Write{.kind = kind, .key = std::move(key), .value = std::nullopt};
}

absl::StatusOr<core::Secret> RecordSealer::Open(const Row& row, absl::string_view binding) const {
  return sealer_.Open({.store_id = store_id_,
                       .kind = row.kind,
                       .key = row.key,
                       .version = row.version,
                       .binding = binding},
                      row.value);
}

}  // namespace credbroker::store
