#include "client/ctl/flags.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

// RFC 9110 section 5.6.2.
bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("!#$%&'*+-.^_`|~", c);
  });
}

}  // namespace

absl::StatusOr<absl::Duration> ParseSpan(absl::string_view text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a span such as 30s, 5m, 1h30m or 7d"));
  };
  absl::Duration span;
  absl::string_view rest = text;
  // absl knows no days, and takes "inf".
  if (const size_t day = rest.find('d'); day != absl::string_view::npos) {
    int64_t days = 0;
    if (!absl::SimpleAtoi(rest.substr(0, day), &days) || days < 0 || days > 36500) return bad();
    span = absl::Hours(24) * days;
    rest.remove_prefix(day + 1);
  }
  if (!rest.empty() || span == absl::ZeroDuration()) {
    absl::Duration part;
    if (!rest.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(rest[0])) &&
        rest[0] != '.') {
      return bad();
    }
    if (rest.empty() ? text.empty() : !absl::ParseDuration(rest, &part)) return bad();
    span += part;
  }
  if (span > absl::Hours(24) * 36500) return bad();
  return span;
}

absl::StatusOr<Moment> ParseMoment(absl::string_view text) {
  if (const auto span = ParseSpan(text); span.ok()) return Moment{*span, {}};
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error) || time == absl::InfiniteFuture() ||
      time == absl::InfinitePast()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is neither a span such as 30m nor a time such as 2026-01-31T12:00:00Z"));
  }
  return Moment{std::nullopt, time};
}

absl::StatusOr<v1::Header> ParseHeader(absl::string_view text) {
  const size_t colon = text.find(':');
  const absl::string_view name = absl::StripAsciiWhitespace(text.substr(0, colon));
  if (colon == absl::string_view::npos || !IsToken(name)) {
    // The value may be a secret: it is not repeated.
    return absl::InvalidArgumentError("is not 'name: value'");
  }
  v1::Header header;
  header.set_name(absl::AsciiStrToLower(name));
  header.set_value(std::string(absl::StripAsciiWhitespace(text.substr(colon + 1))));
  return header;
}

absl::StatusOr<std::pair<std::string, std::string>> ParsePair(absl::string_view text) {
  const size_t equal = text.find('=');
  if (equal == absl::string_view::npos || equal == 0) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not key=value"));
  }
  return std::make_pair(std::string(text.substr(0, equal)), std::string(text.substr(equal + 1)));
}

Flag& FlagSet::Add(Flag flag) {
  flags_.push_back(std::move(flag));
  return flags_.back();
}

Flag& FlagSet::Switch(std::string name, bool* out, std::string help) {
  return Add({.name = std::move(name), .help = std::move(help), .set = [out](const std::string&) {
                *out = true;
                return absl::OkStatus();
              }});
}

Flag& FlagSet::Text(std::string name, std::string value, std::string* out, std::string help) {
  return Add({.name = std::move(name),
              .value = std::move(value),
              .help = std::move(help),
              .set = [out](const std::string& text) {
                if (text.empty()) return absl::InvalidArgumentError("must not be empty");
                *out = text;
                return absl::OkStatus();
              }});
}

Flag& FlagSet::OptionalText(std::string name, std::string value, std::optional<std::string>* out,
                            std::string help) {
  return Add({.name = std::move(name),
              .value = std::move(value),
              .help = std::move(help),
              .set = [out](const std::string& text) {
                *out = text;
                return absl::OkStatus();
              }});
}

Flag& FlagSet::Texts(std::string name, std::string value, std::vector<std::string>* out,
                     std::string help) {
  return Add({.name = std::move(name),
              .value = std::move(value),
              .help = std::move(help),
              .repeated = true,
              .set = [out](const std::string& text) {
                if (text.empty()) return absl::InvalidArgumentError("must not be empty");
                out->push_back(text);
                return absl::OkStatus();
              }});
}

