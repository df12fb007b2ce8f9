#include "client/sidecar/report_result.h"

#include "absl/time/time.h"

namespace credbroker::sidecar {
namespace {

api::Advice AdviceOf(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
    case 529:
      return api::ADVICE_GIVE_UP;
    case 401:
    case 402:
    case 403:
    case 404:
    case 408:
    case 429:
      return api::ADVICE_RETRY_OTHER;
    default:
      return status >= 500 ? api::ADVICE_RETRY_OTHER : api::ADVICE_NONE;
  }
}

api::Advice AdviceOf(const api::ReportItem& item) {
  switch (item.outcome()) {
    case api::OUTCOME_UNSPECIFIED:
      return AdviceOf(item.http_status());
    case api::OUTCOME_SUCCESS:
    case api::OUTCOME_CANCELLED:
      return api::ADVICE_NONE;
    case api::OUTCOME_REQUEST_FAULT:
    case api::OUTCOME_OVERLOADED:
      return api::ADVICE_GIVE_UP;
    default:
      return api::ADVICE_RETRY_OTHER;
  }
}

}  // namespace

bool IsSuccess(const api::ReportItem& item) {
  if (item.outcome() != api::OUTCOME_UNSPECIFIED) return item.outcome() == api::OUTCOME_SUCCESS;
  return item.http_status() >= 200 && item.http_status() < 300;
}

api::ReportResult ResultByStatus(const api::ReportItem& item) {
  api::ReportResult result;
  result.set_lease_id(item.lease_id());
  result.set_disposition(item.early() ? api::REPORT_DISPOSITION_NOTED
                                      : api::REPORT_DISPOSITION_ACCEPTED);
  result.set_advice(AdviceOf(item));
  result.set_outcome(IsSuccess(item) ? api::OUTCOME_SUCCESS : item.outcome());
  return result;
}

api::ReportResult UnknownResult() {
  api::ReportResult result;
  result.set_disposition(api::REPORT_DISPOSITION_UNKNOWN);
  return result;
}

api::ReportResult ToResult(const std::string& lease_id, const client::ReportAnswer& answer) {
  api::ReportResult result;
  result.set_lease_id(lease_id);
  result.set_disposition(answer.disposition);
  result.set_advice(answer.advice);
  result.set_outcome(answer.outcome);
  result.set_state(answer.state);
  result.set_cause(answer.cause);
  result.set_credential_id(answer.credential_id);
  if (answer.next_recover_time.has_value()) {
    const absl::Time time = *answer.next_recover_time;
    const int64_t seconds = absl::ToUnixSeconds(time);
    result.mutable_next_recover_time()->set_seconds(seconds);
    result.mutable_next_recover_time()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  }
  return result;
}

}  // namespace credbroker::sidecar
