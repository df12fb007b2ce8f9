// Which refresh tokens this broker owns or has spent, by keyed hash: two owners of a rotating token
// destroy it, and a spent one revokes the whole login at some providers.
//
// In memory: the importer fills it from the store at start; who spends a token writes it to the
// store (engine::UpdateRequest::spent, Engine::SpendTokens) and then tells this book.
//
// Thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_TOKEN_BOOK_H_
#define CREDBROKER_SERVER_IMPORT_TOKEN_BOOK_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/secret.h"
#include "server/engine/ledger.h"
#include "server/engine/mutex.h"

namespace credbroker::import {

using engine::kSpentRetention;

class TokenBook {
 public:
  // 64 bits of an HMAC-SHA-256: enough that two of a million tokens are never mistaken, and it
  // tells nothing of the token.
  using Hash = uint64_t;

  explicit TokenBook(std::string salt);

  Hash HashOf(const core::Secret& token) const;

  // `id` holds the token now. A token has one owner: the latest call counts.
  void Own(Hash token, absl::string_view id);
  // `id` holds it no more; nothing if another one does.
  void Disown(Hash token, absl::string_view id);
  // It was exchanged at `when`; kept for 90 days.
  void Spend(Hash token, absl::Time when);

  // Who holds it, as OwnerHash of its id; nothing: nobody.
  std::optional<uint64_t> OwnerOf(Hash token) const;
  uint64_t OwnerHash(absl::string_view id) const { return IdHash(id); }
  bool OwnedByOther(Hash token, absl::string_view id) const;
  bool Owned(Hash token) const;
  bool Spent(Hash token, absl::Time now) const;
  // Forgets spent tokens older than 90 days.
  void Expire(absl::Time now);
  size_t size() const;

 private:
  uint64_t IdHash(absl::string_view id) const;

  const std::string salt_;
  mutable engine::Mutex mutex_;
  // The owner is a hash of its id: a book of 50,000 names would be the larger part of it.
  absl::flat_hash_map<Hash, uint64_t> owned_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Hash, absl::Time> spent_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_TOKEN_BOOK_H_
