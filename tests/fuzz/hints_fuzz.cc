// Whatever a provider puts into headers and bodies, hints are in range or absent.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "core/availability.h"
#include "core/check.h"
#include "core/error_body.h"
#include "core/hint_text.h"
#include "core/policy.h"

using credbroker::core::ErrorBody;
using credbroker::core::Hints;

// Input: one header a line as "name: value"; the whole of it is a body as well.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  std::vector<std::pair<std::string, std::string>> headers;
  for (const absl::string_view line : absl::StrSplit(input, '\n')) {
    headers.push_back(absl::StrSplit(line, absl::MaxSplits(':', 1)));
  }
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const auto in_range = [](const std::optional<absl::Duration>& wait) {
    return !wait.has_value() ||
           (*wait > absl::ZeroDuration() && *wait <= credbroker::core::kMaxCooldown);
  };
  const Hints hints = credbroker::core::ParseHints(headers, now);
  CB_CHECK(in_range(hints.wait) && in_range(hints.retry_after));
  CB_CHECK(hints.raw.size() <= credbroker::core::kMaxRawHint);
  CB_CHECK(hints.windows.size() <= 16);
  for (const auto& window : hints.windows) CB_CHECK(in_range(window.reset - now));
  const ErrorBody body = credbroker::core::ScanErrorBody(input, now);
  CB_CHECK(in_range(body.wait) && body.codes.size() <= 8);
  (void)credbroker::core::ParseHttpDate(input, now);
  return 0;
}
