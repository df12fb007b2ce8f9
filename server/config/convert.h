// The checked schema as the core's values: the one place of the configuration that knows both.
#ifndef CREDBROKER_SERVER_CONFIG_CONVERT_H_
#define CREDBROKER_SERVER_CONFIG_CONVERT_H_

#include <memory>

#include "core/policy.h"
#include "core/settings.h"
#include "credbroker/config/v1/config.pb.h"
#include "server/config/problems.h"

namespace credbroker::config {

core::Settings ToSettings(const v1::Config& config);

// What the core refuses in a row becomes a problem of that row's field; null then.
std::shared_ptr<const core::PolicyTable> ToPolicy(const v1::Config& config,
                                                  const core::Settings& settings,
                                                  Problems& problems);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_CONVERT_H_
