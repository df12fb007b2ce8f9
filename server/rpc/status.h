// From what the broker says no with to what goes over the wire: a code, a sentence and
// google.rpc.Status details (ErrorInfo, RetryInfo, BadRequest). The one place where reasons, codes
// and causes are put together.
//
// Reasons are the names of credbroker.v1.ErrorReason without prefix; the domain is "credbroker".
// Thread-safety: pure functions.
#ifndef CREDBROKER_SERVER_RPC_STATUS_H_
#define CREDBROKER_SERVER_RPC_STATUS_H_

#include <string>
#include <utility>
#include <vector>

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/command.h"
#include "credbroker/v1/errors.pb.h"

namespace credbroker::rpc {

inline constexpr char kErrorDomain[] = "credbroker";

// One field of a request that is wrong, e.g. {"items[3].http_status", "must be 100 to 599, is 7"}.
struct FieldViolation {
  std::string field;
  std::string description;
};

// "COOLING" for ERROR_REASON_COOLING.
absl::string_view ReasonName(v1::ErrorReason reason);
// The gRPC code each reason has, as errors.proto states it. INTERNAL for UNSPECIFIED.
grpc::StatusCode CodeOf(v1::ErrorReason reason);

using Metadata = std::vector<std::pair<std::string, std::string>>;

grpc::Status Error(v1::ErrorReason reason, absl::string_view message,
                   const Metadata& metadata = {});
// INVALID_ARGUMENT with BadRequest. REQUIRES: `violations` is not empty.
grpc::Status BadRequest(const std::vector<FieldViolation>& violations,
                        v1::ErrorReason reason = v1::ERROR_REASON_INVALID_FIELD);
grpc::Status BadField(absl::string_view field, absl::string_view description,
                      v1::ErrorReason reason = v1::ERROR_REASON_INVALID_FIELD);

// Why nothing was granted; `now` makes RetryInfo a span.
grpc::Status FromRefusal(const core::RefusalInfo& refusal, absl::Time now);

// What a code of the engine means for the call at hand.
struct Reasons {
  v1::ErrorReason not_found = v1::ERROR_REASON_NO_SUCH_CREDENTIAL;
  v1::ErrorReason precondition = v1::ERROR_REASON_CREDENTIAL_DISABLED;
  v1::ErrorReason invalid = v1::ERROR_REASON_INVALID_FIELD;
};

// Of the engine and what is below it. A message of the form "field: text" of an INVALID_ARGUMENT
// names the field. What a caller cannot act upon (INTERNAL and the like) is logged, not shown.
grpc::Status FromAbsl(const absl::Status& status, const Reasons& reasons = {});

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_STATUS_H_
