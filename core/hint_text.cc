#include "core/hint_text.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/civil_time.h"
#include "core/availability.h"

namespace credbroker::core {
namespace {

// Longer values are not what any of these headers holds.
constexpr size_t kMaxText = 128;
constexpr int kMaxDigits = 18;  // fits int64

struct Number {
  int64_t whole = 0;
  int64_t nanos = 0;  // the fraction, cut after nine digits
};

// Takes digits[.digits] off the front of `text`.
std::optional<Number> TakeNumber(absl::string_view& text) {
  Number n;
  size_t i = 0;
  int digits = 0;
  for (; i < text.size() && absl::ascii_isdigit(text[i]); ++i) {
    if ((n.whole != 0 || text[i] != '0') && ++digits > kMaxDigits) return std::nullopt;
    n.whole = n.whole * 10 + (text[i] - '0');
  }
  bool any = i > 0;
  if (i < text.size() && text[i] == '.') {
    ++i;
    int64_t scale = 100'000'000;
    for (; i < text.size() && absl::ascii_isdigit(text[i]); ++i) {
      any = true;
      n.nanos += (text[i] - '0') * scale;
      scale /= 10;
    }
  }
  if (!any) return std::nullopt;
  text.remove_prefix(i);
  return n;
}

absl::Duration Times(const Number& n, absl::Duration unit) {
  return n.whole * unit + static_cast<double>(n.nanos) * 1e-9 * unit;
}

std::optional<absl::Duration> TakeUnit(absl::string_view& text) {
  // Two-letter units first: "ms" is not "m" and "s".
  if (absl::ConsumePrefix(&text, "ms")) return absl::Milliseconds(1);
  if (absl::ConsumePrefix(&text, "us")) return absl::Microseconds(1);
  if (absl::ConsumePrefix(&text, "ns")) return absl::Nanoseconds(1);
  if (absl::ConsumePrefix(&text, "d")) return absl::Hours(24);
  if (absl::ConsumePrefix(&text, "h")) return absl::Hours(1);
  if (absl::ConsumePrefix(&text, "m")) return absl::Minutes(1);
  if (absl::ConsumePrefix(&text, "s")) return absl::Seconds(1);
  return std::nullopt;
}

// Reads fixed-width fields of a date.
class DateReader {
 public:
  explicit DateReader(absl::string_view text) : text_(text) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && text_.empty(); }
  void Literal(absl::string_view literal) { ok_ = ok_ && absl::ConsumePrefix(&text_, literal); }
  int Digits(int count) {
    int value = 0;
    for (int i = 0; i < count; ++i) {
      if (!ok_ || text_.empty() || !absl::ascii_isdigit(text_[0])) {
        ok_ = false;
        return 0;
      }
      value = value * 10 + (text_[0] - '0');
      text_.remove_prefix(1);
    }
    return value;
  }
  // A day of the month padded with a blank (asctime).
  int BlankPaddedDay() {
    if (ok_ && absl::ConsumePrefix(&text_, " ")) return Digits(1);
    return Digits(2);
  }
  template <size_t N>
  int OneOf(const std::array<absl::string_view, N>& names) {
    for (size_t i = 0; ok_ && i < N; ++i) {
      if (absl::ConsumePrefix(&text_, names[i])) return static_cast<int>(i);
    }
    ok_ = false;
    return 0;
  }
  struct Clock {
    int hour = 0, minute = 0, second = 0;
  };
  Clock TimeOfDay() {
    Clock c;
    c.hour = Digits(2);
    Literal(":");
    c.minute = Digits(2);
    Literal(":");
    c.second = Digits(2);
    return c;
  }

 private:
  absl::string_view text_;
  bool ok_ = true;
};

constexpr std::array<absl::string_view, 7> kShortDays = {"Mon", "Tue", "Wed", "Thu",
                                                         "Fri", "Sat", "Sun"};
constexpr std::array<absl::string_view, 7> kLongDays = {
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
constexpr std::array<absl::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<absl::Time> FromFields(int year, int month, int day, DateReader::Clock c) {
  // 60 is a leap second: the instant after 59.
  if (c.hour > 23 || c.minute > 59 || c.second > 60) return std::nullopt;
  const absl::CivilDay date(year, month, day);
  if (date.month() != month || date.day() != day) return std::nullopt;
  return absl::FromCivil(absl::CivilSecond(year, month, day, c.hour, c.minute, c.second),
                         absl::UTCTimeZone());
}

}  // namespace

std::optional<absl::Duration> ParseDecimal(absl::string_view text, absl::Duration unit) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() > kMaxText) return std::nullopt;
  const std::optional<Number> n = TakeNumber(text);
  if (!n.has_value() || !text.empty()) return std::nullopt;
  return Times(*n, unit);
}

