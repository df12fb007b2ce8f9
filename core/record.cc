#include "core/record.h"

#include "core/check.h"

namespace credbroker::core {

Slot RecordTable::Add(std::shared_ptr<const Document> document, Uid uid) {
  CB_CHECK(uid.number() != 0);
  Slot slot;
  if (free_.empty()) {
    slot = Slot(records_.Add());
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Record& record = at(slot);
  record.uid = uid;
  record.document = std::move(document);
  // Loading in order appends, which the hint makes O(1).
  const size_t before = by_id_.size();
  by_id_.insert(by_id_.end(), slot);
  CB_CHECK(by_id_.size() == before + 1);
  CB_CHECK(by_uid_.emplace(uid, slot).second);
  return slot;
}

void RecordTable::Remove(Slot slot) {
  Record& record = at(slot);
  CB_CHECK(record.uid.number() != 0 && record.in_flight == 0);
  by_id_.erase(slot);
  by_uid_.erase(record.uid);
  record = Record();
  free_.push_back(slot);
}

Slot RecordTable::Find(absl::string_view id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? kNoSlot : *it;
}

bool RecordTable::ForEachAfter(absl::string_view after,
                               absl::FunctionRef<bool(const Record&)> visit) const {
  for (auto it = after.empty() ? by_id_.begin() : by_id_.upper_bound(after); it != by_id_.end();
       ++it) {
    if (!visit(at(*it))) return false;
  }
  return true;
}

Slot RecordTable::Find(Uid uid) const {
  auto it = by_uid_.find(uid);
  return it == by_uid_.end() ? kNoSlot : it->second;
}

}  // namespace credbroker::core
