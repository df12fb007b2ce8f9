#include "server/session/outbox.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace credbroker::session {

std::unique_ptr<v1::SessionResponse> Outbox::Fresh() {
  if (spare_.empty()) return std::make_unique<v1::SessionResponse>();
  std::unique_ptr<v1::SessionResponse> message = std::move(spare_.back());
  spare_.pop_back();
  return message;
}

v1::SessionResponse& Outbox::Tail(size_t bytes) {
  if (ready_.empty() || (ready_.back().bytes > 0 && ready_.back().bytes + bytes > kMessageBytes)) {
    ready_.push_back({.message = Fresh()});
  }
  ready_.back().bytes += bytes;
  bytes_ += bytes;
  return *ready_.back().message;
}

bool Outbox::Revoke(v1::SessionRevocation revocation) {
  revocation.set_number(++revocation_number_);
  if (revocation.lease() == 0) {
    const auto [place, first] = by_subject_.try_emplace(
        std::make_pair(revocation.credential(), revocation.model()), revocations_.size());
    if (!first) {
      // One for both. It takes a place of its own, at the end, so that numbers still count up; the
      // earlier one's is left empty. They may come in another order than they were made in.
      v1::SessionRevocation& earlier = revocations_[place->second];
      if (earlier.covers() > revocation.covers()) revocation.set_covers(earlier.covers());
      if (earlier.reason() == v1::SESSION_REVOCATION_REASON_DELETED) {
        revocation.set_reason(earlier.reason());
      }
      earlier.Clear();
      place->second = revocations_.size();
      ++void_;
    }
  }
  revocations_.push_back(std::move(revocation));
  if (void_ > kMaxRevocations / 2) Compact();
  return revocations_.size() - void_ <= kMaxRevocations;
}

void Outbox::Compact() {
  size_t kept = 0;
  for (v1::SessionRevocation& revocation : revocations_) {
    if (revocation.number() == 0) continue;
    if (revocation.lease() == 0) {
      by_subject_[std::make_pair(revocation.credential(), revocation.model())] = kept;
    }
    revocations_[kept++].Swap(&revocation);
  }
  revocations_.resize(kept);
  void_ = 0;
}

std::unique_ptr<v1::SessionResponse> Outbox::Take() {
  if (empty()) return nullptr;
  std::unique_ptr<v1::SessionResponse> message;
  if (revocations_.size() > kRevocationsPerMessage && void_ > 0) Compact();
  if (revocations_.size() > kRevocationsPerMessage) {
    // All of them go ahead of the next grant, so this message has nothing else.
    const size_t count = std::min(kRevocationsPerMessage, AnnouncedBefore(0));
    if (count > 0) {
      message = Fresh();
      TakeRevocations(count, *message);
      return message;
    }
  }
  // Ahead of whatever grant waits: a client applies them first.
  const size_t count = std::min(kRevocationsPerMessage, AnnouncedBefore(1));
  if (ready_.empty()) {
    message = Fresh();
  } else {
    message = std::move(ready_.front().message);
    bytes_ -= ready_.front().bytes;
    ready_.pop_front();
    for (const v1::SessionCredential& credential : message->credentials()) {
      heard_ = std::max(heard_, credential.credential());
    }
  }
  TakeRevocations(count, *message);
  return message;
}

size_t Outbox::AnnouncedBefore(size_t waiting) const {
  if (revocations_.empty() || ready_.size() <= waiting) return revocations_.size();
  absl::flat_hash_set<uint32_t> revoked, unheard;
  for (const v1::SessionRevocation& revocation : revocations_) {
    if (revocation.credential() != 0) revoked.insert(revocation.credential());
  }
  for (size_t i = waiting; i < ready_.size(); ++i) {
    for (const v1::SessionCredential& credential : ready_[i].message->credentials()) {
      if (credential.credential() > heard_ && revoked.contains(credential.credential())) {
        unheard.insert(credential.credential());
      }
    }
  }
  if (unheard.empty()) return revocations_.size();
  const auto first = std::find_if(
      revocations_.begin(), revocations_.end(),
      [&](const v1::SessionRevocation& each) { return unheard.contains(each.credential()); });
  return static_cast<size_t>(first - revocations_.begin());
}

void Outbox::TakeRevocations(size_t count, v1::SessionResponse& message) {
  const auto end = revocations_.begin() + static_cast<ptrdiff_t>(count);
  for (auto it = revocations_.begin(); it != end; ++it) {
    if (it->number() == 0) continue;
    if (it->lease() == 0) by_subject_.erase(std::make_pair(it->credential(), it->model()));
    *message.add_revocations() = std::move(*it);
  }
  revocations_.erase(revocations_.begin(), end);
  Compact();  // their places moved
}

void Outbox::GiveBack(std::unique_ptr<v1::SessionResponse> message) {
  // Its size as it was serialized: counting the memory would take longer than making it anew.
  if (spare_.size() >= kSpares || static_cast<size_t>(message->GetCachedSize()) > kKeepBytes) {
    return;
  }
  message->Clear();
  spare_.push_back(std::move(message));
}

void Outbox::Clear() {
  ready_.clear();
  bytes_ = 0;
  revocations_.clear();
  by_subject_.clear();
  void_ = 0;
}

}  // namespace credbroker::session