Flag& FlagSet::Number(std::string name, std::optional<int64_t>* out, int64_t least, int64_t most,
                      std::string help) {
  return Add({.name = std::move(name),
              .value = "N",
              .help = std::move(help),
              .set = [out, least, most](const std::string& text) {
                int64_t number = 0;
                if (!absl::SimpleAtoi(text, &number)) {
                  return absl::InvalidArgumentError(
                      absl::StrCat("'", text, "' is not a whole number"));
                }
                if (number < least || number > most) {
                  return absl::InvalidArgumentError(
                      absl::StrCat("must be ", Count(least), " to ", Count(most), ", is ", text));
                }
                *out = number;
                return absl::OkStatus();
              }});
}

Flag& FlagSet::Span(std::string name, std::optional<absl::Duration>* out, std::string help) {
  return Add({.name = std::move(name),
              .value = "SPAN",
              .help = std::move(help),
              .set = [out](const std::string& text) {
                const auto span = ParseSpan(text);
                if (span.ok()) *out = *span;
                return span.status();
              }});
}

Flag& FlagSet::When(std::string name, std::optional<Moment>* out, std::string help) {
  return Add({.name = std::move(name),
              .value = "WHEN",
              .help = std::move(help),
              .set = [out](const std::string& text) {
                const auto moment = ParseMoment(text);
                if (moment.ok()) *out = *moment;
                return moment.status();
              }});
}

Flag& FlagSet::Headers(std::string name, std::vector<v1::Header>* out, std::string help) {
  return Add({.name = std::move(name),
              .value = "'NAME: VALUE'",
              .help = std::move(help),
              .repeated = true,
              .set = [out](const std::string& text) {
                const auto header = ParseHeader(text);
                if (header.ok()) out->push_back(*header);
                return header.status();
              }});
}

Flag& FlagSet::Pairs(std::string name, google::protobuf::Map<std::string, std::string>* out,
                     std::string help) {
  return Add({.name = std::move(name),
              .value = "KEY=VALUE",
              .help = std::move(help),
              .repeated = true,
              .set = [out](const std::string& text) {
                const auto pair = ParsePair(text);
                if (pair.ok()) (*out)[pair->first] = pair->second;
                return pair.status();
              }});
}

Flag& FlagSet::Choice(std::string name, std::string value, std::vector<std::string> words,
                      std::function<void(size_t)> chosen, std::string help) {
  return Add(
      {.name = std::move(name),
       .value = std::move(value),
       .help = std::move(help),
       .choices = words,
       .set = [words = std::move(words), chosen = std::move(chosen)](const std::string& text) {
         const std::string word = absl::StrReplaceAll(absl::AsciiStrToLower(text), {{"-", "_"}});
         const auto found = std::find_if(words.begin(), words.end(), [&](const auto& w) {
           return w == text || absl::StrReplaceAll(w, {{"-", "_"}}) == word;
         });
         if (found == words.end()) {
           return absl::InvalidArgumentError(
               absl::StrCat("'", text, "' is not one of ", absl::StrJoin(words, ", ")));
         }
         chosen(static_cast<size_t>(found - words.begin()));
         return absl::OkStatus();
       }});
}

Flag& FlagSet::EnumWords(std::string name, std::string value,
                         const google::protobuf::EnumDescriptor* type,
                         std::function<void(int)> chosen, std::string help) {
  std::vector<std::string> words;
  std::vector<int> numbers;
  for (int i = 0; i < type->value_count(); ++i) {
    const int number = type->value(i)->number();
    if (std::string word = EnumWord(type, number); !word.empty()) {
      words.push_back(std::move(word));
      numbers.push_back(number);
    }
  }
  return Choice(
      std::move(name), std::move(value), std::move(words),
      [numbers, chosen = std::move(chosen)](size_t i) { chosen(numbers[i]); }, std::move(help));
}

}  // namespace credbroker::ctl
