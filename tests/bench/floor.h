// Floor(N): what no lease service on one machine can do without, as the yardstick of the core's
// pair Acquire + Report at N credentials. One step is two uncontended locks, one insert and one
// erase in a map of kLiveLeases leases, and one dependent touch of three cache lines in a table of
// N records of 700 bytes. Thread-compatible.
#ifndef CREDBROKER_TESTS_BENCH_FLOOR_H_
#define CREDBROKER_TESTS_BENCH_FLOOR_H_

#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace credbroker::bench {

inline constexpr int kLiveLeases = 10'000;

class Floor {
 public:
  explicit Floor(int credentials);
  // `steps` times the floor of a pair. Returns something that depends on all of it.
  uint64_t Run(int steps);

 private:
  static constexpr size_t kRecordBytes = 700;
  struct Lease {
    uint64_t uid = 0;
    int64_t granted_ns = 0, expires_ns = 0;
    uint32_t record = 0, next = 0;
  };
  uint32_t Number(size_t record, size_t offset) const;
  void SetNumber(size_t record, size_t offset, uint32_t number);

  std::mutex acquire_, report_;
  std::vector<unsigned char> table_;
  absl::flat_hash_map<uint64_t, Lease> leases_;
  uint64_t next_lease_ = 1;
  uint32_t record_ = 0;
};

}  // namespace credbroker::bench

#endif  // CREDBROKER_TESTS_BENCH_FLOOR_H_
