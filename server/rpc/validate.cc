#include "server/rpc/validate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace credbroker::rpc {
namespace {

constexpr size_t kMaxViolations = 20;
// The range of google.protobuf.Duration and Timestamp.
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int64_t kMinTimeSeconds = -62'135'596'800;
constexpr int64_t kMaxTimeSeconds = 253'402'300'799;
constexpr int32_t kNanos = 999'999'999;

}  // namespace

void Checker::Add(absl::string_view field, absl::string_view description) {
  if (violations_.size() < kMaxViolations) {
    violations_.push_back({absl::StrCat(prefix_, field), std::string(description)});
  }
}

void Checker::Require(bool given, absl::string_view field) {
  if (!given) Add(field, "is required");
}

void Checker::Text(absl::string_view value, size_t max, absl::string_view field) {
  if (value.size() > max) {
    Add(field, absl::StrCat("is ", value.size(), " bytes; at most ", max));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const auto byte = static_cast<unsigned char>(value[i]);
    if (byte < 0x20 || byte == 0x7f) {
      Add(field, absl::StrCat("has a control character at byte ", i));
      return;
    }
  }
}

void Checker::Name(absl::string_view value, absl::string_view field) {
  const bool good = std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
  if (!good || value.size() > 64) Add(field, "must be 1 to 64 characters of [a-z0-9._-]");
}

void Checker::Id(absl::string_view value, absl::string_view field) {
  Text(value, 256, field);
  if (value.empty()) return;
  if (value.front() == '/' || value.back() == '/' || value.find("//") != absl::string_view::npos) {
    Add(field, "must not begin or end with \"/\" nor have \"//\"");
  }
}

void Checker::Range(int64_t value, int64_t min, int64_t max, absl::string_view field) {
  if (value < min || value > max) {
    Add(field, absl::StrCat("must be ", min, " to ", max, ", is ", value));
  }
}

void Checker::Count(int value, int max, absl::string_view field) {
  if (value > max) Add(field, absl::StrCat("has ", value, " entries; at most ", max));
}

void Checker::Span(const google::protobuf::Duration& value, absl::Duration min, absl::Duration max,
                   absl::string_view field) {
  const int64_t s = value.seconds();
  const int32_t n = value.nanos();
  if (s < -kMaxDurationSeconds || s > kMaxDurationSeconds || n < -kNanos || n > kNanos ||
      (s > 0 && n < 0) || (s < 0 && n > 0)) {
    Add(field, "is not a valid duration");
    return;
  }
  const absl::Duration span = ToDuration(value);
  if (span < min || span > max) {
    Add(field, absl::StrCat("must be ", absl::FormatDuration(min), " to ",
                            absl::FormatDuration(max), ", is ", absl::FormatDuration(span)));
  }
}

void Checker::Time(const google::protobuf::Timestamp& value, absl::string_view field) {
  if (value.seconds() < kMinTimeSeconds || value.seconds() > kMaxTimeSeconds || value.nanos() < 0 ||
      value.nanos() > kNanos) {
    Add(field, "is not a valid time");
  }
}

void Checker::Url(absl::string_view value, absl::string_view schemes, absl::string_view field) {
  Text(value, 2048, field);
  if (value.empty()) return;
  const size_t colon = value.find("://");
  const std::string scheme = absl::AsciiStrToLower(value.substr(0, std::min(colon, value.size())));
  const std::vector<std::string> allowed = absl::StrSplit(schemes, ',');
  const absl::string_view rest = colon == absl::string_view::npos ? "" : value.substr(colon + 3);
  absl::string_view host = rest.substr(0, rest.find_first_of("/?#"));
  if (const size_t at = host.rfind('@'); at != absl::string_view::npos) host.remove_prefix(at + 1);
  if (colon == absl::string_view::npos ||
      std::find(allowed.begin(), allowed.end(), scheme) == allowed.end() || host.empty() ||
      host.front() == ':' || value.find(' ') != absl::string_view::npos) {
    Add(field,
        absl::StrCat("must be an address like ", allowed[0], "://host:port (", schemes, ")"));
  }
}

absl::Duration ToDuration(const google::protobuf::Duration& value) {
  return absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& value) {
  return absl::FromUnixSeconds(value.seconds()) + absl::Nanoseconds(value.nanos());
}

}  // namespace credbroker::rpc
