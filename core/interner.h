// Names as small numbers, given back when nobody refers to them: an invented model name costs
// memory only while a record or lease holds it. Number 0 is the empty name, never freed.
// Thread-compatible.
#ifndef CREDBROKER_CORE_INTERNER_H_
#define CREDBROKER_CORE_INTERNER_H_

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "core/slab.h"

namespace credbroker::core {

template <typename IdType>
class Interner {
 public:
  Interner() : last_(&names_[names_.Add()]) {}
  Interner(const Interner&) = delete;
  Interner& operator=(const Interner&) = delete;

  // The number of `name`, with one reference more.
  IdType Ref(absl::string_view name) {
    if (name.empty()) return IdType(0);
    if (!IsLast(name)) {
      auto it = by_name_.find(name);
      if (it == by_name_.end()) return Add(name);
      last_ = &names_[it->second];
    }
    ++last_->refs;
    return IdType(last_->number);
  }
  void Ref(IdType id) {
    if (id.number() != 0) ++names_[id.number()].refs;
  }
  void Unref(IdType id) {
    if (id.number() == 0) return;
    Entry& entry = names_[id.number()];
    if (--entry.refs != 0) return;
    by_name_.erase(entry.name);
    entry.name.clear();
    entry.name.shrink_to_fit();
    free_.push_back(id.number());
  }
  // Without a reference: only good until the next change.
  std::optional<IdType> Find(absl::string_view name) const {
    if (name.empty()) return IdType(0);
    if (!IsLast(name)) {
      auto it = by_name_.find(name);
      if (it == by_name_.end()) return std::nullopt;
      last_ = const_cast<Entry*>(&names_[it->second]);
    }
    return IdType(last_->number);
  }
  const std::string& Name(IdType id) const { return names_[id.number()].name; }
  size_t size() const { return by_name_.size(); }
  uint32_t limit() const { return names_.size(); }

 private:
  struct Entry {
    std::string name;
    uint64_t refs = 0;
    uint32_t number = 0;
  };
  bool IsLast(absl::string_view name) const {
    return name.size() == last_->name.size() &&
           std::memcmp(name.data(), last_->name.data(), name.size()) == 0;
  }
  IdType Add(absl::string_view name) {
    uint32_t number;
    if (free_.empty()) {
      number = names_.Add();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    Entry& entry = names_[number];
    entry = {std::string(name), 1, number};
    by_name_.emplace(entry.name, number);
    return IdType(number);
  }

  Slab<Entry, 64> names_;  // at stable addresses: by_name_ keeps views of its strings
  absl::flat_hash_map<absl::string_view, uint32_t> by_name_;
  std::vector<uint32_t> free_;
  // The name asked for last: most requests name what the one before did. A freed entry has an empty
  // name and matches nothing.
  mutable Entry* last_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_INTERNER_H_
