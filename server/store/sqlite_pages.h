// Rows straight from the pages of a SQLite file, for a store whose tree can no longer be walked: a
// lost inner page costs the way to its leaves, not the leaves. Format: sqlite.org/fileformat2.html.
//
// Thread-safety: stateless; nobody may write the files meanwhile.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_PAGES_H_
#define CREDBROKER_SERVER_STORE_SQLITE_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/store/store.h"

namespace credbroker::store {

inline constexpr size_t kSqlitePageBytes = 4096;
inline constexpr size_t kSqliteHeaderBytes = 100;
// Places in the header: the first page of the list of free pages, and how many there are.
inline constexpr size_t kSqliteFreelistHead = 32, kSqliteFreelistCount = 36;

// What is wrong with the first 100 bytes of a store's file, in the fields that every store has
// alike; empty: nothing. `bytes` may be shorter.
std::string SqliteHeaderDamage(absl::string_view bytes);

// Visits the rows of the leaf pages of `path` that are in use, in no order, no page twice. What
// does not parse is skipped. The file has no WAL. A free page may hold rows that were replaced or
// deleted since, which must not come back, unless free pages are zeros (`wiped`). Else those in use
// are all that are not on the list of free pages, and if that list is not whole, those that the
// tree still leads to from page `root`. kUnavailable: it cannot be read. A non-OK status from
// `visit` stops it and is returned.
absl::Status ReadSqliteLeaves(const std::string& path, bool wiped, uint32_t root,
                              absl::FunctionRef<absl::Status(Row)> visit);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_PAGES_H_
