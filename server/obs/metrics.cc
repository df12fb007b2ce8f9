#include "server/obs/metrics.h"

#include <iterator>
#include <utility>

#include "server/obs/process_stats.h"
#include "server/obs/snapshot_samples.h"

namespace credbroker::obs {
namespace {

constexpr const char* kImportSources[] = {"file", "watched_directory", "rpc"};
constexpr const char* kImportResults[] = {"created", "updated", "unchanged", "rejected", "retried"};

#if defined(__clang__)
constexpr char kCompiler[] = "clang " __clang_version__;
#else
constexpr char kCompiler[] = "gcc " __VERSION__;
#endif

double Number(const Counter& counter) { return static_cast<double>(counter.value()); }

void AddProcessSamples(Exposition& out) {
  const ProcessStats stats = ReadProcessStats();
  out.Add(metric::kProcessCpu, {}, stats.cpu_seconds);
  out.Add(metric::kProcessResident, {}, stats.resident_bytes);
  out.Add(metric::kProcessVirtual, {}, stats.virtual_bytes);
  out.Add(metric::kProcessOpenFds, {}, stats.open_fds);
  out.Add(metric::kProcessMaxFds, {}, stats.max_fds);
  out.Add(metric::kProcessThreads, {}, stats.threads);
  out.Add(metric::kProcessStart, {}, stats.start_time_seconds);
}

}  // namespace

Metrics::Metrics(Options options)
    : options_(std::move(options)),
      grpc_(options_.grpc_methods),
      acquire_duration_(metric::kAcquireDuration),
      wait_duration_(metric::kWaitDuration),
      store_commit_duration_(metric::kStoreCommitDuration) {}

void Metrics::ConfigLoaded(bool taken, absl::Time now) {
  (taken ? reloads_taken_ : reloads_refused_).Increment();
  last_reload_ok_.store(taken, std::memory_order_relaxed);
  if (taken) last_reload_ok_time_ms_.store(absl::ToUnixMillis(now), std::memory_order_relaxed);
}

void Metrics::SetKnownNames(const std::vector<std::string>& groups,
                            const std::vector<std::string>& providers) {
  const std::lock_guard lock(mutex_);
  groups_ = {groups.begin(), groups.end()};
  providers_ = {providers.begin(), providers.end()};
}

void Metrics::SetPoolSource(std::function<PoolSnapshot()> source) {
  const std::lock_guard lock(mutex_);
  pool_source_ = std::move(source);
}

void Metrics::SetStoreSource(std::function<StoreSnapshot()> source) {
  const std::lock_guard lock(mutex_);
  store_source_ = std::move(source);
}

void Metrics::CollectOwn(Exposition& out) const {
  out.Add({}, acquire_duration_);
  out.Add({}, wait_duration_);
  out.Add({}, store_commit_duration_);
  for (size_t source = 0; source < std::size(kImportSources); ++source) {
    for (size_t result = 0; result < std::size(kImportResults); ++result) {
      out.Add(metric::kImports, {kImportSources[source], kImportResults[result]},
              Number(imports_[source][result]));
    }
  }
  out.Add(metric::kConfigReloads, {"success"}, Number(reloads_taken_));
  out.Add(metric::kConfigReloads, {"failure"}, Number(reloads_refused_));
  out.Add(metric::kConfigLastOk, {}, last_reload_ok_.load(std::memory_order_relaxed) ? 1 : 0);
  out.Add(metric::kConfigLastOkTime, {},
          static_cast<double>(last_reload_ok_time_ms_.load(std::memory_order_relaxed)) / 1000);
  out.Add(metric::kBuildInfo, {options_.version, options_.revision, kCompiler}, 1);
  grpc_.Collect(out);
}

std::string Metrics::Text() {
  Exposition out;
  {
    const std::lock_guard lock(mutex_);
    if (pool_source_) AddPoolSamples(pool_source_(), {groups_, providers_}, out);
    if (store_source_) AddStoreSamples(store_source_(), out);
    CollectOwn(out);
  }
  AddProcessSamples(out);
  return out.Text();
}

}  // namespace credbroker::obs
