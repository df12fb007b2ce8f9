#include "tests/bench/floor.h"

#include <cstring>
#include <numeric>
#include <random>
#include <utility>

namespace credbroker::bench {
namespace {

// Where a record keeps its three numbers: on three cache lines wherever the record begins. The
// first two say where the next one is, the third names the next record, so no touch can start
// early.
constexpr size_t kFirst = 0, kSecond = 256, kThird = 512;

}  // namespace

Floor::Floor(int credentials) : table_(static_cast<size_t>(credentials) * kRecordBytes) {
  // One cycle through all records in random order (Sattolo).
  std::vector<uint32_t> next(static_cast<size_t>(credentials));
  std::iota(next.begin(), next.end(), 0u);
  std::mt19937_64 random(1);
  for (size_t i = next.size() - 1; i > 0; --i) std::swap(next[i], next[random() % i]);
  for (size_t i = 0; i < next.size(); ++i) {
    SetNumber(i, kFirst, kSecond);
    SetNumber(i, kSecond, kThird);
    SetNumber(i, kThird, next[i]);
  }
  for (int i = 0; i < kLiveLeases; ++i) {
    Lease lease;
    lease.uid = next_lease_;
    leases_.emplace(next_lease_++, lease);
  }
}

uint32_t Floor::Number(size_t record, size_t offset) const {
  uint32_t number;
  std::memcpy(&number, &table_[record * kRecordBytes + offset], sizeof number);
  return number;
}

void Floor::SetNumber(size_t record, size_t offset, uint32_t number) {
  std::memcpy(&table_[record * kRecordBytes + offset], &number, sizeof number);
}

uint64_t Floor::Run(int steps) {
  uint64_t sum = 0;
  for (int i = 0; i < steps; ++i) {
    const uint64_t id = next_lease_++;
    {
      std::lock_guard<std::mutex> lock(acquire_);
      const uint32_t second = Number(record_, kFirst);
      const uint32_t third = Number(record_, second);
      record_ = Number(record_, third);
      Lease lease;
      lease.uid = id;
      lease.record = record_;
      leases_.emplace(id, lease);
    }
    {
      std::lock_guard<std::mutex> lock(report_);
      auto it = leases_.find(id);
      sum += it->second.record;
      leases_.erase(it);
    }
  }
  return sum;
}

}  // namespace credbroker::bench
