// The failure policy without configuration, as rows like those of an operator. Immutable, hence
// thread-safe; lives as long as the process.
#ifndef CREDBROKER_CORE_POLICY_BUILTIN_H_
#define CREDBROKER_CORE_POLICY_BUILTIN_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/policy.h"

namespace credbroker::core {

// Tried for every provider, in order. The last row matches everything.
absl::Span<const PolicyRow> BuiltinRows();

// Tried before BuiltinRows() for this provider; mostly none.
absl::Span<const PolicyRow> BuiltinRowsOf(absl::string_view provider);

// Whether the provider counts its rate limits per model.
bool BuiltinPerModelLimits(absl::string_view provider);

// How long a rejected token that nothing refreshes is left alone.
inline constexpr absl::Duration kTokenRejectedWait = absl::Minutes(30);
// How long one attempt to refresh may take before the credential is looked at again.
inline constexpr absl::Duration kRefreshAttempt = absl::Seconds(60);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_POLICY_BUILTIN_H_
