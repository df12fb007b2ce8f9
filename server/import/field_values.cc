#include "server/import/field_values.h"

#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/credential.h"

namespace credbroker::import {
namespace {

constexpr double kMillisecondsFrom = 1e12;

std::optional<absl::Time> FromUnix(double number) {
  if (!(number > 0)) return std::nullopt;
  if (number > kMillisecondsFrom) number /= 1000;
  if (number >= 253'402'300'800.0) return std::nullopt;  // the year 10000
  const double whole = std::floor(number);
  return absl::FromUnixSeconds(static_cast<int64_t>(whole)) +
         absl::Milliseconds(std::llround((number - whole) * 1000));
}

bool AllDigits(absl::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

// host, host:port, [v6], [v6]:port, behind optional user info.
bool IsAuthority(absl::string_view authority) {
  if (const size_t at = authority.rfind('@'); at != absl::string_view::npos) {
    authority.remove_prefix(at + 1);
  }
  absl::string_view port;
  if (absl::StartsWith(authority, "[")) {
    const size_t close = authority.find(']');
    if (close == absl::string_view::npos || close < 3) return false;
    absl::string_view rest = authority.substr(close + 1);
    if (rest.empty()) return true;
    if (!absl::ConsumePrefix(&rest, ":")) return false;
    port = rest;
  } else {
    const size_t colon = authority.find(':');
    if (authority.substr(0, colon).empty()) return false;
    if (colon == absl::string_view::npos) return true;
    port = authority.substr(colon + 1);
  }
  int number = 0;
  return AllDigits(port) && absl::SimpleAtoi(port, &number) && number >= 1 && number <= 65535;
}

bool IsUrl(absl::string_view text, absl::string_view scheme) {
  if (text.size() > 2048 || !absl::StartsWithIgnoreCase(text, scheme)) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || absl::StrContains("\"<>\\^`{|}", c)) {
      return false;
    }
  }
  text.remove_prefix(scheme.size());
  return IsAuthority(text.substr(0, text.find_first_of("/?#")));
}

}  // namespace

std::optional<bool> ReadBool(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_string()) return std::nullopt;
  const std::string text =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(value.get_ref<const std::string&>()));
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return std::nullopt;
}

std::optional<int64_t> ReadInteger(const Json& value, bool truncate) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    return number > static_cast<uint64_t>(kMax) ? kMax : static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!truncate && number != std::trunc(number)) return std::nullopt;
    if (number >= 9.2e18) return kMax;
    if (number <= -9.2e18) return std::numeric_limits<int64_t>::min();
    return static_cast<int64_t>(std::trunc(number));
  }
  if (!value.is_string()) return std::nullopt;
  absl::string_view text = absl::StripAsciiWhitespace(value.get_ref<const std::string&>());
  const bool negative = absl::ConsumePrefix(&text, "-");
  if (!negative) absl::ConsumePrefix(&text, "+");
  if (!AllDigits(text)) return std::nullopt;
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) number = kMax;  // digits only: it is too large
  return negative ? -number : number;
}

bool IsNoTime(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_number()) return value.get<double>() == 0;
  if (!value.is_string()) return false;
  const absl::string_view text = absl::StripAsciiWhitespace(value.get_ref<const std::string&>());
  return text.empty() || text == "0" || absl::StartsWith(text, "0001-01-01");
}

std::optional<absl::Time> ReadTime(const Json& value) {
  if (value.is_number()) return FromUnix(value.get<double>());
  if (!value.is_string()) return std::nullopt;
  const absl::string_view text = absl::StripAsciiWhitespace(value.get_ref<const std::string&>());
  if (text.empty() || text.size() > 64) return std::nullopt;
  // A bare number; "1e9", "inf" and "0x10" are not one.
  if (text.find_first_not_of("0123456789.") == absl::string_view::npos) {
    double number = 0;
    return absl::SimpleAtod(text, &number) ? FromUnix(number) : std::nullopt;
  }
  absl::Time time;
  for (const char* format : {"%Y-%m-%d%ET%H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S%Ez",
                             "%Y-%m-%d%ET%H:%M:%E*S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"}) {
    if (absl::ParseTime(format, text, absl::UTCTimeZone(), &time, nullptr)) {
      if (time < absl::UnixEpoch() || time >= absl::FromUnixSeconds(253'402'300'800)) break;
      return time;
    }
  }
  return std::nullopt;
}

std::optional<std::string> ReadProxyUrl(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty()) return "";
  if (absl::EqualsIgnoreCase(text, core::kDirect) || absl::EqualsIgnoreCase(text, "none")) {
    return std::string(core::kDirect);
  }
  for (const char* scheme : {"http://", "https://", "socks5://", "socks5h://"}) {
    if (IsUrl(text, scheme)) return std::string(text);
  }
  return std::nullopt;
}

bool IsHttpUrl(absl::string_view text) { return IsUrl(text, "http://") || IsUrl(text, "https://"); }

bool HasUserInfo(absl::string_view url) {
  const size_t begin = url.find("://");
  if (begin == absl::string_view::npos) return false;
  absl::string_view rest = url.substr(begin + 3);
  return absl::StrContains(rest.substr(0, rest.find_first_of("/?#")), '@');
}

bool IsHeaderName(absl::string_view name) {
  if (name.empty() || name.size() > 128) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        !absl::StrContains("!#$%&'*+-.^_`|~", c)) {
      return false;
    }
  }
  return true;
}

bool IsHeaderValue(absl::string_view value) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return false;
  }
  return true;
}

bool IsSecretHeader(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::StrContains(lower, "authorization") || absl::StrContains(lower, "cookie") ||
         absl::EndsWith(lower, "key") || absl::EndsWith(lower, "token") ||
         absl::EndsWith(lower, "secret") || absl::EndsWith(lower, "password");
}

bool IsSecretName(absl::string_view key) {
  const std::string lower = absl::StrReplaceAll(absl::AsciiStrToLower(key), {{"-", "_"}});
  for (const char* end : {"token", "tokens", "secret", "secrets", "password", "passwd", "_key",
                          "apikey", "privatekey", "sessionkey", "cookie", "cookies", "credential",
                          "credentials", "authorization", "assertion", "jwt"}) {
    if (absl::EndsWith(lower, end)) return true;
  }
  return false;
}

bool HasControlCharacters(absl::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return true;
  }
  return false;
}

bool IsPlainName(absl::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  for (const char c : name) {
    if (!absl::ascii_islower(static_cast<unsigned char>(c)) &&
        !absl::ascii_isdigit(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') {
      return false;
    }
  }
  return true;
}

}  // namespace credbroker::import
