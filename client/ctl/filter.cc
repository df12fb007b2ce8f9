#include "client/ctl/filter.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace credbroker::ctl {

absl::StatusOr<std::string> WithProviders(const std::string& filter,
                                          const std::vector<std::string>& providers) {
  std::string any;
  for (const std::string& name : providers) {
    const bool ok = std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_islower(static_cast<unsigned char>(c)) ||
             absl::ascii_isdigit(static_cast<unsigned char>(c)) || absl::StrContains("._-", c);
    });
    if (!ok) {
      return absl::InvalidArgumentError(
          absl::StrCat("--provider: '", name, "' has characters other than a-z 0-9 . _ -"));
    }
    absl::StrAppend(&any, any.empty() ? "" : " OR ", "provider = \"", name, "\"");
  }
  if (any.empty()) return filter;
  if (filter.empty()) return any;
  return absl::StrCat("(", filter, ") AND (", any, ")");
}

}  // namespace credbroker::ctl
