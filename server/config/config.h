// Reads a server's configuration: YAML by the schema of proto/credbroker/config/v1, checked as a
// whole. The functions here keep no state: call them from any thread. A Loaded is immutable once
// returned, hence thread-safe.
//
// An error is INVALID_ARGUMENT (LoadFile also NOT_FOUND, PERMISSION_DENIED and UNAVAILABLE where
// the file cannot be read) and its message is one line per problem, in the order of the file, at
// most kMaxProblems of them:
//
//   FILE:LINE:COLUMN: field.path[3].name: what is wrong; what to do about it
//
// Nothing of a file with a problem is used.
#ifndef CREDBROKER_SERVER_CONFIG_CONFIG_H_
#define CREDBROKER_SERVER_CONFIG_CONFIG_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/policy.h"
#include "core/settings.h"
#include "credbroker/config/v1/config.pb.h"

namespace credbroker::config {

inline constexpr size_t kMaxFileBytes = 1 << 20;
inline constexpr int kMaxDepth = 32;
inline constexpr size_t kMaxProblems = 20;

struct Loaded {
  // The effective configuration: every field whose default the schema names as a value is set (an
  // absent duration has its default, an unset `watch` is true, a group exists for "default" ...),
  // and the paths of keyring, store, sources and log are absolute: relative ones were taken from
  // the folder of the configuration file. What stays absent has a default like "none" or "the
  // provider's". runtime.server_threads stays 0: resolve it by the number of cores.
  v1::Config config;
  // What the pool is configured with. `providers` holds every built-in provider and those of the
  // file. A provider of the file with a built-in name replaces, of that one, only the fields it
  // gives: a list (headers, kinds) replaces the built-in list whole, but kinds replace kind by
  // kind. A new name starts from the built-in "generic": a bearer token or key, no base_url, cap 15
  // min, no refresher.
  core::Settings settings;
  std::shared_ptr<const core::PolicyTable> policy;
  // Other names of providers -> their names; the built-in names have none here.
  std::vector<std::pair<std::string, std::string>> provider_aliases;
  // What is legal but looks wrong (a source directory that is not there): for the log, in the form
  // of problems.
  std::vector<std::string> warnings;
};

// Reads a file of at most kMaxFileBytes.
absl::StatusOr<std::shared_ptr<const Loaded>> LoadFile(absl::string_view path);

// The same from memory. `name` is what messages call the file; relative paths are taken from its
// folder.
absl::StatusOr<std::shared_ptr<const Loaded>> LoadText(absl::string_view name,
                                                       absl::string_view text);

// Whether a server that runs with `old` may go over to `now` without a restart. Policy, groups,
// providers, labels, limits, sources, sessions and log.level may change; FAILED_PRECONDITION naming
// every other field that differs, one line each: the reload is then refused as a whole.
absl::Status CheckReloadable(const Loaded& old, const Loaded& now);

// The effective configuration as YAML that LoadText takes back, in the order of the schema. There
// are no secrets in a configuration.
std::string Describe(const Loaded& loaded);

// Of a Duration that was checked, so it is in range.
absl::Duration ToDuration(const google::protobuf::Duration& duration);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_CONFIG_H_
