#include "server/store/store.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/store/check_writes.h"

namespace credbroker::store {

std::string RowKindName(RowKind kind) {
  switch (kind) {
    case RowKind::kMeta:
      return "meta";
    case RowKind::kDocument:
      return "document";
    case RowKind::kSecret:
      return "secret";
    case RowKind::kIntent:
      return "intent";
    case RowKind::kHealth:
      return "health";
    case RowKind::kHistory:
      return "history";
    case RowKind::kBatch:
      return "batch";
    case RowKind::kTombstone:
      return "tombstone";
    case RowKind::kSourceDigest:
      return "source-digest";
    case RowKind::kSpentToken:
      return "spent-token";
    case RowKind::kRequestId:
      return "request-id";
    case RowKind::kBackoff:
      return "backoff";
    case RowKind::kLeaseMarker:
      return "lease-marker";
  }
  return absl::StrCat("kind ", static_cast<int>(kind));
}

std::string RowName(RowKind kind, absl::string_view key) {
  // Keys are ids, but may be any bytes; a log line must stay one short line.
  return absl::StrCat(RowKindName(kind), " row '", absl::CHexEscape(key.substr(0, 128)), "'");
}

absl::Status CheckWrites(absl::Span<const Write> writes) {
  absl::flat_hash_set<std::pair<RowKind, absl::string_view>> named;
  named.reserve(writes.size());
  for (const Write& write : writes) {
    if (write.value.has_value() && (write.version == 0 || write.version > kMaxVersion)) {
      return absl::InvalidArgumentError(absl::StrCat("the version of ",
                                                     RowName(write.kind, write.key), " is ",
                                                     write.version, ", not in 1..2^63-1"));
    }
    if (!named.insert({write.kind, write.key}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(RowName(write.kind, write.key), " is written twice in one commit"));
    }
  }
  return absl::OkStatus();
}

absl::Status VersionMismatch(const Write& write, uint64_t found) {
  return absl::AbortedError(absl::StrCat(RowName(write.kind, write.key), " has version ", found,
                                         " (0: does not exist), expected ",
                                         write.expect_version.value_or(0)));
}

absl::Status StaleFence(uint64_t held, uint64_t current) {
  return absl::FailedPreconditionError(absl::StrCat(
      "another owner took over this store: our epoch is ", held, ", the store's is ", current));
}

}  // namespace credbroker::store
