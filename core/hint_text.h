// Times and spans as upstreams write them. Every parser is total: what it does not understand, what
// is negative and what is out of range is nullopt. Pure, hence thread-safe; linear in the text.
#ifndef CREDBROKER_CORE_HINT_TEXT_H_
#define CREDBROKER_CORE_HINT_TEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace credbroker::core {

// "30", "0.5", ".25": a plain decimal number of `unit`; no sign, exponent, hex, inf or nan.
std::optional<absl::Duration> ParseDecimal(absl::string_view text, absl::Duration unit);

// A decimal number as a double, same syntax; at most 18 digits before the point.
std::optional<double> ParseDecimalNumber(absl::string_view text);

// "1m2.5s", "120ms", "6h0m0s", "1d2h": numbers with units d, h, m, s, ms, us or ns.
std::optional<absl::Duration> ParseSpan(absl::string_view text);

// The three forms of HTTP-date (RFC 9110 5.6.7). A two-digit year more than 50 years ahead of `now`
// is of the century before. The weekday must be a weekday, but need not fit the date.
std::optional<absl::Time> ParseHttpDate(absl::string_view text, absl::Time now);

// RFC 3339 with or without fraction.
std::optional<absl::Time> ParseRfc3339(absl::string_view text);

// Retry-After (RFC 9110 10.2.3): seconds from `now`, or an HTTP-date. Zero and past are nullopt.
std::optional<absl::Duration> ParseRetryAfter(absl::string_view text, absl::Time now);

// When a rate-limit window resets, as any provider writes it: a span, RFC 3339, unix milliseconds
// (from 1e12), unix seconds (from 1e9), else seconds from `now`. Only times after `now`.
std::optional<absl::Time> ParseReset(absl::string_view text, absl::Time now);

// The span if it is > 0 and at most kMaxCooldown, else nullopt.
std::optional<absl::Duration> UsableWait(std::optional<absl::Duration> wait);

// "name: value" as shown to people: printable ASCII, others as '?', at most kMaxRawHint bytes.
std::string RawHint(absl::string_view name, absl::string_view value);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_HINT_TEXT_H_
