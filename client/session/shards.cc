#include "client/session/shards.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace credbroker::client {

// The analysis does not follow locks in an array.
class Shards::AllLocked {
 public:
  explicit AllLocked(std::array<Shard, kCount>& shards) ABSL_NO_THREAD_SAFETY_ANALYSIS
      : shards_(shards) {
    for (Shard& shard : shards_) shard.mutex.Lock();
  }
  ~AllLocked() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (Shard& shard : shards_) shard.mutex.Unlock();
  }
  AllLocked(const AllLocked&) = delete;
  AllLocked& operator=(const AllLocked&) = delete;

 private:
  std::array<Shard, kCount>& shards_;
};

size_t Shards::OwnShard() {
  static std::atomic<size_t> next{0};
  thread_local const size_t own = next.fetch_add(1, std::memory_order_relaxed) % kCount;
  return own;
}

void Shards::Prepare(TargetId target, size_t capacity) {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    if (shard.rings.size() <= target) shard.rings.resize(target + 1);
    Ring& ring = shard.rings[target];
    if (ring.slots.size() >= capacity) continue;
    std::vector<LeaseRecord*> slots(capacity);
    for (uint32_t i = 0; i < ring.size; ++i) {
      slots[i] = ring.slots[(ring.head + i) % ring.slots.size()];
    }
    ring.slots = std::move(slots);
    ring.head = 0;
  }
  if (counters(target) == nullptr) {
    owned_.push_back(std::make_unique<TargetCounters>());
    targets_[target].store(owned_.back().get(), std::memory_order_release);
  }
}

bool Shards::TakeFrom(Shard& shard, TargetId target, Taken* taken) {
  if (shard.rings.size() <= target) return false;
  Ring& ring = shard.rings[target];
  LeaseRecord* record = nullptr;
  while (record == nullptr && ring.size > 0) {
    record = ring.slots[ring.head];
    ring.head = ring.head + 1 == ring.slots.size() ? 0 : ring.head + 1;
    --ring.size;
    if (record->credential->doubts.Withhold(*record->model)) {
      shard.aside.push_back(std::exchange(record, nullptr));
    }
  }
  if (record == nullptr) return false;
  ++ring.taken;
  record->place.store(Place::kInUse, std::memory_order_relaxed);
  taken->record = record;
  taken->material = record->credential->material;
  return true;
}

Shards::Taken Shards::Take(TargetId target, TargetCounters& counters) {
  Taken taken;
  const size_t own = OwnShard();
  bool met_somebody = false;
  for (size_t i = 0; i < kCount && taken.record == nullptr; ++i) {
    Shard& shard = shards_[(own + i) % kCount];
    if (i == 0) {
      shard.mutex.Lock();
    } else if (!shard.mutex.TryLock()) {
      met_somebody = true;
      continue;
    }
    TakeFrom(shard, target, &taken);
    shard.mutex.Unlock();
  }
  // Only now wait for the locks of others: there may be stock behind them.
  for (size_t i = 1; i < kCount && met_somebody && taken.record == nullptr; ++i) {
    Shard& shard = shards_[(own + i) % kCount];
    MutexLock lock(shard.mutex);
    TakeFrom(shard, target, &taken);
  }
  if (taken.record == nullptr) {
    counters.missed.fetch_add(1, std::memory_order_relaxed);
    return taken;
  }
  counters.taken.fetch_add(1, std::memory_order_relaxed);
  const int32_t left = counters.stock.fetch_sub(1, std::memory_order_relaxed) - 1;
  taken.refill = left <= counters.low_water.load(std::memory_order_relaxed);
  return taken;
}

void Shards::Put(TargetId target, absl::Span<LeaseRecord* const> records) {
  TargetCounters& counters = *this->counters(target);
  // In proportion to what was taken where; what has no taker yet goes to the first shard.
  std::array<uint32_t, kCount> taken{};
  uint64_t all = 0;
  for (size_t s = 0; s < kCount; ++s) {
    MutexLock lock(shards_[s].mutex);
    taken[s] = shards_[s].rings[target].taken;
    shards_[s].rings[target].taken = 0;
    all += taken[s];
  }
  if (all == 0) all = taken[0] = 1;
  // Counted before they can be taken, so that the count never falls below zero.
  counters.stock.fetch_add(static_cast<int32_t>(records.size()), std::memory_order_relaxed);
  size_t done = 0;
  uint64_t seen = 0;
  for (size_t s = 0; s < kCount; ++s) {
    seen += taken[s];
    const size_t upto = static_cast<size_t>(records.size() * seen / all);
    if (upto == done) continue;
    MutexLock lock(shards_[s].mutex);
    Ring& ring = shards_[s].rings[target];
    for (; done < upto; ++done) {
      records[done]->place.store(Place::kStock, std::memory_order_relaxed);
      ring.slots[(ring.head + ring.size) % ring.slots.size()] = records[done];
      ++ring.size;
    }
  }
}

void Shards::PutBack() {
  // Whoever puts something aside looks and does so under the shard's lock: none is left behind.
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    size_t kept = 0;
    for (LeaseRecord* record : shard.aside) {
      Ring& ring = shard.rings[record->target];
      if (record->credential->doubts.Withhold(*record->model) || ring.size == ring.slots.size()) {
        shard.aside[kept++] = record;
      } else {
        ring.slots[(ring.head + ring.size++) % ring.slots.size()] = record;
      }
    }
    shard.aside.resize(kept);
  }
}

bool Shards::Note(LeaseNote& note) {
  Shard& shard = shards_[OwnShard()];
  MutexLock lock(shard.mutex);
  if (shard.closed) return false;
  shard.notes.push_back(std::move(note));
  return true;
}

void Shards::Drain(std::vector<LeaseNote>* out) {
  for (Shard& shard : shards_) {
    {
      MutexLock lock(shard.mutex);
      if (shard.notes.empty()) continue;
      shard.notes.swap(spare_);
    }
    std::move(spare_.begin(), spare_.end(), std::back_inserter(*out));
    spare_.clear();
  }
}

bool Shards::HasNotes() {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    if (!shard.notes.empty()) return true;
  }
  return false;
}

void Shards::CloseNotes() {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    shard.closed = true;
  }
}

void Shards::RemoveIf(const std::function<void()>& update,
                      const std::function<bool(const LeaseRecord&)>& remove,
                      std::vector<LeaseRecord*>* out) {
  AllLocked lock(shards_);
  update();
  for (Shard& shard : shards_) {
    for (TargetId target = 1; target < shard.rings.size(); ++target) {
      Ring& ring = shard.rings[target];
      uint32_t kept = 0;
      for (uint32_t i = 0; i < ring.size; ++i) {
        LeaseRecord* record = ring.slots[(ring.head + i) % ring.slots.size()];
        if (remove(*record)) {
          out->push_back(record);
        } else {
          ring.slots[(ring.head + kept++) % ring.slots.size()] = record;
        }
      }
      if (kept != ring.size) {
        counters(target)->stock.fetch_sub(static_cast<int32_t>(ring.size - kept),
                                          std::memory_order_relaxed);
        ring.size = kept;
      }
    }
    std::erase_if(shard.aside, [&](LeaseRecord* record) {
      if (!remove(*record)) return false;
      out->push_back(record);
      counters(record->target)->stock.fetch_sub(1, std::memory_order_relaxed);
      return true;
    });
  }
}

}  // namespace credbroker::client
