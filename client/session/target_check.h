// Bounds of what callers give a session.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SESSION_TARGET_CHECK_H_
#define CREDBROKER_CLIENT_SESSION_TARGET_CHECK_H_

#include "absl/status/status.h"
#include "credbroker/client/session.h"
#include "credbroker/client/target.h"

namespace credbroker::client {

// INVALID_ARGUMENT naming the field.
absl::Status CheckTarget(const Target& target);
// What it needs of the broker, as session.proto counts it.
size_t BytesOf(const Target& target);
absl::Status CheckSessionOptions(const SessionOptions& options);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_TARGET_CHECK_H_
