// What is remembered of a file or an entry of one that was applied: the base of the next three-way
// merge. Stored sealed by the engine under the credential's id.
//
// Pure values and functions; thread-compatible.
#ifndef CREDBROKER_SERVER_IMPORT_APPLIED_ENTRY_H_
#define CREDBROKER_SERVER_IMPORT_APPLIED_ENTRY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/credential.h"
#include "server/import/token_book.h"

namespace credbroker::import {

struct AppliedEntry {
  std::string id, source, path;
  std::string digest;                                        // of the file and of who refreshes
  std::map<std::string, std::string> fields;                 // as ParsedCredential::fields
  std::map<std::string, TokenBook::Hash> secrets;            // by SecretHashes()
  std::vector<std::pair<TokenBook::Hash, absl::Time>> seen;  // refresh tokens it ever brought
  absl::Time applied = absl::UnixEpoch();
  std::optional<absl::Time> retired;  // its file went away

  bool Saw(TokenBook::Hash refresh_token) const;
  // Notes a refresh token; forgets those older than 90 days and all but the latest 64.
  void See(TokenBook::Hash refresh_token, absl::Time now);
};

std::string EncodeApplied(const AppliedEntry& entry);
// Nothing for bytes that are no such record: then nothing was ever applied.
std::optional<AppliedEntry> DecodeApplied(absl::string_view bytes);

// Keyed hashes of the fields that are there: "refresh_token", "extra.NAME", "expire_time" ...
std::map<std::string, TokenBook::Hash> SecretHashes(const core::SecretMaterial& secret,
                                                    const TokenBook& book);

// What tells one login from another: the refresh token, else the API key, the access token, the
// service account, the cookie. Nothing where none is there.
std::optional<TokenBook::Hash> PrimaryHash(const std::map<std::string, TokenBook::Hash>& secrets);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_APPLIED_ENTRY_H_
