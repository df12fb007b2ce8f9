#include "credbroker/client/error.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace credbroker::client {
namespace {

constexpr char kRpcPayload[] = "type.googleapis.com/google.rpc.Status";
// The number of a LocalReason, and how long to wait in nanoseconds.
constexpr char kLocalPayload[] = "credbroker.client/local_reason";
constexpr char kDelayPayload[] = "credbroker.client/retry_delay";

absl::StatusCode CodeOf(LocalReason reason) {
  switch (reason) {
    case LocalReason::kNone:
      return absl::StatusCode::kUnknown;
    case LocalReason::kNotConnected:
    case LocalReason::kSessionLost:
    case LocalReason::kNothingToServe:
    case LocalReason::kOldEpoch:
      return absl::StatusCode::kUnavailable;
    case LocalReason::kServeLastBusy:
    case LocalReason::kTooManyLeases:
    case LocalReason::kTooManyTargets:
      return absl::StatusCode::kResourceExhausted;
    case LocalReason::kClosed:
      return absl::StatusCode::kFailedPrecondition;
    case LocalReason::kCancelled:
      return absl::StatusCode::kCancelled;
    case LocalReason::kDeadline:
      return absl::StatusCode::kDeadlineExceeded;
    case LocalReason::kInvalidArgument:
      return absl::StatusCode::kInvalidArgument;
  }
  return absl::StatusCode::kUnknown;
}

std::optional<int64_t> Number(const absl::Status& status, absl::string_view payload) {
  const auto text = status.GetPayload(payload);
  int64_t number = 0;
  if (!text.has_value() || !absl::SimpleAtoi(std::string(*text), &number)) return std::nullopt;
  return number;
}

// Not the constructor from a string: clang names that one otherwise than the packaged library does.
absl::Cord ToCord(absl::string_view text) { return absl::Cord(text); }

// The first detail of this type; false: there is none.
template <typename Detail>
bool Find(const absl::Status& status, Detail* detail) {
  const google::rpc::Status wire = ToRpcStatus(status);
  for (const auto& any : wire.details()) {
    if (any.UnpackTo(detail)) return true;
  }
  return false;
}

}  // namespace

std::string ReasonNameOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  Find(status, &info);
  return info.reason();
}

v1::ErrorReason ReasonOf(const absl::Status& status) {
  v1::ErrorReason reason = v1::ERROR_REASON_UNSPECIFIED;
  const std::string name = ReasonNameOf(status);
  if (!name.empty()) v1::ErrorReason_Parse(absl::StrCat("ERROR_REASON_", name), &reason);
  return reason;
}

LocalReason LocalReasonOf(const absl::Status& status) {
  return static_cast<LocalReason>(Number(status, kLocalPayload).value_or(0));
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  if (const auto delay = Number(status, kDelayPayload)) return absl::Nanoseconds(*delay);
  google::rpc::RetryInfo retry;
  if (!Find(status, &retry)) return std::nullopt;
  return absl::Seconds(retry.retry_delay().seconds()) +
         absl::Nanoseconds(retry.retry_delay().nanos());
}

std::map<std::string, std::string> MetadataOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  Find(status, &info);
  return {info.metadata().begin(), info.metadata().end()};
}

std::vector<FieldError> FieldErrorsOf(const absl::Status& status) {
  google::rpc::BadRequest bad;
  Find(status, &bad);
  std::vector<FieldError> errors;
  for (const auto& violation : bad.field_violations()) {
    errors.push_back({violation.field(), violation.description()});
  }
  return errors;
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status wire;
  const auto payload = status.GetPayload(kRpcPayload);
  if (payload.has_value()) wire.ParseFromString(std::string(*payload));
  wire.set_code(static_cast<int>(status.code()));
  wire.set_message(std::string(status.message()));
  return wire;
}

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  if (status.code() == 0) return absl::OkStatus();
  const auto code = status.code() < 0 || status.code() > 16
                        ? absl::StatusCode::kUnknown
                        : static_cast<absl::StatusCode>(status.code());
  absl::Status result(code, status.message());
  result.SetPayload(kRpcPayload, ToCord(status.SerializeAsString()));
  return result;
}

absl::Status LocalError(LocalReason reason, absl::string_view message,
                        std::optional<absl::Duration> retry_delay) {
  absl::Status status(CodeOf(reason), message);
  status.SetPayload(kLocalPayload, ToCord(absl::StrCat(static_cast<int>(reason))));
  if (retry_delay.has_value()) {
    status.SetPayload(kDelayPayload, ToCord(absl::StrCat(absl::ToInt64Nanoseconds(*retry_delay))));
  }
  return status;
}

}  // namespace credbroker::client
