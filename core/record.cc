#include "core/record.h"

#include "core/check.h"

namespace credbroker::core {

Slot RecordTable::Add(absl::string_view id, Uid uid) {
  CB_CHECK(uid.number() != 0);
  Slot slot;
  if (free_.empty()) {
    slot = Slot(records_.Add());
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Record& record = at(slot);
  record.id.assign(id.data(), id.size());
  record.uid = uid;
  // Loading in order appends, which the hint makes O(1).
  const size_t before = by_id_.size();
  by_id_.emplace_hint(by_id_.end(), absl::string_view(record.id), slot);
  CB_CHECK(by_id_.size() == before + 1);
  CB_CHECK(by_uid_.emplace(uid, slot).second);
  return slot;
}

void RecordTable::Remove(Slot slot) {
  Record& record = at(slot);
  CB_CHECK(record.uid.number() != 0 && record.in_flight == 0);
  by_id_.erase(record.id);
  by_uid_.erase(record.uid);
  record = Record();
  free_.push_back(slot);
}

Slot RecordTable::Find(absl::string_view id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? kNoSlot : it->second;
}

Slot RecordTable::Find(Uid uid) const {
  auto it = by_uid_.find(uid);
  return it == by_uid_.end() ? kNoSlot : it->second;
}

}  // namespace credbroker::core
