// What the engine counts, in the form the metrics page takes.
#ifndef CREDBROKER_SERVER_SCRAPE_H_
#define CREDBROKER_SERVER_SCRAPE_H_

#include "absl/time/time.h"
#include "server/engine/engine.h"
#include "server/obs/pool_snapshot.h"
#include "server/session/registry.h"

namespace credbroker {

obs::PoolSnapshot ToPoolSnapshot(const engine::EngineStats& stats,
                                 const session::SessionRegistry& sessions, absl::Time now);
obs::StoreSnapshot ToStoreSnapshot(const engine::EngineStats& stats);

}  // namespace credbroker

#endif  // CREDBROKER_SERVER_SCRAPE_H_