std::optional<double> ParseDecimalNumber(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() > kMaxText) return std::nullopt;
  const std::optional<Number> n = TakeNumber(text);
  if (!n.has_value() || !text.empty()) return std::nullopt;
  return static_cast<double>(n->whole) + static_cast<double>(n->nanos) * 1e-9;
}

std::optional<absl::Duration> ParseSpan(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty() || text.size() > kMaxText) return std::nullopt;
  absl::Duration sum = absl::ZeroDuration();
  while (!text.empty()) {
    const std::optional<Number> n = TakeNumber(text);
    if (!n.has_value()) return std::nullopt;
    const std::optional<absl::Duration> unit = TakeUnit(text);
    if (!unit.has_value()) return std::nullopt;
    sum += Times(*n, *unit);  // saturates
  }
  return sum;
}

std::optional<absl::Time> ParseHttpDate(absl::string_view text, absl::Time now) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() > kMaxText) return std::nullopt;
  const size_t comma = text.find(',');
  DateReader r(text);
  int year = 0, month = 0, day = 0;
  DateReader::Clock clock;
  if (comma == 3) {  // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
    r.OneOf(kShortDays);
    r.Literal(", ");
    day = r.Digits(2);
    r.Literal(" ");
    month = r.OneOf(kMonths) + 1;
    r.Literal(" ");
    year = r.Digits(4);
    r.Literal(" ");
    clock = r.TimeOfDay();
    r.Literal(" GMT");
  } else if (comma != absl::string_view::npos) {  // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
    r.OneOf(kLongDays);
    r.Literal(", ");
    day = r.Digits(2);
    r.Literal("-");
    month = r.OneOf(kMonths) + 1;
    r.Literal("-");
    const int two = r.Digits(2);
    const int this_year = static_cast<int>(absl::ToCivilYear(now, absl::UTCTimeZone()).year());
    year = this_year / 100 * 100 + two;
    // "more than 50 years in the future ... the most recent year in the past that had the same last
    // two digits", and the other way round around the turn of a century.
    if (year > this_year + 50) year -= 100;
    if (year < this_year - 49) year += 100;
    r.Literal(" ");
    clock = r.TimeOfDay();
    r.Literal(" GMT");
  } else {  // asctime: Sun Nov  6 08:49:37 1994
    r.OneOf(kShortDays);
    r.Literal(" ");
    month = r.OneOf(kMonths) + 1;
    r.Literal(" ");
    day = r.BlankPaddedDay();
    r.Literal(" ");
    clock = r.TimeOfDay();
    r.Literal(" ");
    year = r.Digits(4);
  }
  if (!r.done()) return std::nullopt;
  return FromFields(year, month, day, clock);
}

std::optional<absl::Time> ParseRfc3339(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  // abseil also takes "infinite-future", signs and years of any length.
  if (text.size() < 20 || text.size() > 40 || !absl::ascii_isdigit(text[0]) || text[4] != '-') {
    return std::nullopt;
  }
  absl::Time t;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &t, &error)) return std::nullopt;
  return t;
}

std::optional<absl::Duration> UsableWait(std::optional<absl::Duration> wait) {
  if (!wait.has_value() || *wait <= absl::ZeroDuration() || *wait > kMaxCooldown) {
    return std::nullopt;
  }
  return wait;
}

std::optional<absl::Duration> ParseRetryAfter(absl::string_view text, absl::Time now) {
  if (const auto seconds = ParseDecimal(text, absl::Seconds(1))) return UsableWait(seconds);
  if (const auto date = ParseHttpDate(text, now)) return UsableWait(*date - now);
  return std::nullopt;
}

std::optional<absl::Time> ParseReset(absl::string_view text, absl::Time now) {
  std::optional<absl::Duration> wait;
  if (const auto number = ParseDecimalNumber(text)) {
    if (*number >= 1e12) {
      wait = absl::UnixEpoch() + *ParseDecimal(text, absl::Milliseconds(1)) - now;
    } else if (*number >= 1e9) {
      wait = absl::UnixEpoch() + *ParseDecimal(text, absl::Seconds(1)) - now;
    } else {
      wait = ParseDecimal(text, absl::Seconds(1));
    }
  } else if (const auto span = ParseSpan(text)) {
    wait = span;
  } else if (const auto time = ParseRfc3339(text)) {
    wait = *time - now;
  }
  wait = UsableWait(wait);
  if (!wait.has_value()) return std::nullopt;
  return now + *wait;
}

std::string RawHint(absl::string_view name, absl::string_view value) {
  std::string raw = absl::StrCat(name.substr(0, kMaxRawHint), ": ", value.substr(0, kMaxRawHint));
  if (raw.size() > kMaxRawHint) raw.resize(kMaxRawHint);
  for (char& c : raw) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return raw;
}

}  // namespace credbroker::core
