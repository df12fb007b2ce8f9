#include "server/rpc/convert.h"

#include "absl/strings/str_cat.h"

namespace credbroker::rpc {

v1::CredentialKind ToProto(core::Kind kind) {
  switch (kind) {
    case core::Kind::kOAuth:
      return v1::CREDENTIAL_KIND_OAUTH;
    case core::Kind::kApiKey:
      return v1::CREDENTIAL_KIND_API_KEY;
    case core::Kind::kServiceAccount:
      return v1::CREDENTIAL_KIND_SERVICE_ACCOUNT;
  }
  return v1::CREDENTIAL_KIND_UNSPECIFIED;
}

std::optional<core::Kind> ToKind(v1::CredentialKind kind) {
  switch (kind) {
    case v1::CREDENTIAL_KIND_OAUTH:
      return core::Kind::kOAuth;
    case v1::CREDENTIAL_KIND_API_KEY:
      return core::Kind::kApiKey;
    case v1::CREDENTIAL_KIND_SERVICE_ACCOUNT:
      return core::Kind::kServiceAccount;
    default:
      return std::nullopt;
  }
}

v1::CredentialState ToProto(core::State state) {
  switch (state) {
    case core::State::kAvailable:
      return v1::CREDENTIAL_STATE_AVAILABLE;
    case core::State::kWaiting:
      return v1::CREDENTIAL_STATE_WAITING;
    case core::State::kDisabled:
      return v1::CREDENTIAL_STATE_DISABLED;
  }
  return v1::CREDENTIAL_STATE_UNSPECIFIED;
}

v1::AuthHealth ToProto(core::AuthHealth health) {
  switch (health) {
    case core::AuthHealth::kOk:
      return v1::AUTH_HEALTH_OK;
    case core::AuthHealth::kRefreshing:
      return v1::AUTH_HEALTH_REFRESHING;
    case core::AuthHealth::kRefreshUnknown:
      return v1::AUTH_HEALTH_REFRESH_UNKNOWN;
    case core::AuthHealth::kReauthRequired:
      return v1::AUTH_HEALTH_REAUTH_REQUIRED;
    case core::AuthHealth::kDisabledByPolicy:
      return v1::AUTH_HEALTH_DISABLED_BY_POLICY;
  }
  return v1::AUTH_HEALTH_UNSPECIFIED;
}

v1::Cause ToProto(core::Cause cause) {
  static constexpr v1::Cause kCauses[core::kCauseCount] = {
      v1::CAUSE_UNSPECIFIED,
      v1::CAUSE_RATE_LIMITED,
      v1::CAUSE_QUOTA_EXHAUSTED,
      v1::CAUSE_TOKEN_REJECTED,
      v1::CAUSE_FORBIDDEN,
      v1::CAUSE_CHALLENGE,
      v1::CAUSE_MODEL_NOT_FOUND,
      v1::CAUSE_TRANSIENT,
      v1::CAUSE_REFRESH,
      v1::CAUSE_EXPIRED,
      v1::CAUSE_UNCONFIRMED,
      v1::CAUSE_OVERLOADED,
      v1::CAUSE_NETWORK,
      v1::CAUSE_POLICY,
      v1::CAUSE_OPERATOR,
      v1::CAUSE_REAUTH_REQUIRED,
      v1::CAUSE_DISABLED_BY_POLICY,
      v1::CAUSE_BUSY,
      v1::CAUSE_BREAKER_OPEN,
      v1::CAUSE_HALF_OPEN,
      v1::CAUSE_WEIGHT,
  };
  return kCauses[static_cast<size_t>(cause)];
}

v1::Advice ToProto(core::Advice advice) {
  switch (advice) {
    case core::Advice::kNone:
      return v1::ADVICE_NONE;
    case core::Advice::kRetrySame:
      return v1::ADVICE_RETRY_SAME;
    case core::Advice::kRetryOther:
      return v1::ADVICE_RETRY_OTHER;
    case core::Advice::kGiveUp:
      return v1::ADVICE_GIVE_UP;
  }
  return v1::ADVICE_UNSPECIFIED;
}

v1::Outcome ToProto(core::Outcome outcome) {
  switch (outcome) {
    case core::Outcome::kSuccess:
      return v1::OUTCOME_SUCCESS;
    case core::Outcome::kRequestFault:
      return v1::OUTCOME_REQUEST_FAULT;
    case core::Outcome::kUnauthorized:
      return v1::OUTCOME_UNAUTHENTICATED;
    case core::Outcome::kQuota:
      return v1::OUTCOME_QUOTA_EXHAUSTED;
    case core::Outcome::kForbidden:
      return v1::OUTCOME_FORBIDDEN;
    case core::Outcome::kChallenge:
      return v1::OUTCOME_CHALLENGE;
    case core::Outcome::kModelNotFound:
      return v1::OUTCOME_MODEL_NOT_FOUND;
    case core::Outcome::kTransient:
      return v1::OUTCOME_TRANSIENT;
    case core::Outcome::kRateLimited:
      return v1::OUTCOME_RATE_LIMITED;
    case core::Outcome::kOverloaded:
      return v1::OUTCOME_OVERLOADED;
    case core::Outcome::kNetwork:
      return v1::OUTCOME_NETWORK_ERROR;
    case core::Outcome::kCancelled:
      return v1::OUTCOME_CANCELLED;
    case core::Outcome::kOther:
      return v1::OUTCOME_UNSPECIFIED;
  }
  return v1::OUTCOME_UNSPECIFIED;
}

core::Outcome ToOutcome(v1::Outcome outcome) {
  for (int i = 0; i < core::kOutcomeCount; ++i) {
    if (ToProto(static_cast<core::Outcome>(i)) == outcome) return static_cast<core::Outcome>(i);
  }
  return core::Outcome::kOther;
}

v1::FailureScope ToProto(core::Scope scope) {
  switch (scope) {
    case core::Scope::kRequest:
      return v1::FAILURE_SCOPE_REQUEST;
    case core::Scope::kModel:
      return v1::FAILURE_SCOPE_MODEL;
    case core::Scope::kCredential:
      return v1::FAILURE_SCOPE_CREDENTIAL;
    case core::Scope::kEgress:
      return v1::FAILURE_SCOPE_EGRESS;
    case core::Scope::kProvider:
      return v1::FAILURE_SCOPE_PROVIDER;
    case core::Scope::kProviderModel:
      return v1::FAILURE_SCOPE_PROVIDER_MODEL;
  }
  return v1::FAILURE_SCOPE_UNSPECIFIED;
}

v1::FailureAction ToProto(core::Action action) {
  switch (action) {
    case core::Action::kNone:
      return v1::FAILURE_ACTION_NONE;
    case core::Action::kWait:
      return v1::FAILURE_ACTION_WAIT;
    case core::Action::kDisable:
      return v1::FAILURE_ACTION_DISABLE;
    case core::Action::kRefresh:
      return v1::FAILURE_ACTION_REFRESH;
  }
  return v1::FAILURE_ACTION_UNSPECIFIED;
}

v1::TransitionReason ToProto(core::Why why) {
  // The API counts the same list from 1.
  static_assert(static_cast<int>(core::Why::kBatchUndone) + 1 ==
                v1::TRANSITION_REASON_BATCH_UNDONE);
  static_assert(static_cast<int>(core::Why::kReset) + 1 == v1::TRANSITION_REASON_RESET);
  static_assert(static_cast<int>(core::Why::kMaterialExpired) + 1 ==
                v1::TRANSITION_REASON_MATERIAL_EXPIRED);
  return static_cast<v1::TransitionReason>(static_cast<int>(why) + 1);
}

v1::ReportDisposition ToProto(core::Disposition disposition) {
  switch (disposition) {
    case core::Disposition::kAccepted:
      return v1::REPORT_DISPOSITION_ACCEPTED;
    case core::Disposition::kNoted:
      return v1::REPORT_DISPOSITION_NOTED;
    case core::Disposition::kDuplicate:
      return v1::REPORT_DISPOSITION_DUPLICATE;
    case core::Disposition::kLate:
      return v1::REPORT_DISPOSITION_LATE;
    case core::Disposition::kStale:
      return v1::REPORT_DISPOSITION_STALE;
    case core::Disposition::kUnknown:
      return v1::REPORT_DISPOSITION_UNKNOWN;
  }
  return v1::REPORT_DISPOSITION_UNSPECIFIED;
}

v1::Verdict ToProto(core::Candidacy candidacy, core::Cause cause) {
  using core::Candidacy;
  switch (candidacy) {
    case Candidacy::kChosen:
      return v1::VERDICT_CHOSEN;
    case Candidacy::kEligible:
      return v1::VERDICT_ELIGIBLE;
    case Candidacy::kLowerTier:
      return v1::VERDICT_LOWER_TIER;
    case Candidacy::kBoundElsewhere:
      return v1::VERDICT_SESSION_BOUND_ELSEWHERE;
    case Candidacy::kWaiting:
      return v1::VERDICT_WAITING;
    case Candidacy::kModelWaiting:
      return v1::VERDICT_MODEL_WAITING;
    case Candidacy::kHalfOpen:
      return v1::VERDICT_PROBE_BUDGET;
    case Candidacy::kProbing:
      return v1::VERDICT_PROBE_OUT;
    case Candidacy::kBusy:
    case Candidacy::kResumeOnly:
      return v1::VERDICT_BUSY;
    case Candidacy::kModelBusy:
      return v1::VERDICT_MODEL_BUSY;
    case Candidacy::kDisabled:
      if (cause == core::Cause::kOperator) return v1::VERDICT_DISABLED_BY_OPERATOR;
      return cause == core::Cause::kReauth ? v1::VERDICT_REAUTH_REQUIRED
                                           : v1::VERDICT_DISABLED_BY_POLICY;
    case Candidacy::kDoesNotServeModel:
    case Candidacy::kWrongProvider:
      return v1::VERDICT_MODEL_NOT_SERVED;
    case Candidacy::kWrongKind:
      return v1::VERDICT_KIND_MISMATCH;
    case Candidacy::kWrongLabels:
      return v1::VERDICT_LABEL_MISMATCH;
    case Candidacy::kExcluded:
      return v1::VERDICT_EXCLUDED;
    case Candidacy::kWeight:
      return v1::VERDICT_ZERO_WEIGHT;
    case Candidacy::kBreakerOpen:
      return v1::VERDICT_BREAKER_OPEN;
    case Candidacy::kProviderBackoff:
      return v1::VERDICT_PROVIDER_BACKOFF;
    case Candidacy::kNotPinned:
      return v1::VERDICT_NOT_PINNED;
  }
  return v1::VERDICT_UNSPECIFIED;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void SetSpan(absl::Duration span, google::protobuf::Duration* out) {
  const int64_t seconds = absl::ToInt64Seconds(span);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(span - absl::Seconds(seconds))));
}

std::string UidText(core::Uid uid) { return absl::StrCat(absl::Hex(uid.number())); }

}  // namespace credbroker::rpc
