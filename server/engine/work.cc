#include "server/engine/work.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace credbroker::engine {

absl::StatusOr<store::Row> ReadRow(store::Store& store, store::RowKind kind,
                                   absl::string_view key) {
  // In key order the key itself comes before everything it begins.
  absl::StatusOr<std::vector<store::Row>> rows =
      store.ReadPrefix({.kind = kind, .prefix = std::string(key), .after = "", .limit = 1});
  if (!rows.ok()) return rows.status();
  if (rows->empty() || rows->front().key != key) {
    return absl::NotFoundError(
        absl::StrCat("no ", store::RowKindName(kind), " row of '", key, "'"));
  }
  return std::move(rows->front());
}

absl::StatusOr<store::SecretEntry> ReadSecret(store::Store& store,
                                              const store::RecordSealer& sealer,
                                              const core::Document& document) {
  absl::StatusOr<store::Row> row = ReadRow(store, store::RowKind::kSecret, document.id);
  if (!row.ok()) return row.status();
  absl::StatusOr<core::Secret> plain = sealer.Open(*row, store::SecretBinding(document));
  if (!plain.ok()) {
    // The sealer says kNotFound for a missing key; here that would read as a missing row.
    if (!absl::IsNotFound(plain.status())) return plain.status();
    return absl::FailedPreconditionError(plain.status().message());
  }
  return store::DecodeSecret(plain->reveal());
}

}  // namespace credbroker::engine
