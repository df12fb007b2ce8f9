// From the rows of a store to a pool: opens, checks and loads everything at start. What cannot be
// read is set aside (it stays in the store untouched) and the rest is served.
//
// Thread-safety: call it from one thread; it uses a second one to unseal.
#ifndef CREDBROKER_SERVER_ENGINE_LOADER_H_
#define CREDBROKER_SERVER_ENGINE_LOADER_H_

#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/pool.h"
#include "core/settings.h"
#include "server/engine/engine.h"
#include "server/engine/ledger.h"
#include "server/store/record.h"
#include "server/store/store.h"

namespace credbroker::engine {

struct Loaded {
  LoadStats stats;
  std::optional<store::Meta> meta;  // absent: the store is new
  core::Uid first_free_uid{1};
  absl::flat_hash_set<std::string> quarantined;  // ids whose document cannot be read
  store::LeaseMarker marker;
  Ledger ledger;
  std::vector<core::StoredCredential> credentials;  // by id
  std::vector<core::BackoffRecord> backoffs;
};

// FAILED_PRECONDITION: sealed: no row opens with this keyring. UNAVAILABLE: the store does not
// answer. UNIMPLEMENTED: written by a newer version.
absl::StatusOr<Loaded> LoadStore(store::Store& store, const store::RecordSealer& sealer,
                                 const core::Settings& settings);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_LOADER_H_
