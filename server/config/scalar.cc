#include "server/config/scalar.h"

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace credbroker::config {
namespace {

struct Unit {
  absl::string_view name;
  absl::Duration length;
};

// From the longest to the shortest.
const Unit* Units(size_t& count) {
  static const Unit kUnits[] = {{"d", absl::Hours(24)},
                                {"h", absl::Hours(1)},
                                {"m", absl::Minutes(1)},
                                {"s", absl::Seconds(1)},
                                {"ms", absl::Milliseconds(1)}};
  count = std::size(kUnits);
  return kUnits;
}

constexpr size_t kMaxDigits = 12;  // times a day still fits an absl::Duration

// "12" or "1.5" of `unit` at the front of `text`.
std::optional<absl::Duration> TakeNumber(absl::string_view& text, absl::Duration& fraction_of) {
  const auto digits = [&text]() {
    size_t n = 0;
    while (n < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[n]))) ++n;
    const absl::string_view out = text.substr(0, n);
    text.remove_prefix(n);
    return out;
  };
  const absl::string_view whole = digits();
  if (whole.empty() || whole.size() > kMaxDigits) return std::nullopt;
  absl::string_view fraction;
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    fraction = digits();
    if (fraction.empty() || fraction.size() > kMaxDigits) return std::nullopt;
  }
  size_t count = 0;
  const Unit* units = Units(count);
  size_t letters = 0;
  while (letters < text.size() && absl::ascii_isalpha(static_cast<unsigned char>(text[letters]))) {
    ++letters;
  }
  for (size_t i = 0; i < count; ++i) {
    if (text.substr(0, letters) != units[i].name) continue;
    if (units[i].length >= fraction_of) return std::nullopt;  // a unit twice, or out of order
    fraction_of = units[i].length;
    text.remove_prefix(letters);
    int64_t n = 0;
    for (const char c : whole) n = n * 10 + (c - '0');
    absl::Duration total = units[i].length * n;
    absl::Duration digit_unit = units[i].length;
    for (const char c : fraction) {
      digit_unit /= 10;
      total += digit_unit * (c - '0');
    }
    return total;
  }
  return std::nullopt;
}

absl::string_view Prefixless(const google::protobuf::EnumValueDescriptor& value) {
  // STRATEGY_UNSPECIFIED, always the value 0, shows the prefix.
  const std::string& zero = value.type()->FindValueByNumber(0)->name();
  const size_t prefix = zero.size() - absl::string_view("UNSPECIFIED").size();
  return absl::string_view(value.name()).substr(prefix);
}

std::string Spelled(absl::string_view text) {
  return absl::StrReplaceAll(absl::AsciiStrToUpper(text), {{"-", "_"}});
}

}  // namespace

std::optional<absl::Duration> ParseDuration(absl::string_view text) {
  if (text.empty()) return std::nullopt;
  absl::Duration total;
  absl::Duration last_unit = absl::InfiniteDuration();
  while (!text.empty()) {
    const std::optional<absl::Duration> part = TakeNumber(text, last_unit);
    if (!part.has_value()) return std::nullopt;
    total += *part;
  }
  if (total > absl::Hours(24) * 10'000) return std::nullopt;
  return total;
}

std::string DurationText(absl::Duration duration) {
  std::string out;
  size_t count = 0;
  const Unit* units = Units(count);
  for (size_t i = 0; i < count; ++i) {
    const int64_t n = absl::IDivDuration(duration, units[i].length, &duration);
    if (n > 0) absl::StrAppend(&out, n, units[i].name);
  }
  return out.empty() ? "0s" : out;
}

const google::protobuf::EnumValueDescriptor* FindEnumValue(
    const google::protobuf::EnumDescriptor& type, absl::string_view text) {
  const std::string wanted = Spelled(text);
  for (int i = 0; i < type.value_count(); ++i) {
    const google::protobuf::EnumValueDescriptor* value = type.value(i);
    if (value->number() == 0) continue;
    if (wanted == Prefixless(*value) || wanted == value->name()) return value;
  }
  return nullptr;
}

std::string EnumText(const google::protobuf::EnumValueDescriptor& value) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(Prefixless(value)), {{"_", "-"}});
}

std::string EnumTexts(const google::protobuf::EnumDescriptor& type) {
  std::string out;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    absl::StrAppend(&out, out.empty() ? "" : ", ", EnumText(*type.value(i)));
  }
  return out;
}

}  // namespace credbroker::config
