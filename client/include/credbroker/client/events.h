// What a session tells of its life.
//
// Thread-safety: plain values. The callbacks are called on the session's thread, one at a time, in
// order, with no lock held: they must not block and may use the session (but not Close it).
#ifndef CREDBROKER_CLIENT_EVENTS_H_
#define CREDBROKER_CLIENT_EVENTS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "credbroker/v1/session.pb.h"
#include "credbroker/v1/types.pb.h"

namespace credbroker::client {

enum class ConnectionState {
  // The first connection is being made.
  kConnecting,
  // Welcomed: stock, acquires and reports flow.
  kConnected,
  // The stream broke. Stock is still handed out until the session's validity is over.
  kReconnecting,
  // Validity is over: stock is void, unless targets serve the last known material. Goes on
  // reconnecting.
  kLost,
  // Closed by Close().
  kClosed,
};

// "connecting", "connected", "reconnecting", "lost" or "closed".
const char* ConnectionStateName(ConnectionState state);

struct ConnectionEvent {
  ConnectionState state = ConnectionState::kConnecting;
  // Why the connection went; OK in kConnected.
  absl::Status cause{};
  // Ownership epoch of the broker; 0 before the first welcome.
  int64_t epoch = 0;
  // kConnected: the broker knew the session; else it is a new one.
  bool resumed = false;
  // kConnected: leases that were presented and refused; each is flagged revoked.
  size_t refused_leases = 0;
};

// What may not be handed out any more; it already is not when this is called.
struct RevocationEvent {
  // Empty: `cancel` names leases of several credentials, which the broker refused when the session
  // resumed, or which have a cap and lost their session (reason LEASE_ENDED).
  std::string credential_id{};
  std::string credential_uid{};
  // Only this upstream model; empty: every one.
  std::string model{};
  v1::SessionRevocationReason reason = v1::SESSION_REVOCATION_REASON_UNSPECIFIED;
  v1::Cause cause = v1::CAUSE_UNSPECIFIED;
  // When it is expected back; not set: unknown.
  std::optional<absl::Time> until{};
  // Leases dropped from stock.
  size_t dropped = 0;
  // Lease::local_id of leases in use whose calls should be cancelled: they are flagged revoked.
  std::vector<uint64_t> cancel{};
};

struct SessionEvents {
  std::function<void(const ConnectionEvent&)> on_connection{};
  std::function<void(const RevocationEvent&)> on_revoked{};
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_EVENTS_H_
