// The durable store: rows in, rows out, one atomic commit. It knows nothing of credentials and
// never sees plaintext: values are sealed above it (sealer.h), so a backend, its file and its
// backups hold ciphertext only.
//
// Thread-safety: one thread (the committer) calls TakeOwnership and Commit. Load and ReadPrefix
// may be called from any thread, also while a Commit runs; each sees some committed state, whole
// commits only. Stats may be called from any thread at any time. All calls may block on I/O: never
// call them under the pool's lock.
#ifndef CREDBROKER_SERVER_STORE_STORE_H_
#define CREDBROKER_SERVER_STORE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace credbroker::store {

// What a row holds. The numbers are written to disk: never renumber, never reuse.
enum class RowKind : uint8_t {
  kMeta = 1,          // facts about the broker's data itself
  kDocument = 2,      // a credential's document
  kSecret = 3,        // its secret
  kIntent = 4,        // operator intent
  kHealth = 5,        // availability records, auth health (written behind)
  kHistory = 6,       // older transitions
  kBatch = 7,         // what a batch changed, for undo
  kTombstone = 8,     // a deleted credential, kept for undo
  kSourceDigest = 9,  // digest of an imported file
  kSpentToken = 10,   // hash of a spent refresh token
  kRequestId = 11,    // request id of an acknowledged batch
  kBackoff = 12,      // backoffs and breakers of the pool
  kLeaseMarker = 13,  // the live-sessions marker
};

// "document", "secret", ...; "kind 77" for a number no version of this enum knows.
std::string RowKindName(RowKind kind);

// (kind, key) is unique. `key` and `value` are arbitrary bytes, either may be empty.
struct Row {
  RowKind kind = RowKind::kMeta;
  std::string key;
  uint64_t version = 0;  // chosen by the writer, <= INT64_MAX; the store only compares it
  std::string value;
};

// One row to put or erase.
struct Write {
  RowKind kind = RowKind::kMeta;
  std::string key;
  std::optional<std::string> value;  // nullopt erases; erasing an absent row is not an error
  uint64_t version = 0;              // of the new row, >= 1 for a put; ignored by an erase
  // The version the row must have now; 0: it must not exist; nullopt: whatever is there.
  std::optional<uint64_t> expect_version = std::nullopt;
};

// Proof of ownership. A commit under any epoch but the latest one changes nothing.
struct Fence {
  uint64_t epoch = 0;
};

struct PrefixQuery {
  RowKind kind = RowKind::kMeta;
  std::string prefix;                // rows whose key starts with these bytes; empty: all
  std::optional<std::string> after;  // only keys > this one, the last key of the page before
  size_t limit = 1000;               // rows at most
};

// What Load saw. `damaged` counts rows that exist and could not be read (an estimate when the
// index of the rows is damaged too); the rest was delivered. A row whose bytes changed silently is
// delivered: the sealer refuses it. Any `damage` is a reason to restore a backup: commits to a
// damaged file may fail with kDataLoss.
struct LoadReport {
  uint64_t rows = 0;
  uint64_t damaged = 0;
  std::vector<std::string> damage;  // at most 16 descriptions, for the log; no values in them
  std::string damaged_file;         // where the damaged file was put aside; empty: nowhere
};

struct StoreStats {
  uint64_t commits = 0;         // acknowledged since open
  uint64_t failed_commits = 0;  // any error but kAborted and kFailedPrecondition
  uint64_t conflicts = 0;       // kAborted
  uint64_t rows_written = 0;    // puts and erases inside acknowledged commits
  uint64_t bytes_on_disk = 0;   // all files; 0 for memory
};

class Store {
 public:
  virtual ~Store() = default;
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Random identifier made when the store was created, 32 lower-case hex digits, constant for its
  // life. Part of every seal's associated data: a row copied from another store does not open.
  virtual absl::string_view id() const = 0;

  // Makes the caller the owner: raises the epoch durably and returns it. Every Fence handed out
  // before is stale from then on.
  virtual absl::StatusOr<Fence> TakeOwnership() = 0;

  // Delivers every row, ordered by kind, then by key as bytes. A non-OK status from `visit` stops
  // the load and is returned. kUnavailable on I/O errors. Rows that cannot be read are skipped and
  // reported, not fatal; kDataLoss: not even their names can be read.
  virtual absl::StatusOr<LoadReport> Load(absl::FunctionRef<absl::Status(Row)> visit) = 0;

  // Applies all writes or none, in order, durable when it returns OK. On error nothing changed:
  //   kInvalidArgument     a put with version 0 or > INT64_MAX, or a (kind, key) named twice
  //   kAborted             an expect_version did not match; the message names kind and key
  //   kFailedPrecondition  stale fence: another owner took over; retrying is useless
  //   kResourceExhausted   the disk is full; the same commit may succeed later
  //   kUnavailable         I/O error or a lock held by somebody else; may succeed later
  //   kDataLoss            the file is corrupt
  // The one exception every store has: when the process dies inside the call, the commit may be
  // there as a whole or not at all. An empty `writes` only checks the fence.
  virtual absl::Status Commit(absl::Span<const Write> writes, Fence fence) = 0;

  // Rows of one kind in key order. Errors as Load, and kDataLoss.
  virtual absl::StatusOr<std::vector<Row>> ReadPrefix(const PrefixQuery& query) = 0;

  virtual StoreStats Stats() const = 0;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_STORE_H_
