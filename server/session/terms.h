// What a session is promised and held to. A value.
#ifndef CREDBROKER_SERVER_SESSION_TERMS_H_
#define CREDBROKER_SERVER_SESSION_TERMS_H_

#include <cstddef>

#include "absl/time/time.h"

namespace credbroker::session {

struct Terms {
  absl::Duration ttl = absl::Seconds(15);           // silent for so long: lost
  absl::Duration grace = absl::Seconds(15);         // and so much later its leases are freed
  absl::Duration ping_interval = absl::Seconds(5);  // of the client
  absl::Duration cancel_within = absl::Seconds(5);  // in which a lost client stops its calls
  size_t max_sessions = 4'096;                      // open or resumable
  size_t max_sessions_per_principal = 1'024;
  size_t max_leases = 100'000;  // live ones of one session
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_TERMS_H_
