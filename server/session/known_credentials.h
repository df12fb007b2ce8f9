// KnownCredentials: which credentials one stream was told of, and under which index.
//
// Uids count up and belong to one incarnation for ever, so they are places in pages that are made
// when first touched: a grant costs two loads and no hashing, and a session that draws on a few
// credentials of a large fleet costs a few pages. Thread-compatible.
#ifndef CREDBROKER_SERVER_SESSION_KNOWN_CREDENTIALS_H_
#define CREDBROKER_SERVER_SESSION_KNOWN_CREDENTIALS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/ids.h"

namespace credbroker::session {

class KnownCredentials {
 public:
  struct Entry {
    uint32_t index = 0;     // in the stream, from 1; 0: not known
    bool changed = false;   // to be sent anew
    uint64_t version = 0;   // of the material sent last; 0: none yet
    uint64_t revision = 0;  // of the document then
  };

  // Null: not known.
  Entry* Find(core::Uid uid) {
    Page* page = PageOf(uid.number() / kPage);
    if (page == nullptr) return nullptr;
    Entry& entry = (*page)[uid.number() % kPage];
    return entry.index != 0 ? &entry : nullptr;
  }
  // REQUIRES: not known.
  Entry& Add(core::Uid uid) {
    const uint64_t number = uid.number() / kPage;
    std::unique_ptr<Page>* page = nullptr;
    if (number < kDirect) {
      if (number >= direct_.size()) direct_.resize(number + 1);
      page = &direct_[number];
    } else {
      page = &far_[number];
    }
    if (*page == nullptr) *page = std::make_unique<Page>();
    Entry& entry = (**page)[uid.number() % kPage];
    entry = Entry{.index = ++newest_};
    return entry;
  }
  uint32_t size() const { return newest_; }

 private:
  static constexpr uint64_t kPage = 64;
  // A fleet that was replaced many times has large uids: beyond these, pages are looked up.
  static constexpr uint64_t kDirect = 4'096;
  using Page = std::array<Entry, kPage>;

  Page* PageOf(uint64_t number) {
    if (number < kDirect) return number < direct_.size() ? direct_[number].get() : nullptr;
    const auto found = far_.find(number);
    return found == far_.end() ? nullptr : found->second.get();
  }

  std::vector<std::unique_ptr<Page>> direct_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Page>> far_;
  uint32_t newest_ = 0;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_KNOWN_CREDENTIALS_H_
