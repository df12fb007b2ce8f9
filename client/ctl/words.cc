#include "client/ctl/words.h"

#include <cctype>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace credbroker::ctl {
namespace {

// "CREDENTIAL_STATE_" for CredentialState, as buf's lint has it.
std::string PrefixOf(const google::protobuf::EnumDescriptor* type) {
  std::string prefix;
  for (const char c : type->name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return prefix + "_";
}

}  // namespace

std::string EnumWord(const google::protobuf::EnumDescriptor* type, int value) {
  const auto* known = type->FindValueByNumber(value);
  if (known == nullptr) return absl::StrCat(value);
  const std::string prefix = PrefixOf(type);
  std::string name = known->name();
  if (name.rfind(prefix, 0) == 0) name = name.substr(prefix.size());
  if (name == "UNSPECIFIED") return "";
  absl::AsciiStrToLower(&name);
  return name;
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Duration ToDuration(const google::protobuf::Duration& span) {
  return absl::Seconds(span.seconds()) + absl::Nanoseconds(span.nanos());
}

void FromTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void FromDuration(absl::Duration span, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(span, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

std::string SpanWords(absl::Duration span) {
  span = absl::AbsDuration(span);
  if (span > absl::ZeroDuration() && span < absl::Seconds(1)) return "<1 s";
  const int64_t total = absl::ToInt64Seconds(absl::Ceil(span, absl::Seconds(1)));
  const int64_t days = total / 86400;
  const int64_t hours = total / 3600 % 24;
  const int64_t minutes = total / 60 % 60;
  const int64_t seconds = total % 60;
  const auto two = [](int64_t a, const char* unit, int64_t b, const char* lesser) {
    return b == 0 ? absl::StrCat(a, " ", unit) : absl::StrCat(a, " ", unit, " ", b, " ", lesser);
  };
  if (days > 0) return two(days, "d", hours, "h");
  if (hours > 0) return two(hours, "h", minutes, "m");
  if (minutes > 0) return two(minutes, "m", seconds, "s");
  return absl::StrCat(seconds, " s");
}

std::string Relative(absl::Time time, absl::Time now) {
  if (time == now) return "now";
  return time > now ? absl::StrCat("in ", SpanWords(time - now))
                    : absl::StrCat(SpanWords(now - time), " ago");
}

std::string Absolute(absl::Time time, absl::Time now) {
  return absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()), " (",
                      Relative(time, now), ")");
}

std::string Count(int64_t number) {
  std::string digits = absl::StrCat(number);
  const size_t first = number < 0 ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3;) {
    i -= 3;
    digits.insert(i, 1, ',');
  }
  return digits;
}

Cell StateCell(v1::CredentialState state) {
  switch (state) {
    case v1::CREDENTIAL_STATE_AVAILABLE:
      return Cell("available", Color::kGreen);
    case v1::CREDENTIAL_STATE_WAITING:
      return Cell("waiting", Color::kYellow);
    case v1::CREDENTIAL_STATE_DISABLED:
      return Cell("disabled", Color::kRed);
    default:
      return Cell(Word(state));
  }
}

Cell StateCell(const v1::CredentialStatus& status) {
  Cell cell = StateCell(status.state());
  if (status.half_open()) cell.text += " (half-open)";
  if (status.busy()) cell.text += " (busy)";
  return cell;
}

std::string Pairs(const google::protobuf::Map<std::string, std::string>& map) {
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  return absl::StrJoin(sorted, ", ", absl::PairFormatter("="));
}

std::string CauseWords(const google::protobuf::RepeatedPtrField<v1::CauseCount>& counts) {
  std::vector<std::string> words;
  for (const v1::CauseCount& count : counts) {
    words.push_back(absl::StrCat(Word(count.cause()), " ", Count(count.count())));
  }
  return absl::StrJoin(words, ", ");
}

std::string StateWords(const v1::StateCounts& counts) {
  std::string words = absl::StrCat("available ", Count(counts.available()));
  std::vector<std::string> flags;
  if (counts.busy() > 0) flags.push_back(absl::StrCat("busy ", Count(counts.busy())));
  if (counts.half_open() > 0) {
    flags.push_back(absl::StrCat("half-open ", Count(counts.half_open())));
  }
  if (!flags.empty()) absl::StrAppend(&words, " (", absl::StrJoin(flags, ", "), ")");
  absl::StrAppend(&words, ", waiting ", Count(counts.waiting()), ", disabled ",
                  Count(counts.disabled()));
  return words;
}

std::string WithoutPassword(absl::string_view url) {
  const size_t scheme = url.find("://");
  const size_t begin = scheme == absl::string_view::npos ? 0 : scheme + 3;
  const absl::string_view authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  const size_t at = authority.rfind('@');
  if (at == absl::string_view::npos) return std::string(url);
  const size_t colon = authority.find(':');
  if (colon == absl::string_view::npos || colon > at) return std::string(url);
  return absl::StrCat(url.substr(0, begin + colon), ":***", url.substr(begin + at));
}

}  // namespace credbroker::ctl
