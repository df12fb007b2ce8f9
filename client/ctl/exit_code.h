// The exit codes of credbrokerctl: a contract with scripts, also printed by --help.
#ifndef CREDBROKER_CLIENT_CTL_EXIT_CODE_H_
#define CREDBROKER_CLIENT_CTL_EXIT_CODE_H_

#include "absl/status/status.h"

namespace credbroker::ctl {

enum class ExitCode {
  kOk = 0,
  // Some of several items failed: rejected files, batch rows in conflict, ids that do not exist.
  kPartial = 1,
  // A bad command line, or INVALID_ARGUMENT.
  kUsage = 2,
  // NOT_FOUND; `report` of a lease the broker does not know.
  kNotFound = 3,
  // RESOURCE_EXHAUSTED: cooling, busy, breaker open, a limit.
  kExhausted = 4,
  // FAILED_PRECONDITION, OUT_OF_RANGE: disabled, wrong expected count, expired token or cursor.
  kPrecondition = 5,
  // ABORTED, ALREADY_EXISTS: wrong etag, id or file exists.
  kConflict = 6,
  // UNAVAILABLE, DEADLINE_EXCEEDED: no broker there, or too slow.
  kUnavailable = 7,
  // PERMISSION_DENIED, UNAUTHENTICATED.
  kPermission = 8,
  // All else, e.g. a file that cannot be read or written.
  kOther = 9,
};

inline constexpr char kExitCodeHelp[] =
    "  0  done\n"
    "  1  some of several items failed (rejected files, rows in conflict)\n"
    "  2  bad command line or argument\n"
    "  3  not found (credential, lease, group, provider, model, batch)\n"
    "  4  exhausted: cooling, busy, breaker open; 'retry in' says when\n"
    "  5  a precondition does not hold (disabled, wrong count, expired token)\n"
    "  6  conflict (wrong etag, exists already, ended request)\n"
    "  7  the broker is not reachable or too slow\n"
    "  8  not allowed\n"
    "  9  anything else\n";

ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_EXIT_CODE_H_
