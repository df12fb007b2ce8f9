#include "server/rpc/status.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/obs/log.h"

namespace credbroker::rpc {
namespace {

using core::Refusal;

// Hints longer than this help nobody, and a Duration of the wire must stay in its range.
constexpr absl::Duration kMaxRetryDelay = absl::Hours(24 * 366);

grpc::Status Build(grpc::StatusCode code, absl::string_view message,
                   const google::rpc::ErrorInfo& info, const google::protobuf::Message* more) {
  google::rpc::Status details;
  details.set_code(static_cast<int>(code));
  details.set_message(std::string(message));
  details.add_details()->PackFrom(info);
  if (more != nullptr) details.add_details()->PackFrom(*more);
  return grpc::Status(code, std::string(message), details.SerializeAsString());
}

google::rpc::ErrorInfo Info(v1::ErrorReason reason, const Metadata& metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(reason)));
  info.set_domain(kErrorDomain);
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  return info;
}

struct RefusalText {
  v1::ErrorReason reason;
  const char* message;
};

RefusalText TextOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kCooling:
      return {v1::ERROR_REASON_COOLING, "every credential that could serve is cooling down"};
    case Refusal::kBusy:
      return {v1::ERROR_REASON_BUSY, "every credential that could serve is at its in-flight cap"};
    case Refusal::kBreakerOpen:
      return {v1::ERROR_REASON_BREAKER_OPEN, "the breaker of the provider or its proxy is open"};
    case Refusal::kProviderBackoff:
      return {v1::ERROR_REASON_PROVIDER_BACKOFF, "the provider is overloaded and backs off"};
    case Refusal::kTooManyParked:
      return {v1::ERROR_REASON_TOO_MANY_PARKED, "too many calls are waiting already"};
    case Refusal::kWaitExpired:
      return {v1::ERROR_REASON_WAIT_EXPIRED, "no credential became free within max_wait"};
    case Refusal::kNoSuchGroup:
      return {v1::ERROR_REASON_NO_SUCH_GROUP, "no such group"};
    case Refusal::kNoSuchProvider:
      return {v1::ERROR_REASON_NO_SUCH_PROVIDER, "the group has no credential of this provider"};
    case Refusal::kNoSuchModel:
      return {v1::ERROR_REASON_NO_SUCH_MODEL,
              "no credential of the group and provider serves this model"};
    case Refusal::kNoSuchCredential:
      return {v1::ERROR_REASON_NO_SUCH_CREDENTIAL, "no such credential in the group"};
    case Refusal::kNoMatch:
      return {v1::ERROR_REASON_NO_MATCH, "exclusions, kind and labels leave no credential"};
    case Refusal::kAllDisabled:
      return {v1::ERROR_REASON_ALL_DISABLED, "every credential that could serve is disabled"};
    case Refusal::kPinUnavailable:
      return {v1::ERROR_REASON_PIN_UNAVAILABLE,
              "the pinned credential is disabled or does not serve this"};
    case Refusal::kRequestIdMismatch:
      return {v1::ERROR_REASON_REQUEST_ID_MISMATCH,
              "the request_id was used before with other arguments"};
    case Refusal::kRequestEnded:
      return {v1::ERROR_REASON_REQUEST_ENDED, "the lease of this request_id has ended"};
    case Refusal::kReplaced:
      return {v1::ERROR_REASON_REPLACED, "a later call with the same request_id took its place"};
    case Refusal::kCancelled:
      return {v1::ERROR_REASON_CANCELLED, "the call was cancelled"};
    case Refusal::kResumeOnly:
      return {v1::ERROR_REASON_RESUME_ONLY,
              "capped credentials wait for the sessions of before the restart"};
    case Refusal::kNotForStock:
      return {v1::ERROR_REASON_NOT_FOR_STOCK,
              "a call would get a credential with a cap or a half-open one; ask for single leases"};
    case Refusal::kTooManyLeases:
      return {v1::ERROR_REASON_LIMIT_REACHED,
              "this principal holds as many live leases as limits.max_leases_per_principal allows; "
              "report or release some"};
  }
  return {v1::ERROR_REASON_UNSPECIFIED, "refused"};
}

// The length of a leading field path such as "labels.tier" or "items[3].headers", else 0.
size_t FieldPathLength(absl::string_view message) {
  const size_t colon = message.find(": ");
  if (colon == absl::string_view::npos || colon == 0 || colon > 96) return 0;
  const auto in_path = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '[' ||
           c == ']' || c == '-';
  };
  return std::all_of(message.begin(), message.begin() + static_cast<ptrdiff_t>(colon), in_path)
             ? colon
             : 0;
}

}  // namespace

absl::string_view ReasonName(v1::ErrorReason reason) {
  // The descriptor's strings live as long as the process.
  absl::string_view name = v1::ErrorReason_Name(reason);
  absl::ConsumePrefix(&name, "ERROR_REASON_");
  return name;
}

