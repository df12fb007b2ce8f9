// What sessions count: sums since start, added once a message.
//
// Thread-safety: every member may be used from any thread.
#ifndef CREDBROKER_SERVER_SESSION_COUNTERS_H_
#define CREDBROKER_SERVER_SESSION_COUNTERS_H_

#include "server/obs/instruments.h"

namespace credbroker::session {

struct Counters {
  // --- lives ---
  obs::Counter opened, resumed;
  obs::Counter refused;   // by a limit
  obs::Counter replaced;  // resumed on another stream while one was open
  obs::Counter silent;    // nothing heard for ttl
  obs::Counter cut;       // did not read
  obs::Counter closed;    // left without a lease, or was freed
  obs::Counter bad_frames;
  // --- items ---
  obs::Counter stocked, granted, not_granted;
  obs::Counter reports, unknown_leases;
  obs::Counter releases, renewals;
  obs::Counter resumed_leases, refused_leases;
  obs::Counter materials;  // sent
  obs::Counter revocations, acknowledged;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_COUNTERS_H_
