// What is known about providers without configuration: which request headers carry a credential,
// and where the API lives. Configuration replaces an entry whole. Immutable, hence thread-safe.
#ifndef CREDBROKER_CORE_PROVIDER_BUILTIN_H_
#define CREDBROKER_CORE_PROVIDER_BUILTIN_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/settings.h"

namespace credbroker::core {

// Sorted by name. Lives as long as the process.
absl::Span<const ProviderSettings> BuiltinProviders();

// The entry of that name, else that of "generic".
const ProviderSettings& BuiltinProvider(absl::string_view name);

inline constexpr size_t kKindCount = static_cast<size_t>(Kind::kServiceAccount) + 1;
// Where requests of a credential of this kind go that names no address itself; empty: nothing
// known.
const std::string& BaseUrlOf(const ProviderSettings& provider, Kind kind);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_PROVIDER_BUILTIN_H_
