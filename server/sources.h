// Sources: the importer and the watched directories of the configuration, bound to the engine.
//
// Thread-safety: Configure, Stop and the destructor belong to the server's thread; importer() may
// be used from any.
#ifndef CREDBROKER_SERVER_SOURCES_H_
#define CREDBROKER_SERVER_SOURCES_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "server/config/config.h"
#include "server/engine/engine.h"
#include "server/engine/mutex.h"
#include "server/import/engine_fleet.h"
#include "server/import/importer.h"
#include "server/import/source_watcher.h"
#include "server/obs/health_state.h"
#include "server/obs/metrics.h"

namespace credbroker {

// clang-format 14 takes a line that begins with "import" for a JavaScript import and mangles what
// follows, so none does here.
class Sources {
 public:
  // All outlive this. `store_id` salts the hashes of refresh tokens.
  Sources(engine::Engine& engine, obs::Metrics& metrics, std::string store_id);
  ~Sources();  // Stop

  auto importer() -> import::Importer& { return *importer_; }
  // Starts reading the book of refresh tokens; once, when the engine serves.
  void Load();
  // Starts watchers of new sources, stops those of removed ones, starts changed ones anew.
  void Configure(const config::Loaded& config);
  // Waits for an import of a watcher that is under way.
  void Stop();

 private:
  using Fleet = import::EngineFleet;
  struct Watched {
    std::string settings;  // the source's configuration, to see a change
    std::unique_ptr<import::SourceWatcher> watcher;
  };
  void Count(absl::string_view source, const import::ImportReport& report);

  obs::Metrics& metrics_;
  Fleet fleet_;
  std::unique_ptr<import::Importer> importer_;
  std::thread loading_;  // of the book of tokens, which a start need not wait for
  std::map<std::string, Watched> watched_;  // by source name
  engine::Mutex mutex_;
  std::set<std::string> names_ ABSL_GUARDED_BY(mutex_);  // of watched_; read by importing threads
};

}  // namespace credbroker

#endif  // CREDBROKER_SERVER_SOURCES_H_
