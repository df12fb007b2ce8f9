// What happened upstream with a lease, and what the broker made of it.
//
// Thread-safety: plain values.
#ifndef CREDBROKER_CLIENT_OUTCOME_H_
#define CREDBROKER_CLIENT_OUTCOME_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/v1/lease.pb.h"
#include "credbroker/v1/types.pb.h"

namespace credbroker::client {

// Facts about one upstream call. The broker decides what they mean: pass what came, do not judge.
struct Outcome {
  // 100 to 599; 0: no status came, then `outcome` must be set.
  int http_status = 0;
  // Leave unspecified when there is a status; set, it wins.
  v1::Outcome outcome = v1::OUTCOME_UNSPECIFIED;
  // The code in the error's body, if known, e.g. "insufficient_quota". Cut at 128 bytes.
  std::string error_code{};
  // Response header lines as received: the broker reads limits and resets from them. Those that
  // carry credentials are not sent (see IsPrivateHeader). At most 128 of 16 KiB in all; the rest is
  // cut.
  std::vector<std::pair<std::string, std::string>> headers{};
  // The beginning of an error's body. Cut at 4 KiB. Wiped when sent.
  std::string body_excerpt{};
  // With OUTCOME_NETWORK_ERROR.
  v1::NetworkErrorKind network_error = v1::NETWORK_ERROR_KIND_UNSPECIFIED;
  // When it happened, wall clock; not set: when it was reported.
  std::optional<absl::Time> event_time{};

  static Outcome Status(int status) {
    Outcome facts;
    facts.http_status = status;
    return facts;
  }
  // No HTTP status was received.
  static Outcome NetworkError(v1::NetworkErrorKind kind) {
    Outcome facts;
    facts.outcome = v1::OUTCOME_NETWORK_ERROR;
    facts.network_error = kind;
    return facts;
  }
  // The client went away.
  static Outcome Cancelled() {
    Outcome facts;
    facts.outcome = v1::OUTCOME_CANCELLED;
    return facts;
  }
};

// Response headers that are never sent to the broker, in any case: set-cookie, set-cookie2, cookie,
// authorization, proxy-authorization, authentication-info and proxy-authentication-info.
bool IsPrivateHeader(absl::string_view name);

// The broker's answer to a report. `disposition` UNKNOWN with an empty credential_id: the report
// could not be delivered (the lease was refused at a resume, or the session closed).
struct ReportAnswer {
  v1::ReportDisposition disposition = v1::REPORT_DISPOSITION_UNSPECIFIED;
  // What to do next. RETRY_OTHER: acquire with this credential in excluded_credential_ids.
  v1::Advice advice = v1::ADVICE_UNSPECIFIED;
  v1::Outcome outcome = v1::OUTCOME_UNSPECIFIED;
  v1::CredentialState state = v1::CREDENTIAL_STATE_UNSPECIFIED;
  v1::Cause cause = v1::CAUSE_UNSPECIFIED;
  std::optional<absl::Time> next_recover_time{};
  std::string credential_id{};
};

// Called once, on the session's thread, or by the caller if the session is closed: must not block,
// may use the session.
using ReportCallback = std::function<void(const ReportAnswer&)>;

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_OUTCOME_H_
