// What to draw leases for, and how much of it to keep at hand.
//
// Thread-safety: plain values.
#ifndef CREDBROKER_CLIENT_TARGET_H_
#define CREDBROKER_CLIENT_TARGET_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "credbroker/v1/types.pb.h"

namespace credbroker::client {

// How many leases of a target are kept without a call for them. The level moves between 0 and
// `max`: it doubles when an acquire found the stock empty, halves when leases went back unused, and
// is refilled when half of it is gone. Leases are returned when none was taken for `idle_return`,
// or when half of their ttl is gone. Credentials with a cap, probes and pins are never in stock.
struct StockOptions {
  // 0 to 512. 0: no stock, every acquire asks the broker.
  int max = 64;
  // 0 to max: fetched as soon as the target is declared. Else the first acquire starts the stock.
  int initial = 0;
  // 1 s to 1 h.
  absl::Duration idle_return = absl::Seconds(60);
};

// What an acquire gets while the broker is away.
enum class WhenLost {
  // UNAVAILABLE (kSessionLost) at once if the session is lost, else what the broker says in time.
  kFail,
  // A lease from the last known material of a credential that was leased for this target, has no
  // cap, was not revoked and did not fail since, until the material expires. After a reconnect only
  // what the broker named again, with a lease that went on or a new one: it says nothing of the
  // others, which it may have disabled or deleted meanwhile. It is served at once if the session
  // is lost; when the broker, whether there or not, has not answered for serve_last_after (and
  // max_wait), or by the call's deadline; and when it answers that it cannot serve now
  // (UNAVAILABLE, INTERNAL and the like). What it refuses for a reason of its pool is refused. Such
  // leases are presented to the broker as soon as it answers, and reported then.
  kServeLast,
};

struct Target {
  // Default "default". 1 to 64 characters.
  std::string group = "default";
  // 1 to 16.
  std::vector<std::string> providers{};
  // At most 256 bytes; empty: no model.
  std::string model{};
  v1::CredentialKind kind = v1::CREDENTIAL_KIND_UNSPECIFIED;
  // At most 8, keys declared in the broker's configuration.
  std::map<std::string, std::string> labels{};
  // Life of its leases: 1 s to 1 h.
  absl::Duration ttl = absl::Seconds(120);
  // A lease in use is renewed when half its life is gone, up to the broker's maximum of 1 h.
  bool auto_renew = true;
  StockOptions stock{};
  WhenLost when_lost = WhenLost::kFail;
  // With kServeLast: leases made so that have not ended. 1 to 100,000.
  int max_serve_last = 64;
  // With kServeLast: how long a call waits for the broker before. 1 ms to 1 h.
  absl::Duration serve_last_after = absl::Milliseconds(500);
};

// Names a declared target of one session: 1 to 4,096; 0: none.
using TargetId = uint32_t;

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_TARGET_H_
