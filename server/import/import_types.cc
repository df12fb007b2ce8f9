#include "server/import/import_types.h"

#include "core/check.h"

namespace credbroker::import {

absl::string_view Name(Action action) {
  switch (action) {
    case Action::kCreated:
      return "created";
    case Action::kUpdated:
      return "updated";
    case Action::kUnchanged:
      return "unchanged";
    case Action::kSkipped:
      return "skipped";
    case Action::kRejected:
      return "rejected";
    case Action::kRevived:
      return "revived";
    case Action::kRetired:
      return "retired";
  }
  CB_CHECK(false && "value outside its enumeration");
  return "";
}

absl::string_view Name(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kInvalidFile:
      return "invalid_file";
    case Reason::kRefreshTokenSpent:
      return "refresh_token_spent";
    case Reason::kRefreshTokenOwned:
      return "refresh_token_owned";
    case Reason::kCredentialExists:
      return "credential_exists";
    case Reason::kRefused:
      return "refused";
    case Reason::kLimitReached:
      return "limit_reached";
  }
  CB_CHECK(false && "value outside its enumeration");
  return "";
}

}  // namespace credbroker::import
