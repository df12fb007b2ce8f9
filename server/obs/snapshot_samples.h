// Turns the snapshots of the pool and the store into samples.
//
// Thread-safety: plain functions on their arguments.
#ifndef CREDBROKER_SERVER_OBS_SNAPSHOT_SAMPLES_H_
#define CREDBROKER_SERVER_OBS_SNAPSHOT_SAMPLES_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "server/obs/exposition.h"
#include "server/obs/pool_snapshot.h"

namespace credbroker::obs {

// The names a label may take; the rest become "other".
struct KnownNames {
  const absl::flat_hash_set<std::string>& groups;
  const absl::flat_hash_set<std::string>& providers;
};

void AddPoolSamples(const PoolSnapshot& pool, const KnownNames& known, Exposition& out);
void AddStoreSamples(const StoreSnapshot& store, Exposition& out);

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_SNAPSHOT_SAMPLES_H_
