#include "server/rpc/redact.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace credbroker::rpc {
namespace {

// The password between "user:" and the last "@" of the authority; empty and null data: none.
absl::string_view PasswordOf(absl::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == absl::string_view::npos) return {};
  const size_t begin = scheme + 3;
  const size_t end = url.find_first_of("/?#", begin);
  const absl::string_view authority = url.substr(begin, end - begin);
  const size_t at = authority.rfind('@');
  if (at == absl::string_view::npos) return {};
  const size_t colon = authority.find(':');
  if (colon == absl::string_view::npos || colon > at) return {};
  return authority.substr(colon + 1, at - colon - 1);
}

std::string WithPassword(absl::string_view url, absl::string_view old, absl::string_view now) {
  const auto begin = static_cast<size_t>(old.data() - url.data());
  return absl::StrCat(url.substr(0, begin), now, url.substr(begin + old.size()));
}

}  // namespace

bool IsSecretHeader(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  return lower == "authorization" || lower == "proxy-authorization" || lower == "cookie" ||
         absl::EndsWith(lower, "-key") || absl::EndsWith(lower, "-token") ||
         absl::EndsWith(lower, "-secret");
}

std::string RedactUrl(absl::string_view url) {
  const absl::string_view password = PasswordOf(url);
  return password.empty() ? std::string(url) : WithPassword(url, password, kRedacted);
}

bool HasRedactedPassword(absl::string_view url) { return PasswordOf(url) == kRedacted; }

}  // namespace credbroker::rpc
