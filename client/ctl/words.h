// The API's values in words: enums, times, spans, counts.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_CTL_WORDS_H_
#define CREDBROKER_CLIENT_CTL_WORDS_H_

#include <cstdint>
#include <string>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/generated_enum_reflection.h>
#include <google/protobuf/map.h>
#include <google/protobuf/repeated_ptr_field.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/ctl/table.h"
#include "credbroker/v1/credential.pb.h"
#include "credbroker/v1/types.pb.h"

namespace credbroker::ctl {

// "rate_limited" for CAUSE_RATE_LIMITED; "" for UNSPECIFIED; the number if it is not known here.
std::string EnumWord(const google::protobuf::EnumDescriptor* type, int value);

template <typename Enum>
std::string Word(Enum value) {
  return EnumWord(google::protobuf::GetEnumDescriptor<Enum>(), static_cast<int>(value));
}

absl::Time ToTime(const google::protobuf::Timestamp& time);
absl::Duration ToDuration(const google::protobuf::Duration& span);
void FromTime(absl::Time time, google::protobuf::Timestamp* out);
void FromDuration(absl::Duration span, google::protobuf::Duration* out);

// "4 m 58 s", "2 h 5 m", "3 d 4 h", "29 s", "<1 s": the two greatest units, rounded up to seconds.
// Negative spans without their sign.
std::string SpanWords(absl::Duration span);
// "in 4 m 58 s", "3 s ago", "now".
std::string Relative(absl::Time time, absl::Time now);
// "2026-01-02T03:04:05Z (in 4 m 58 s)".
std::string Absolute(absl::Time time, absl::Time now);
// "" where the field is not set.
template <typename Message>
std::string RelativeIf(bool has, const Message& time, absl::Time now) {
  return has ? Relative(ToTime(time), now) : "";
}
template <typename Message>
std::string AbsoluteIf(bool has, const Message& time, absl::Time now) {
  return has ? Absolute(ToTime(time), now) : "";
}

// "1,234,567".
std::string Count(int64_t number);

// The state as a cell: green, yellow, red.
Cell StateCell(v1::CredentialState state);
// With "(busy)" or "(half-open)".
Cell StateCell(const v1::CredentialStatus& status);

// "a=1, b=2", sorted by key.
std::string Pairs(const google::protobuf::Map<std::string, std::string>& map);
// "rate_limited 12, busy 3".
std::string CauseWords(const google::protobuf::RepeatedPtrField<v1::CauseCount>& counts);
// "available 2, waiting 1, disabled 1", with busy and half-open ones if there are.
std::string StateWords(const v1::StateCounts& counts);
// The address without its password.
std::string WithoutPassword(absl::string_view url);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_WORDS_H_
