// Making a sound store of a damaged one: what can be read of it goes into a new file, the damaged
// one is kept beside it.
//
// Files while it works: PATH.salvage-source (a copy to read, so that nothing is written to the
// original), PATH.salvaging (the new store), PATH.salvaged (the new store, complete). Afterwards:
// PATH is the new store, PATH.damaged-TIME and PATH.damaged-TIME-wal are the original. A crash at
// any point leaves the original, or a complete new store that FinishSalvage puts in place.
//
// Thread-safety: stateless; the caller holds the store's lock and has no connection open.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_SALVAGE_H_
#define CREDBROKER_SERVER_STORE_SQLITE_SALVAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace credbroker::store {

struct Salvage {
  std::string kept_as;              // where the damaged file is now
  uint64_t rows = 0;                // in the new store
  uint64_t lost = 0;                // rows known to be lost, 1 if their names are lost too
  std::vector<std::string> damage;  // at most 16 descriptions
};

// `why` is what was found wrong.
//   kDataLoss  nothing can be read, or nothing says which store it was; the original is untouched
//   kResourceExhausted, kUnavailable  no room for the copies, or an I/O error; likewise
absl::StatusOr<Salvage> SalvageSqliteStore(const std::string& path, const std::string& why);

// Puts a complete new store in place if a crash left one; usually there is nothing to do.
absl::Status FinishSalvage(const std::string& path);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_SALVAGE_H_
