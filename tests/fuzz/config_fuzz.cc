// Any bytes as a configuration: no crash, no hang, and what is accepted reads back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "server/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace config = credbroker::config;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto loaded = config::LoadText("/etc/fuzz.yaml", text);
  if (!loaded.ok()) {
    if (loaded.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
    return 0;
  }
  const auto again = config::LoadText("/etc/fuzz.yaml", config::Describe(**loaded));
  if (!again.ok() || !config::CheckReloadable(**loaded, **again).ok() ||
      config::Describe(**again) != config::Describe(**loaded)) {
    std::abort();
  }
  return 0;
}
