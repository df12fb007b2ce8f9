// The names of answers; a rename here is a change of the public interface, as in names.cc.
#include "absl/strings/string_view.h"
#include "core/change.h"
#include "core/check.h"
#include "core/command.h"
#include "core/view.h"

namespace credbroker::core {
namespace {

// A value outside its enumeration is memory gone wrong, not input: input is checked where it is
// read.
absl::string_view NotAValue() {
  CB_CHECK(false && "value outside its enumeration");
  return "";
}

}  // namespace

// Those that credbroker.v1.ErrorReason has are spelled as there; the others are kept apart for
// metrics and are mapped where protobuf is.
absl::string_view Name(Refusal v) {
  switch (v) {
    case Refusal::kCooling:
      return "COOLING";
    case Refusal::kBusy:
      return "BUSY";
    case Refusal::kBreakerOpen:
      return "BREAKER_OPEN";
    case Refusal::kProviderBackoff:
      return "PROVIDER_BACKOFF";
    case Refusal::kTooManyParked:
      return "TOO_MANY_PARKED";
    case Refusal::kWaitExpired:
      return "WAIT_EXPIRED";
    case Refusal::kNoSuchGroup:
      return "NO_SUCH_GROUP";
    case Refusal::kNoSuchProvider:
      return "NO_SUCH_PROVIDER";
    case Refusal::kNoSuchModel:
      return "NO_SUCH_MODEL";
    case Refusal::kNoSuchCredential:
      return "NO_SUCH_CREDENTIAL";
    case Refusal::kNoMatch:
      return "NO_MATCH";
    case Refusal::kAllDisabled:
      return "ALL_DISABLED";
    case Refusal::kPinUnavailable:
      return "PIN_UNAVAILABLE";
    case Refusal::kRequestIdMismatch:
      return "REQUEST_ID_MISMATCH";
    case Refusal::kRequestEnded:
      return "REQUEST_ENDED";
    case Refusal::kReplaced:
      return "REPLACED";
    case Refusal::kCancelled:
      return "CANCELLED";
    case Refusal::kResumeOnly:
      return "RESUME_ONLY";
    case Refusal::kNotForStock:
      return "NOT_FOR_STOCK";
    case Refusal::kTooManyLeases:
      return "TOO_MANY_LEASES";
  }
  return NotAValue();
}

absl::string_view Name(AdoptResult v) {
  switch (v) {
    case AdoptResult::kAdopted:
      return "adopted";
    case AdoptResult::kNotOpen:
      return "not_open";
    case AdoptResult::kNotFound:
      return "not_found";
    case AdoptResult::kDisabled:
      return "disabled";
    case AdoptResult::kExpired:
      return "expired";
    case AdoptResult::kOverCap:
      return "over_cap";
  }
  return NotAValue();
}

absl::string_view Name(RevokeReason v) {
  switch (v) {
    case RevokeReason::kCooling:
      return "cooling";
    case RevokeReason::kDisabled:
      return "disabled";
    case RevokeReason::kDeleted:
      return "deleted";
    case RevokeReason::kChanged:
      return "changed";
  }
  return NotAValue();
}

absl::string_view Name(Disposition v) {
  switch (v) {
    case Disposition::kAccepted:
      return "accepted";
    case Disposition::kNoted:
      return "noted";
    case Disposition::kDuplicate:
      return "duplicate";
    case Disposition::kLate:
      return "late";
    case Disposition::kStale:
      return "stale";
    case Disposition::kUnknown:
      return "unknown";
  }
  return NotAValue();
}

absl::string_view Name(Candidacy v) {
  switch (v) {
    case Candidacy::kChosen:
      return "chosen";
    case Candidacy::kEligible:
      return "eligible";
    case Candidacy::kLowerTier:
      return "lower_tier";
    case Candidacy::kWaiting:
      return "waiting";
    case Candidacy::kModelWaiting:
      return "model_waiting";
    case Candidacy::kHalfOpen:
      return "half_open";
    case Candidacy::kProbing:
      return "probing";
    case Candidacy::kBusy:
      return "busy";
    case Candidacy::kModelBusy:
      return "model_busy";
    case Candidacy::kDisabled:
      return "disabled";
    case Candidacy::kDoesNotServeModel:
      return "does_not_serve_model";
    case Candidacy::kWrongProvider:
      return "wrong_provider";
    case Candidacy::kWrongKind:
      return "wrong_kind";
    case Candidacy::kWrongLabels:
      return "wrong_labels";
    case Candidacy::kExcluded:
      return "excluded";
    case Candidacy::kWeight:
      return "weight";
    case Candidacy::kBreakerOpen:
      return "breaker_open";
    case Candidacy::kProviderBackoff:
      return "provider_backoff";
    case Candidacy::kNotPinned:
      return "not_pinned";
    case Candidacy::kResumeOnly:
      return "resume_only";
    case Candidacy::kBoundElsewhere:
      return "bound_elsewhere";
  }
  return NotAValue();
}

}  // namespace credbroker::core
