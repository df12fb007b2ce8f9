// From one line of a proxy's access log to the report of its lease: how a proxy that can only log,
// such as nginx, tells the broker what happened.
//
// The line is one JSON object, after whatever syslog framing (RFC 3164, RFC 5424, none). Fields,
// all text or numbers, "" and "-" for none; README.md has the table:
//   lease                 the X-Credbroker-Lease of the request; a line without one is no report
//   status                what the proxy answered; 499: the client went away
//   upstream_status       one or several, "502, 200" or "502 : 200": the last counts
//   upstream_header_time  in the same form; "-": the upstream sent no answer
//   error                 dns, connect, tls, reset, timeout or proxy: the connection broke
//   error_code            the code in the error's body
//   headers               an object of response headers; also "upstream_http_NAME", "retry_after"
// Caddy's log format is understood as well: "status", "resp_headers", and "user_id" with the lease
// and, where the answer was an error of Caddy itself, its status. Status 0: the client went away.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_ACCESS_LOG_H_
#define CREDBROKER_CLIENT_SIDECAR_ACCESS_LOG_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;

inline constexpr size_t kMaxDatagramBytes = 64 * 1024;

struct LoggedCall {
  enum class Kind {
    kNoLease,  // a request that had none
    kReport,   // `item` says what happened
    kUnused,   // the upstream was never asked: the lease is to be released
  };
  Kind kind = Kind::kNoLease;
  api::ReportItem item;  // checked; lease_id is set
};

// INVALID_ARGUMENT: it is no such line. The message never repeats what was sent.
absl::StatusOr<LoggedCall> ParseAccessLog(absl::string_view datagram);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_ACCESS_LOG_H_
