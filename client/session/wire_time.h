// Times between the wire, absl and the boot clock.
//
// Thread-safety: plain values and pure functions.
#ifndef CREDBROKER_CLIENT_SESSION_WIRE_TIME_H_
#define CREDBROKER_CLIENT_SESSION_WIRE_TIME_H_

#include <cstdint>
#include <limits>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace credbroker::client {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

inline absl::Time FromWire(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}
inline absl::Duration FromWire(const google::protobuf::Duration& span) {
  return absl::Seconds(span.seconds()) + absl::Nanoseconds(span.nanos());
}
inline void ToWire(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}
inline void ToWire(absl::Duration span, google::protobuf::Duration* out) {
  out->set_seconds(absl::IDivDuration(span, absl::Seconds(1), &span));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(span)));
}

// `at` plus `span`, kNever where that is too far.
inline int64_t After(int64_t at, absl::Duration span) {
  if (span >= absl::Nanoseconds(kNever) - absl::Nanoseconds(at)) return kNever;
  return at + absl::ToInt64Nanoseconds(span);
}

// The broker's clock seen from here: what it showed at a moment of the boot clock. Set to the
// moment the question was sent, which is before the broker looked at its clock: so its deadlines
// come out a little early here and never late, and the wall clock of this machine does not matter.
struct BrokerTime {
  int64_t boot_ns = 0;
  absl::Time broker;

  int64_t ToBoot(absl::Time time) const {
    const absl::Duration span = time - broker;
    const absl::Duration least = absl::Nanoseconds(-boot_ns);
    return span <= least ? 0 : After(boot_ns, span);
  }
  absl::Time ToBroker(int64_t at_ns) const { return broker + absl::Nanoseconds(at_ns - boot_ns); }
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_WIRE_TIME_H_
