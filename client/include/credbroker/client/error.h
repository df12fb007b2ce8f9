// What an absl::Status of this library says beyond its code.
//
// Every failed call gives a status whose code is the broker's gRPC code (errors.proto says which
// reason has which code), and from which the functions below read the reason, when to come back,
// and which fields were wrong. Statuses made by the library itself carry a LocalReason instead.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_ERROR_H_
#define CREDBROKER_CLIENT_ERROR_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/v1/errors.pb.h"
#include "google/rpc/status.pb.h"

namespace credbroker::client {

// Why the library itself said no.
enum class LocalReason {
  // It did not: the broker or the transport did.
  kNone,
  // [UNAVAILABLE] No connection was made before the deadline.
  kNotConnected,
  // [UNAVAILABLE] The session is lost, and the target does not serve the last known material.
  // RetryDelayOf says when the next attempt to connect is due.
  kSessionLost,
  // [UNAVAILABLE] Session lost and kServeLast: no usable material is known (none was leased, it
  // expired, its credential was revoked, has a cap, or failed since).
  kNothingToServe,
  // [RESOURCE_EXHAUSTED] Session lost and kServeLast: max_serve_last leases are in use.
  kServeLastBusy,
  // [RESOURCE_EXHAUSTED] SessionOptions.max_leases live or unprocessed leases; end some.
  kTooManyLeases,
  // [RESOURCE_EXHAUSTED] The session's targets are too many, or need too much together; retire
  // some.
  kTooManyTargets,
  // [FAILED_PRECONDITION] The session was closed.
  kClosed,
  // [CANCELLED] The caller cancelled it.
  kCancelled,
  // [DEADLINE_EXCEEDED] Not answered in time.
  kDeadline,
  // [UNAVAILABLE] The answer came from an owner of an older epoch, and was dropped.
  kOldEpoch,
  // [INVALID_ARGUMENT] An argument is out of its range; the message names it.
  kInvalidArgument,
};

// The broker's reason; ERROR_REASON_UNSPECIFIED if there is none, or none this library knows.
v1::ErrorReason ReasonOf(const absl::Status& status);
// The same as text without prefix, e.g. "COOLING", also where this library does not know it.
std::string ReasonNameOf(const absl::Status& status);
LocalReason LocalReasonOf(const absl::Status& status);
// When to try again; nullopt: the error does not pass by itself, or nobody knows when.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);
// Metadata of the error, e.g. {"cause.rate_limited", "12"}, {"limit", "max_sessions"}.
std::map<std::string, std::string> MetadataOf(const absl::Status& status);

// A field that was wrong.
struct FieldError {
  std::string field;
  std::string description;
};
std::vector<FieldError> FieldErrorsOf(const absl::Status& status);

// The google.rpc.Status behind it, with its details; of a local one, code and message alone.
google::rpc::Status ToRpcStatus(const absl::Status& status);
// The reverse; OK becomes OK. A code that gRPC does not have becomes UNKNOWN.
absl::Status FromRpcStatus(const google::rpc::Status& status);

// A status of the library's own.
absl::Status LocalError(LocalReason reason, absl::string_view message,
                        std::optional<absl::Duration> retry_delay = std::nullopt);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_ERROR_H_
