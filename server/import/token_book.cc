#include "server/import/token_book.h"

#include <utility>

#include "server/import/token_hash.h"

namespace credbroker::import {

using engine::MutexLock;

TokenBook::TokenBook(std::string salt) : salt_(std::move(salt)) {}

TokenBook::Hash TokenBook::HashOf(const core::Secret& token) const {
  return KeyedHash(salt_, token.reveal());
}

uint64_t TokenBook::IdHash(absl::string_view id) const { return KeyedHash("credential id", id); }

void TokenBook::Own(Hash token, absl::string_view id) {
  const uint64_t owner = IdHash(id);
  MutexLock lock(mutex_);
  owned_[token] = owner;
}

void TokenBook::Disown(Hash token, absl::string_view id) {
  const uint64_t owner = IdHash(id);
  MutexLock lock(mutex_);
  const auto at = owned_.find(token);
  if (at != owned_.end() && at->second == owner) owned_.erase(at);
}

void TokenBook::Spend(Hash token, absl::Time when) {
  MutexLock lock(mutex_);
  spent_[token] = when;
}

std::optional<uint64_t> TokenBook::OwnerOf(Hash token) const {
  MutexLock lock(mutex_);
  const auto at = owned_.find(token);
  if (at == owned_.end()) return std::nullopt;
  return at->second;
}

bool TokenBook::OwnedByOther(Hash token, absl::string_view id) const {
  const uint64_t owner = IdHash(id);
  MutexLock lock(mutex_);
  const auto at = owned_.find(token);
  return at != owned_.end() && at->second != owner;
}

bool TokenBook::Owned(Hash token) const {
  MutexLock lock(mutex_);
  return owned_.contains(token);
}

bool TokenBook::Spent(Hash token, absl::Time now) const {
  MutexLock lock(mutex_);
  const auto at = spent_.find(token);
  return at != spent_.end() && now - at->second <= kSpentRetention;
}

void TokenBook::Expire(absl::Time now) {
  MutexLock lock(mutex_);
  absl::erase_if(spent_, [&](const auto& spent) { return now - spent.second > kSpentRetention; });
}

size_t TokenBook::size() const {
  MutexLock lock(mutex_);
  return owned_.size();
}

}  // namespace credbroker::import
