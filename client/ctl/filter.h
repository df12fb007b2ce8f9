// Filters put together from flags.
#ifndef CREDBROKER_CLIENT_CTL_FILTER_H_
#define CREDBROKER_CLIENT_CTL_FILTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace credbroker::ctl {

// `filter` and any of `providers`, e.g. `(priority > 1) AND (provider = "a" OR provider = "b")`.
// INVALID_ARGUMENT for a name no provider can have. Pure.
absl::StatusOr<std::string> WithProviders(const std::string& filter,
                                          const std::vector<std::string>& providers);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_FILTER_H_
