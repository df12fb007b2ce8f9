// Texts of a configuration as values, and back. Pure functions.
#ifndef CREDBROKER_SERVER_CONFIG_SCALAR_H_
#define CREDBROKER_SERVER_CONFIG_SCALAR_H_

#include <google/protobuf/descriptor.h>

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace credbroker::config {

// "500ms", "30s", "1h30m", "1.5h": numbers with the units d, h, m, s, ms, each once, in this order.
// At most 10,000 days and not below a nanosecond. Nothing: not a duration.
std::optional<absl::Duration> ParseDuration(absl::string_view text);

// The shortest text ParseDuration takes back; "0s" for nothing. For durations of whole milliseconds
// and more; finer parts are dropped.
std::string DurationText(absl::Duration duration);

// The value called "round-robin", "round_robin" or STRATEGY_ROUND_ROBIN, in any case. Never the
// UNSPECIFIED one: leaving a field out says that.
const google::protobuf::EnumValueDescriptor* FindEnumValue(
    const google::protobuf::EnumDescriptor& type, absl::string_view text);

// "round-robin".
std::string EnumText(const google::protobuf::EnumValueDescriptor& value);

// "round-robin, fill-first, ...": what FindEnumValue takes.
std::string EnumTexts(const google::protobuf::EnumDescriptor& type);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_SCALAR_H_
