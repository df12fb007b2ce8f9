// The names of what is known of credentials and of policies; names_reply.cc has those of answers.
// They are what metrics, audit lines, command lines and ErrorInfo show, so a rename here is a
// change of the public interface.
#include "absl/strings/string_view.h"
#include "core/check.h"
#include "core/credential.h"
#include "core/policy.h"
#include "core/settings.h"

namespace credbroker::core {
namespace {

// A value outside its enumeration is memory gone wrong, not input: input is checked where it is
// read.
absl::string_view NotAValue() {
  CB_CHECK(false && "value outside its enumeration");
  return "";
}

}  // namespace

absl::string_view Name(Kind v) {
  switch (v) {
    case Kind::kOAuth:
      return "oauth";
    case Kind::kApiKey:
      return "api_key";
    case Kind::kServiceAccount:
      return "service_account";
  }
  return NotAValue();
}

absl::string_view Name(AuthHealth v) {
  switch (v) {
    case AuthHealth::kOk:
      return "ok";
    case AuthHealth::kRefreshing:
      return "refreshing";
    case AuthHealth::kRefreshUnknown:
      return "refresh_unknown";
    case AuthHealth::kReauthRequired:
      return "reauth_required";
    case AuthHealth::kDisabledByPolicy:
      return "disabled_by_policy";
  }
  return NotAValue();
}

// The values of credbroker.v1.Cause without prefix, lower-case.
absl::string_view Name(Cause v) {
  switch (v) {
    case Cause::kNone:
      return "none";
    case Cause::kRateLimit:
      return "rate_limited";
    case Cause::kQuota:
      return "quota_exhausted";
    case Cause::kTokenRejected:
      return "token_rejected";
    case Cause::kForbidden:
      return "forbidden";
    case Cause::kChallenge:
      return "challenge";
    case Cause::kModelNotFound:
      return "model_not_found";
    case Cause::kTransient:
      return "transient";
    case Cause::kRefresh:
      return "refresh";
    case Cause::kExpired:
      return "expired";
    case Cause::kUnconfirmed:
      return "unconfirmed";
    case Cause::kOverloaded:
      return "overloaded";
    case Cause::kNetwork:
      return "network";
    case Cause::kPolicy:
      return "policy";
    case Cause::kOperator:
      return "operator";
    case Cause::kReauth:
      return "reauth_required";
    case Cause::kDisabledByPolicy:
      return "disabled_by_policy";
    case Cause::kBusy:
      return "busy";
    case Cause::kBreaker:
      return "breaker_open";
    case Cause::kHalfOpen:
      return "half_open";
    case Cause::kWeight:
      return "weight";
  }
  return NotAValue();
}

absl::string_view Name(State v) {
  switch (v) {
    case State::kAvailable:
      return "available";
    case State::kWaiting:
      return "waiting";
    case State::kDisabled:
      return "disabled";
  }
  return NotAValue();
}

// The values of credbroker.v1.TransitionReason without prefix, lower-case.
absl::string_view Name(Why v) {
  switch (v) {
    case Why::kCreated:
      return "created";
    case Why::kUpdated:
      return "updated";
    case Why::kDeleted:
      return "deleted";
    case Why::kRevived:
      return "revived";
    case Why::kSecretReplaced:
      return "secret_replaced";
    case Why::kEnabled:
      return "enabled";
    case Why::kDisabled:
      return "disabled";
    case Why::kScheduleEnabled:
      return "schedule_enabled";
    case Why::kReset:
      return "reset";
    case Why::kReportedFailure:
      return "reported_failure";
    case Why::kReportedSuccess:
      return "reported_success";
    case Why::kReportDisabled:
      return "report_disabled";
    case Why::kBlockEnded:
      return "block_ended";
    case Why::kAvoidEnded:
      return "avoid_ended";
    case Why::kRecordExpired:
      return "record_expired";
    case Why::kRefreshStarted:
      return "refresh_started";
    case Why::kRefreshFinished:
      return "refresh_finished";
    case Why::kRefreshFailed:
      return "refresh_failed";
    case Why::kReauthRequired:
      return "reauth_required";
    case Why::kMaterialExpired:
      return "material_expired";
    case Why::kBreakerOpened:
      return "breaker_opened";
    case Why::kBreakerClosed:
      return "breaker_closed";
    case Why::kBatchApplied:
      return "batch_applied";
    case Why::kBatchUndone:
      return "batch_undone";
  }
  return NotAValue();
}

// The values of credbroker.v1.Outcome without prefix, lower-case.
absl::string_view Name(Outcome v) {
  switch (v) {
    case Outcome::kSuccess:
      return "success";
    case Outcome::kRequestFault:
      return "request_fault";
    case Outcome::kUnauthorized:
      return "unauthenticated";
    case Outcome::kQuota:
      return "quota_exhausted";
    case Outcome::kForbidden:
      return "forbidden";
    case Outcome::kChallenge:
      return "challenge";
    case Outcome::kModelNotFound:
      return "model_not_found";
    case Outcome::kTransient:
      return "transient";
    case Outcome::kRateLimited:
      return "rate_limited";
    case Outcome::kOverloaded:
      return "overloaded";
    case Outcome::kNetwork:
      return "network_error";
    case Outcome::kCancelled:
      return "cancelled";
    case Outcome::kOther:
      return "other";
  }
  return NotAValue();
}

absl::string_view Name(Advice v) {
  switch (v) {
    case Advice::kNone:
      return "none";
    case Advice::kRetrySame:
      return "retry_same";
    case Advice::kRetryOther:
      return "retry_other";
    case Advice::kGiveUp:
      return "give_up";
  }
  return NotAValue();
}

absl::string_view Name(Scope v) {
  switch (v) {
    case Scope::kRequest:
      return "request";
    case Scope::kModel:
      return "model";
    case Scope::kCredential:
      return "credential";
    case Scope::kEgress:
      return "egress";
    case Scope::kProvider:
      return "provider";
    case Scope::kProviderModel:
      return "provider_model";
  }
  return NotAValue();
}

absl::string_view Name(Action v) {
  switch (v) {
    case Action::kNone:
      return "none";
    case Action::kWait:
      return "wait";
    case Action::kDisable:
      return "disable";
    case Action::kRefresh:
      return "refresh";
  }
  return NotAValue();
}

absl::string_view Name(Strategy v) {
  switch (v) {
    case Strategy::kRoundRobin:
      return "round_robin";
    case Strategy::kFillFirst:
      return "fill_first";
    case Strategy::kWeighted:
      return "weighted";
    case Strategy::kLeastInFlight:
      return "least_in_flight";
    case Strategy::kEarliestReset:
      return "earliest_reset";
  }
  return NotAValue();
}

}  // namespace credbroker::core
