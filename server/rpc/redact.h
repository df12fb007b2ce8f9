// What of a document may hold a secret, and how it is shown: as "***".
// Thread-safety: pure functions.
#ifndef CREDBROKER_SERVER_RPC_REDACT_H_
#define CREDBROKER_SERVER_RPC_REDACT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::rpc {

inline constexpr absl::string_view kRedacted = "***";

// Headers that authenticate: authorization, cookie, *-key, *-token, *-secret, in any case.
bool IsSecretHeader(absl::string_view name);
// The address with "***" for its password.
std::string RedactUrl(absl::string_view url);
// Whether its password is "***".
bool HasRedactedPassword(absl::string_view url);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_REDACT_H_
