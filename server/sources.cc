#include "server/sources.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/obs/log.h"

namespace credbroker {
namespace {

using Options = import::WatchOptions;  // clang-format takes a line that begins with "import" as one

Options OptionsOf(const config::v1::Source& source) {
  Options options;
  options.root = source.path();
  options.source.name = source.name();
  if (!source.group().empty()) options.source.group = source.group();
  options.source.provider = source.provider();
  options.source.mode = source.mode() == config::v1::SOURCE_MODE_SKIP   ? import::Mode::kSkip
                        : source.mode() == config::v1::SOURCE_MODE_FAIL ? import::Mode::kFail
                                                                        : import::Mode::kUpdate;
  options.follow = !source.has_watch() || source.watch();
  // Two owners of a rotating token destroy it: whoever writes a watched directory is its owner,
  // unless the operator says otherwise.
  const bool by_default = !options.follow;
  const bool owned = source.refresh_owner() == v1::REFRESH_OWNER_UNSPECIFIED
                         ? by_default
                         : source.refresh_owner() == v1::REFRESH_OWNER_BROKER;
  options.source.refresh_owner =
      owned ? import::RefreshOwner::kBroker : import::RefreshOwner::kExternal;
  options.source.key_per_line = source.key_per_line();
  const std::map<std::string, std::string> labels(source.labels().begin(), source.labels().end());
  options.source.labels.assign(labels.begin(), labels.end());
  if (source.has_debounce()) options.debounce = config::ToDuration(source.debounce());
  if (source.has_rescan_interval()) {
    options.rescan_interval = config::ToDuration(source.rescan_interval());
  }
  return options;
}

}  // namespace

Sources::Sources(engine::Engine& engine, obs::Metrics& metrics, std::string store_id)
    : metrics_(metrics), fleet_(engine, std::move(store_id)) {
  import::ImporterOptions options;
  options.on_report = [this](absl::string_view source, const import::ImportReport& report) {
    Count(source, report);
  };
  importer_ = std::make_unique<import::Importer>(fleet_, std::move(options));
}

Sources::~Sources() { Stop(); }

void Sources::Count(absl::string_view source, const import::ImportReport& report) {
  obs::ImportSource from = obs::ImportSource::kRpc;
  {
    engine::MutexLock lock(mutex_);
    if (names_.contains(std::string(source))) from = obs::ImportSource::kWatchedDirectory;
  }
  const auto add = [&](obs::ImportResult result, import::Action action) {
    metrics_.imports(from, result).Increment(static_cast<uint64_t>(report.count(action)));
  };
  add(obs::ImportResult::kCreated, import::Action::kCreated);
  add(obs::ImportResult::kCreated, import::Action::kRevived);
  add(obs::ImportResult::kUpdated, import::Action::kUpdated);
  add(obs::ImportResult::kUpdated, import::Action::kRetired);
  add(obs::ImportResult::kUnchanged, import::Action::kUnchanged);
  add(obs::ImportResult::kUnchanged, import::Action::kSkipped);
  add(obs::ImportResult::kRejected, import::Action::kRejected);
  for (const import::EntryResult& result : report.results) {
    if (result.action != import::Action::kRejected) continue;
    obs::LogWarning("import", "a file was rejected; the others go in",
                    {{"source", source}, {"path", result.path}, {"reason", result.message}});
  }
  for (const std::string& warning : report.warnings) {
    obs::LogWarning("import", warning, {{"source", source}});
  }
}

void Sources::Load() {
  loading_ = std::thread([this] {
    const absl::Status status = importer_->LoadTokens();
    if (status.ok()) return;
    obs::LogWarning("import", "the tokens owned here are not all known; an import reads them again",
                    {{"error", status}});
  });
}

void Sources::Configure(const config::Loaded& config) {
  std::map<std::string, const config::v1::Source*> wanted;
  for (const config::v1::Source& source : config.config.sources()) {
    wanted.emplace(source.name(), &source);
  }
  for (auto it = watched_.begin(); it != watched_.end();) {
    const auto keep = wanted.find(it->first);
    if (keep != wanted.end() && keep->second->SerializeAsString() == it->second.settings) {
      wanted.erase(keep);
      ++it;
      continue;
    }
    it->second.watcher->Stop();
    it = watched_.erase(it);
  }
  {
    engine::MutexLock lock(mutex_);
    names_.clear();
    for (const config::v1::Source& source : config.config.sources()) names_.insert(source.name());
  }
  for (const auto& [name, source] : wanted) {
    Options options = OptionsOf(*source);
    options.apply = [this](import::Scan scan) { return importer_->Apply(std::move(scan)); };
    options.on_problem = [source_name = name](absl::string_view problem) {
      obs::LogWarning("import", "the state of a watched source",
                      {{"source", source_name}, {"problem", problem}});
    };
    obs::LogInfo("import", "a source is read", {{"source", name}, {"path", options.root}});
    Watched watched;
    watched.settings = source->SerializeAsString();
    watched.watcher = std::make_unique<import::SourceWatcher>(std::move(options));
    const auto placed = watched_.emplace(name, std::move(watched)).first;
    placed->second.watcher->Start();
  }
}

void Sources::Stop() {
  if (loading_.joinable()) loading_.join();
  for (auto& [name, watched] : watched_) watched.watcher->Stop();
  watched_.clear();
}

}  // namespace credbroker
