// Times and enumerators in records. Thread-safe: pure functions.
#ifndef CREDBROKER_SERVER_STORE_RECORD_TIME_H_
#define CREDBROKER_SERVER_STORE_RECORD_TIME_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/credential.h"
#include "credbroker/v1/types.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace credbroker::store {

namespace api = credbroker::v1;

inline absl::Status BadRecord(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("bad record: ", what));
}

// Nanoseconds; what is finer is cut off. Infinite times are not set.
inline void PutTime(absl::Time time, google::protobuf::Timestamp* out) {
  const absl::Duration since = time - absl::UnixEpoch();
  absl::Duration rest;
  int64_t seconds = absl::IDivDuration(since, absl::Seconds(1), &rest);
  if (rest < absl::ZeroDuration()) {
    --seconds;
    rest += absl::Seconds(1);
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

inline absl::Time GetTime(const google::protobuf::Timestamp& in) {
  return absl::FromUnixSeconds(in.seconds()) + absl::Nanoseconds(in.nanos());
}

inline bool Infinite(absl::Time time) {
  return time == absl::InfinitePast() || time == absl::InfiniteFuture();
}

// Causes of records have the API's numbers; those only counted are numbered apart.
inline api::Cause PutCause(core::Cause cause) {
  const int number = static_cast<int>(cause);
  if (cause <= core::Cause::kPolicy) return static_cast<api::Cause>(number);
  if (cause <= core::Cause::kDisabledByPolicy) {
    return static_cast<api::Cause>(number - static_cast<int>(core::Cause::kOperator) +
                                   api::CAUSE_OPERATOR);
  }
  return static_cast<api::Cause>(number - static_cast<int>(core::Cause::kBusy) + api::CAUSE_BUSY);
}

// False for a number this build does not know.
inline bool GetCause(api::Cause in, core::Cause& out) {
  for (int number = 0; number < core::kCauseCount; ++number) {
    out = static_cast<core::Cause>(number);
    if (PutCause(out) == in) return true;
  }
  return false;
}

// Enumerations of the core count from 0, those of the API from 1: 0 is "unspecified" there.
template <typename Proto, typename Core>
Proto PutEnum(Core value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}
template <typename Core, typename Proto>
bool GetEnum(Proto in, int count, Core& out) {
  const int number = static_cast<int>(in) - 1;
  if (number < 0 || number >= count) return false;
  out = static_cast<Core>(number);
  return true;
}

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_RECORD_TIME_H_
