#include "core/lease_table.h"

#include "core/check.h"

namespace credbroker::core {

uint32_t LeaseTable::Add(Slot slot, Record& record, PrincipalId principal, ModelId model,
                         int64_t granted_ns, int64_t expires_ns) {
  uint32_t index;
  if (free_.empty()) {
    index = cells_.Add();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  LeaseCell& cell = cells_[index];
  cell = LeaseCell();
  cell.seq = LeaseSeq(next_seq_++);
  cell.uid = record.uid;
  cell.material_version = record.material == nullptr ? 0 : record.material->version;
  cell.granted_ns = granted_ns;
  cell.expires_ns = expires_ns;
  cell.slot = slot;
  cell.principal = principal;
  cell.model = model;
  cell.next = record.first_lease;
  if (cell.next != kNoCell) cells_[cell.next].prev = index;
  record.first_lease = index;
  ++record.in_flight;
  if (principal.number() >= live_of_.size()) live_of_.resize(principal.number() + 1);
  ++live_of_[principal.number()];
  expiry_.Set(index, expires_ns);
  return index;
}

LeaseCell* LeaseTable::Find(uint32_t cell, LeaseSeq seq) {
  if (cell >= cells_.size() || seq == kNoLease || cells_[cell].seq != seq) return nullptr;
  return &cells_[cell];
}

const LeaseCell* LeaseTable::Find(uint32_t cell, LeaseSeq seq) const {
  return const_cast<LeaseTable*>(this)->Find(cell, seq);
}

void LeaseTable::Extend(uint32_t cell, int64_t expires_ns) {
  CB_CHECK(cells_[cell].end == LeaseEnd::kLive);
  cells_[cell].expires_ns = expires_ns;
  expiry_.Set(cell, expires_ns);
}

void LeaseTable::End(uint32_t index, Record& record, LeaseEnd end, int64_t now_ns) {
  LeaseCell& cell = cells_[index];
  CB_CHECK(cell.end == LeaseEnd::kLive && end != LeaseEnd::kLive);
  CB_CHECK(record.uid == cell.uid && record.in_flight > 0);
  if (cell.prev != kNoCell) {
    cells_[cell.prev].next = cell.next;
  } else {
    CB_CHECK(record.first_lease == index);
    record.first_lease = cell.next;
  }
  if (cell.next != kNoCell) cells_[cell.next].prev = cell.prev;
  --record.in_flight;
  --live_of_[cell.principal.number()];
  expiry_.Erase(index);
  cell.end = end;
  cell.ended_ns = now_ns;
  cell.answer_recover_ns = 0;
  cell.prev = cell.next = kNoCell;
  EndedQueue& queue = end == LeaseEnd::kReported ? reported_ : unreported_;
  if (queue.tail != kNoCell) cells_[queue.tail].next = index;
  queue.tail = index;
  if (queue.head == kNoCell) queue.head = index;
  ++queue.size;
}

LeaseTable::EndedQueue* LeaseTable::NextToForget(int64_t before_ns, size_t max) {
  const auto old = [&](const EndedQueue& queue) {
    return queue.head != kNoCell && cells_[queue.head].ended_ns <= before_ns;
  };
  if (old(reported_)) return &reported_;
  if (old(unreported_)) return &unreported_;
  if (ended() <= max) return nullptr;
  return 2 * reported_.size > max || unreported_.size == 0 ? &reported_ : &unreported_;
}

void LeaseTable::Forget(int64_t before_ns, size_t max, int limit,
                        absl::FunctionRef<void(uint32_t cell, LeaseCell&)> forget) {
  for (int i = 0; i < limit; ++i) {
    EndedQueue* const queue = NextToForget(before_ns, max);
    if (queue == nullptr) return;
    const uint32_t index = queue->head;
    LeaseCell& cell = cells_[index];
    queue->head = cell.next;
    if (queue->head == kNoCell) queue->tail = kNoCell;
    --queue->size;
    forget(index, cell);
    cell.seq = kNoLease;
    free_.push_back(index);
    // The next one to be forgotten has lain cold for minutes: ask for it before it is needed.
    if (queue->head != kNoCell) __builtin_prefetch(&cells_[queue->head], 1);
  }
}

bool EarlierReports::Add(uint64_t epoch, LeaseSeq seq, int64_t until_ns, int64_t now_ns) {
  while (!order_.empty() && order_.front().first < now_ns) {
    leases_.erase(order_.front().second);
    order_.pop_front();
  }
  if (leases_.size() >= kMax || !leases_.emplace(epoch, seq).second) return false;
  order_.push_back({until_ns, {epoch, seq}});
  return true;
}

}  // namespace credbroker::core
