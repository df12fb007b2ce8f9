#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/config/check.h"
#include "server/config/config.h"
#include "server/config/convert.h"
#include "server/config/problems.h"
#include "server/config/ranges.h"
#include "server/config/reader.h"
#include "server/config/yaml.h"

namespace credbroker::config {
namespace {

// The path itself if it is absolute or none; else taken from `folder`.
void Resolve(const std::filesystem::path& folder, std::string* path) {
  if (path->empty() || (*path)[0] == '/') return;
  *path = (folder / *path).lexically_normal().string();
}

void ResolvePaths(absl::string_view name, v1::Config& config) {
  std::error_code error;
  const std::filesystem::path file =
      std::filesystem::absolute(std::filesystem::path(std::string(name)), error);
  const std::filesystem::path folder = error ? std::filesystem::path() : file.parent_path();
  if (config.store().has_sqlite()) {
    Resolve(folder, config.mutable_store()->mutable_sqlite()->mutable_path());
  }
  if (config.has_keyring()) Resolve(folder, config.mutable_keyring()->mutable_path());
  for (v1::Source& source : *config.mutable_sources()) Resolve(folder, source.mutable_path());
  if (config.has_log()) Resolve(folder, config.mutable_log()->mutable_path());
}

void SetListenerDefaults(google::protobuf::RepeatedPtrField<v1::Listener>& listeners) {
  for (v1::Listener& listener : listeners) {
    if (!listener.has_unix_socket() || !listener.unix_socket().mode().empty()) continue;
    v1::UnixListener& socket = *listener.mutable_unix_socket();
    socket.set_mode(socket.admitted_uids().empty() ? "0600" : "0660");
  }
}

void SetSourceDefaults(v1::Source& source) {
  if (source.group().empty()) source.set_group("default");
  if (!source.has_watch()) source.set_watch(true);
  if (source.refresh_owner() == credbroker::v1::REFRESH_OWNER_UNSPECIFIED) {
    source.set_refresh_owner(source.watch() ? credbroker::v1::REFRESH_OWNER_EXTERNAL
                                            : credbroker::v1::REFRESH_OWNER_BROKER);
  }
  if (source.mode() == v1::SOURCE_MODE_UNSPECIFIED) source.set_mode(v1::SOURCE_MODE_UPDATE);
}

void SetLadderDefaults(google::protobuf::RepeatedPtrField<v1::PolicyRow>& rows) {
  for (v1::PolicyRow& row : rows) {
    if (row.has_ladder() && row.ladder().factor() == 0) row.mutable_ladder()->set_factor(2);
  }
}

// Those that are no number or duration: see ranges.h.
void SetDefaults(v1::Config& config) {
  SetListenerDefaults(*config.mutable_listeners()->mutable_data());
  SetListenerDefaults(*config.mutable_listeners()->mutable_admin());
  bool has_default = false;
  for (const v1::Group& group : config.groups()) {
    has_default = has_default || group.name() == "default";
  }
  if (!has_default) config.add_groups()->set_name("default");
  for (v1::Group& group : *config.mutable_groups()) {
    if (group.strategy() == v1::STRATEGY_UNSPECIFIED) {
      group.set_strategy(v1::STRATEGY_ROUND_ROBIN);
    }
    if (!group.has_session_spill()) group.set_session_spill(true);
  }
  for (v1::Source& source : *config.mutable_sources()) SetSourceDefaults(source);
  SetLadderDefaults(*config.mutable_policy());
  for (v1::Provider& provider : *config.mutable_providers()) {
    SetLadderDefaults(*provider.mutable_policy());
  }
  if (config.log().level() == v1::LOG_LEVEL_UNSPECIFIED) {
    config.mutable_log()->set_level(v1::LOG_LEVEL_INFO);
  }
  v1::Watchdog& watchdog = *config.mutable_runtime()->mutable_watchdog();
  if (!watchdog.has_enabled()) watchdog.set_enabled(true);
  // A lower bound given alone pulls the default of what it bounds down with it.
  v1::Limits& limits = *config.mutable_limits();
  if (limits.max_parked() != 0 && limits.max_parked() < 1'000 &&
      limits.max_parked_per_principal() == 0) {
    limits.set_max_parked_per_principal(limits.max_parked());
  }
  const absl::Duration max_ttl = ToDuration(limits.max_ttl());
  if (max_ttl > absl::ZeroDuration() && max_ttl < absl::Seconds(120) &&
      ToDuration(limits.default_ttl()) == absl::ZeroDuration()) {
    *limits.mutable_default_ttl() = limits.max_ttl();
  }
  v1::Sessions& sessions = *config.mutable_sessions();
  if (sessions.max_sessions() != 0 && sessions.max_sessions() < 1'024 &&
      sessions.max_sessions_per_principal() == 0) {
    sessions.set_max_sessions_per_principal(sessions.max_sessions());
  }
  if (sessions.has_ttl() && !sessions.has_ping_interval() &&
      ToDuration(sessions.ttl()) < absl::Seconds(15)) {
    const absl::Duration third = ToDuration(sessions.ttl()) / 3;
    google::protobuf::Duration& interval = *sessions.mutable_ping_interval();
    interval.set_seconds(absl::ToInt64Seconds(third));
    interval.set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(third - absl::Seconds(interval.seconds()))));
  }
}

}  // namespace

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::StatusOr<std::shared_ptr<const Loaded>> LoadText(absl::string_view name,
                                                       absl::string_view text) {
  Problems problems(name);
  const std::optional<Node> root = ParseYaml(text, problems);
  if (!root.has_value()) return problems.ToStatus();
  auto loaded = std::make_shared<Loaded>();
  v1::Config& config = loaded->config;
  ReadMessage(*root, problems, config);
  ResolvePaths(name, config);
  SetDefaults(config);
  ApplyRanges("", problems, config);
  CheckServer(config, problems);
  CheckProviders(config, problems);
  CheckFleet(config, problems);
  loaded->settings = ToSettings(config);
  loaded->policy = ToPolicy(config, loaded->settings, problems);
  if (!problems.empty()) return problems.ToStatus();
  for (const v1::Provider& provider : config.providers()) {
    for (const std::string& alias : provider.aliases()) {
      loaded->provider_aliases.emplace_back(alias, provider.name());
    }
  }
  loaded->warnings = problems.Warnings();
  return std::shared_ptr<const Loaded>(std::move(loaded));
}

absl::StatusOr<std::shared_ptr<const Loaded>> LoadFile(absl::string_view path) {
  const std::string name(path);
  // Not blocking: the path might be a pipe.
  const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", name));
  const absl::Cleanup closer = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", name));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":1:1: is no file; name a YAML file"));
  }
  std::string text;
  std::string block(64 << 10, '\0');
  // One byte more than allowed, so that a longer file is seen to be one.
  while (text.size() <= kMaxFileBytes) {
    const ssize_t n = read(fd, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", name));
    if (n == 0) break;
    text.append(block, 0, static_cast<size_t>(n));
  }
  return LoadText(path, text);
}

}  // namespace credbroker::config
