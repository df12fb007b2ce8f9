// Metrics: all instruments of the process and the text a scrape gets.
//
// Two ways in. What a hot path measures itself is an instrument (Histogram, Counter) taken by
// reference once at wiring time. What the engine or the store counts anyway is copied at scrape
// time through a callback that returns a snapshot. Names and labels are in metric_table.h.
//
// Thread-safety: every member may be called from any thread. Scrapes run one at a time, and a
// Set...Source call waits for a running one, so that after SetPoolSource(nullptr) returns the old
// callback is not running and will not run again.
#ifndef CREDBROKER_SERVER_OBS_METRICS_H_
#define CREDBROKER_SERVER_OBS_METRICS_H_

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/obs/grpc_metrics.h"
#include "server/obs/instruments.h"
#include "server/obs/pool_snapshot.h"

namespace credbroker::obs {

// Where imported documents came from, and what became of one.
enum class ImportSource { kFile, kWatchedDirectory, kRpc };
enum class ImportResult { kCreated, kUpdated, kUnchanged, kRejected, kRetried };

class Metrics {
 public:
  struct Options {
    std::string version;
    std::string revision;                  // Source revision, "unknown" if not built from one.
    std::vector<GrpcMethod> grpc_methods;  // Created at zero.
  };

  explicit Metrics(Options options);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Histogram& acquire_duration() { return acquire_duration_; }
  Histogram& wait_duration() { return wait_duration_; }
  Histogram& store_commit_duration() { return store_commit_duration_; }
  Counter& imports(ImportSource source, ImportResult result) {
    return imports_[static_cast<size_t>(source)][static_cast<size_t>(result)];
  }
  GrpcServerMetrics& grpc() { return grpc_; }

  // A reload (or the first load) of the configuration ended; `now` is wall time.
  void ConfigLoaded(bool taken, absl::Time now);

  // The groups and providers a label may name; every other name is shown as "other". To be called
  // at start and after each reload. A name that left the configuration but still has credentials
  // belongs in here.
  void SetKnownNames(const std::vector<std::string>& groups,
                     const std::vector<std::string>& providers);

  // The callbacks run on the scraping thread and must not call back into Metrics. Empty: no
  // samples.
  void SetPoolSource(std::function<PoolSnapshot()> source);
  void SetStoreSource(std::function<StoreSnapshot()> source);

  // The page, content type kTextContentType.
  std::string Text();

  static constexpr char kTextContentType[] = "text/plain; version=0.0.4; charset=utf-8";

 private:
  void CollectOwn(Exposition& out) const;

  const Options options_;
  GrpcServerMetrics grpc_;
  Histogram acquire_duration_;
  Histogram wait_duration_;
  Histogram store_commit_duration_;
  std::array<std::array<Counter, 5>, 3> imports_;
  Counter reloads_taken_;
  Counter reloads_refused_;
  std::atomic<bool> last_reload_ok_{false};
  std::atomic<int64_t> last_reload_ok_time_ms_{0};

  std::mutex mutex_;  // Guards what follows.
  absl::flat_hash_set<std::string> groups_;
  absl::flat_hash_set<std::string> providers_;
  std::function<PoolSnapshot()> pool_source_;
  std::function<StoreSnapshot()> store_source_;
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_METRICS_H_