grpc::StatusCode CodeOf(v1::ErrorReason reason) {
  // errors.proto groups the reasons by code in tens; the two exceptions come first.
  if (reason == v1::ERROR_REASON_CREDENTIAL_EXISTS) return grpc::StatusCode::ALREADY_EXISTS;
  if (reason == v1::ERROR_REASON_CURSOR_EXPIRED) return grpc::StatusCode::OUT_OF_RANGE;
  if (reason == v1::ERROR_REASON_NOT_ALLOWED) return grpc::StatusCode::PERMISSION_DENIED;
  if (reason == v1::ERROR_REASON_CANCELLED) return grpc::StatusCode::CANCELLED;
  if (reason == v1::ERROR_REASON_DEADLINE) return grpc::StatusCode::DEADLINE_EXCEEDED;
  switch (static_cast<int>(reason) / 10) {
    case 0:
      return reason == v1::ERROR_REASON_UNSPECIFIED ? grpc::StatusCode::INTERNAL
                                                    : grpc::StatusCode::RESOURCE_EXHAUSTED;
    case 1:
      return grpc::StatusCode::NOT_FOUND;
    case 2:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case 3:
      return grpc::StatusCode::ABORTED;
    case 4:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case 6:
      return grpc::StatusCode::UNAVAILABLE;
    default:
      return grpc::StatusCode::INTERNAL;
  }
}

grpc::Status Error(v1::ErrorReason reason, absl::string_view message, const Metadata& metadata) {
  return Build(CodeOf(reason), message, Info(reason, metadata), nullptr);
}

grpc::Status BadRequest(const std::vector<FieldViolation>& violations, v1::ErrorReason reason) {
  google::rpc::BadRequest details;
  std::string message;
  for (const FieldViolation& violation : violations) {
    auto* out = details.add_field_violations();
    out->set_field(violation.field);
    out->set_description(violation.description);
    if (details.field_violations_size() == 1) {
      message = absl::StrCat(violation.field, ": ", violation.description);
    }
  }
  if (violations.size() > 1) {
    absl::StrAppend(&message, " (and ", violations.size() - 1, " more)");
  }
  return Build(CodeOf(reason), message, Info(reason, {}), &details);
}

grpc::Status BadField(absl::string_view field, absl::string_view description,
                      v1::ErrorReason reason) {
  return BadRequest({{std::string(field), std::string(description)}}, reason);
}

grpc::Status FromRefusal(const core::RefusalInfo& refusal, absl::Time now) {
  const RefusalText text = TextOf(refusal.reason);
  const grpc::StatusCode code = CodeOf(text.reason);
  if (text.reason == v1::ERROR_REASON_REQUEST_ID_MISMATCH) {
    return BadField("request_id", "was used before with other arguments; use a new one",
                    text.reason);
  }
  google::rpc::ErrorInfo info = Info(text.reason, {});
  auto& metadata = *info.mutable_metadata();
  if (refusal.reason == Refusal::kTooManyLeases) metadata["limit"] = "live leases of one principal";
  for (int i = 0; i < core::kCauseCount; ++i) {
    const uint32_t count = refusal.counts[static_cast<size_t>(i)];
    if (count == 0 || i == static_cast<int>(core::Cause::kNone)) continue;
    metadata[absl::StrCat("cause.", core::Name(static_cast<core::Cause>(i)))] = absl::StrCat(count);
  }
  if (refusal.members > 0) metadata["members"] = absl::StrCat(refusal.members);
  if (refusal.earliest == absl::InfiniteFuture() || refusal.earliest == absl::InfinitePast()) {
    return Build(code, text.message, info, nullptr);
  }
  const absl::Duration wait =
      std::clamp(refusal.earliest - now, absl::ZeroDuration(), kMaxRetryDelay);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(wait));
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(wait - absl::Seconds(absl::ToInt64Seconds(wait)))));
  return Build(code, text.message, info, &retry);
}

grpc::Status FromAbsl(const absl::Status& status, const Reasons& reasons) {
  const absl::string_view message = status.message();
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return grpc::Status::OK;
    case absl::StatusCode::kInvalidArgument: {
      const size_t field = FieldPathLength(message);
      const absl::string_view name = message.substr(0, field);
      const v1::ErrorReason reason =
          name == "request_id" ? v1::ERROR_REASON_REQUEST_ID_MISMATCH : reasons.invalid;
      return field == 0 ? BadField("", message, reason)
                        : BadField(name, message.substr(field + 2), reason);
    }
    case absl::StatusCode::kNotFound:
      return Error(reasons.not_found, message);
    case absl::StatusCode::kAlreadyExists:
      return Error(v1::ERROR_REASON_CREDENTIAL_EXISTS, message);
    case absl::StatusCode::kAborted:
      return Error(v1::ERROR_REASON_ETAG_MISMATCH, message);
    case absl::StatusCode::kFailedPrecondition:
      return Error(reasons.precondition, message);
    case absl::StatusCode::kResourceExhausted:
      return Error(v1::ERROR_REASON_LIMIT_REACHED, message);
    case absl::StatusCode::kUnavailable:
      return Error(v1::ERROR_REASON_STORE_UNAVAILABLE, message);
    case absl::StatusCode::kOutOfRange:
      return Error(v1::ERROR_REASON_CURSOR_EXPIRED, message);
    case absl::StatusCode::kCancelled:
      return Error(v1::ERROR_REASON_CANCELLED, message);
    case absl::StatusCode::kDeadlineExceeded:
      return Error(v1::ERROR_REASON_DEADLINE, message);
    default:
      obs::LogError("rpc", "a call failed inside", {{"status", status}});
      return grpc::Status(grpc::StatusCode::INTERNAL, "internal error; see the broker's log");
  }
}

}  // namespace credbroker::rpc
