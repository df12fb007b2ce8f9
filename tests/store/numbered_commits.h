// A deterministic sequence of commits and the state each leads to, so that whatever a crash leaves
// can be named: the state after exactly n commits, or a lost or half commit.
#ifndef CREDBROKER_TESTS_STORE_NUMBERED_COMMITS_H_
#define CREDBROKER_TESTS_STORE_NUMBERED_COMMITS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/store.h"

namespace credbroker::store {

// The writes of the n-th commit, n >= 1: always the row "counter" at version n, and up to 30 puts
// and erases among 60 other rows of up to `max_value` bytes.
std::vector<Write> NumberedCommit(uint64_t seed, uint64_t n, size_t max_value);

// The number of commits whose outcome the store holds: 0 when empty. kDataLoss when it holds
// anything but the exact state after some number of commits.
absl::StatusOr<uint64_t> CommitsIn(Store& store, uint64_t seed, size_t max_value);

}  // namespace credbroker::store

#endif  // CREDBROKER_TESTS_STORE_NUMBERED_COMMITS_H_
