// What every backend says in the same words: the checks on a commit's arguments and the messages
// of its refusals. Stateless, so thread-safe.
#ifndef CREDBROKER_SERVER_STORE_CHECK_WRITES_H_
#define CREDBROKER_SERVER_STORE_CHECK_WRITES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/store/store.h"

namespace credbroker::store {

// Backends keep versions in signed 64-bit columns.
inline constexpr uint64_t kMaxVersion = static_cast<uint64_t>(INT64_MAX);

// "secret row 'abc'", printable whatever the key holds.
std::string RowName(RowKind kind, absl::string_view key);

// kInvalidArgument as Store::Commit states.
absl::Status CheckWrites(absl::Span<const Write> writes);

// kAborted; `found` is the version the row has, 0 if it does not exist.
absl::Status VersionMismatch(const Write& write, uint64_t found);

// kFailedPrecondition.
absl::Status StaleFence(uint64_t held, uint64_t current);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_CHECK_WRITES_H_
