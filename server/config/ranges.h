// The ranges and defaults of the schema's numbers and durations, as one table.
#ifndef CREDBROKER_SERVER_CONFIG_RANGES_H_
#define CREDBROKER_SERVER_CONFIG_RANGES_H_

#include <google/protobuf/message.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/config/problems.h"

namespace credbroker::config {

struct NumberRange {
  absl::string_view field;  // "Limits.max_parked"
  uint32_t min;
  uint32_t max;
  uint32_t fallback;  // of 0 and of an absent field; fields with presence keep both
};

struct DurationRange {
  absl::string_view field;
  absl::Duration min;
  absl::Duration max;
  std::optional<absl::Duration> fallback;  // of an absent field
};

absl::Span<const NumberRange> NumberRanges();
absl::Span<const DurationRange> DurationRanges();

// Checks every number and duration in `message`, whose place is `path`, and below; sets absent ones
// that have a default.
void ApplyRanges(const std::string& path, Problems& problems, google::protobuf::Message& message);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_RANGES_H_
