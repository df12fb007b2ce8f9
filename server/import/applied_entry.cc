#include "server/import/applied_entry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "credbroker/store/v1/records.pb.h"

namespace credbroker::import {
namespace {

namespace pb = ::credbroker::store::v1;

constexpr size_t kMaxSeen = 64;

void PutTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t ms = absl::ToUnixMillis(time);
  out->set_seconds(ms / 1000);
  out->set_nanos(static_cast<int32_t>(ms % 1000) * 1'000'000);
}

absl::Time GetTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string HashBytes(TokenBook::Hash hash) {
  std::string bytes(8, '\0');
  for (int i = 7; i >= 0; --i, hash >>= 8) bytes[static_cast<size_t>(i)] = static_cast<char>(hash);
  return bytes;
}

TokenBook::Hash FromBytes(absl::string_view bytes) {
  TokenBook::Hash hash = 0;
  for (const char c : bytes.substr(0, 8)) hash = hash << 8 | static_cast<unsigned char>(c);
  return hash;
}

}  // namespace

bool AppliedEntry::Saw(TokenBook::Hash refresh_token) const {
  return std::any_of(seen.begin(), seen.end(),
                     [&](const auto& each) { return each.first == refresh_token; });
}

void AppliedEntry::See(TokenBook::Hash refresh_token, absl::Time now) {
  std::erase_if(seen, [&](const auto& each) {
    return each.first == refresh_token || now - each.second > kSpentRetention;
  });
  seen.emplace_back(refresh_token, now);
  if (seen.size() > kMaxSeen) seen.erase(seen.begin());
}

std::string EncodeApplied(const AppliedEntry& entry) {
  pb::SourceDigestRecord record;
  record.set_credential_id(entry.id);
  record.set_source(entry.source);
  record.set_path(entry.path);
  record.set_digest(entry.digest);
  record.mutable_applied_fields()->insert(entry.fields.begin(), entry.fields.end());
  for (const auto& [name, hash] : entry.secrets) {
    (*record.mutable_applied_secret_hashes())[name] = HashBytes(hash);
  }
  for (const auto& [hash, time] : entry.seen) {
    pb::SeenTokenRecord* const seen = record.add_seen_refresh_tokens();
    seen->set_token_hash(hash);
    PutTime(time, seen->mutable_time());
  }
  PutTime(entry.applied, record.mutable_time());
  if (entry.retired) PutTime(*entry.retired, record.mutable_retire_time());
  return record.SerializeAsString();
}

std::optional<AppliedEntry> DecodeApplied(absl::string_view bytes) {
  pb::SourceDigestRecord record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  AppliedEntry entry;
  entry.id = record.credential_id();
  entry.source = record.source();
  entry.path = record.path();
  entry.digest = record.digest();
  entry.fields = {record.applied_fields().begin(), record.applied_fields().end()};
  for (const auto& [name, hash] : record.applied_secret_hashes()) {
    entry.secrets[name] = FromBytes(hash);
  }
  for (const pb::SeenTokenRecord& seen : record.seen_refresh_tokens()) {
    entry.seen.emplace_back(seen.token_hash(), GetTime(seen.time()));
  }
  entry.applied = GetTime(record.time());
  if (record.has_retire_time()) entry.retired = GetTime(record.retire_time());
  if (entry.id.empty() || entry.digest.empty()) return std::nullopt;
  return entry;
}

std::map<std::string, TokenBook::Hash> SecretHashes(const core::SecretMaterial& secret,
                                                    const TokenBook& book) {
  std::map<std::string, TokenBook::Hash> hashes;
  auto put = [&](std::string name, const core::Secret& value) {
    if (!value.empty()) hashes.emplace(std::move(name), book.HashOf(value));
  };
  put("access_token", secret.access_token);
  put("refresh_token", secret.refresh_token);
  put("id_token", secret.id_token);
  put("api_key", secret.api_key);
  put("client_secret", secret.client_secret);
  put("service_account", secret.service_account);
  put("cookie", secret.cookie);
  for (const auto& [name, value] : secret.extra) put(absl::StrCat("extra.", name), value);
  if (secret.expire_time) {
    put("expire_time", core::Secret(absl::StrCat(absl::ToUnixMillis(*secret.expire_time))));
  }
  return hashes;
}

std::optional<TokenBook::Hash> PrimaryHash(const std::map<std::string, TokenBook::Hash>& secrets) {
  for (const char* name :
       {"refresh_token", "api_key", "access_token", "service_account", "cookie"}) {
    if (const auto at = secrets.find(name); at != secrets.end()) return at->second;
  }
  return std::nullopt;
}

}  // namespace credbroker::import
