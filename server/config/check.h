// What the schema says in words: names, paths, addresses, what is required, and what fits together.
// Number and duration ranges are in ranges.h.
#ifndef CREDBROKER_SERVER_CONFIG_CHECK_H_
#define CREDBROKER_SERVER_CONFIG_CHECK_H_

#include "absl/strings/string_view.h"
#include "credbroker/config/v1/config.pb.h"
#include "server/config/problems.h"

namespace credbroker::config {

// 1 to 64 characters of [a-z0-9._-].
bool IsName(absl::string_view text);
// RFC 9110 token without upper-case letters, at most 256 bytes.
bool IsHeaderName(absl::string_view text);

// Listeners, http, store, keyring, log: what is needed to start.
void CheckServer(const v1::Config& config, Problems& problems);
// Groups, labels, limits, sources. After CheckProviders has accepted the providers.
void CheckFleet(const v1::Config& config, Problems& problems);
// Providers, their names and headers; what of the policy can be said row by row is said by
// core::PolicyTable, see convert.h.
void CheckProviders(const v1::Config& config, Problems& problems);

// A provider of the file or a built-in one, by name or other name.
bool IsProvider(const v1::Config& config, absl::string_view name);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_CHECK_H_
