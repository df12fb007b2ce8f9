// When to connect, ping and give up: the life of a session's stream, without the stream.
//
//   kConnecting --welcome--> kConnected --break--> kReconnecting --validity over--> kLost
//                                ^------------------------welcome-----------------------'
//
// Times are nanoseconds of the boot clock. Thread-safety: the session's thread only.
#ifndef CREDBROKER_CLIENT_SESSION_CONNECTION_H_
#define CREDBROKER_CLIENT_SESSION_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/session/wire_time.h"
#include "credbroker/client/clock.h"
#include "credbroker/client/events.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

class Connection {
 public:
  // Full jitter between 0 and a ceiling that doubles between these. The first one is as wide as it
  // is because a broker's clients all lose it in the same instant; stock and the last known
  // material bridge the gap.
  static constexpr absl::Duration kMinBackoff = absl::Milliseconds(500);
  static constexpr absl::Duration kMaxBackoff = absl::Seconds(5);
  // From opening a stream to its hello, and from there to its welcome.
  static constexpr absl::Duration kWelcomeWithin = absl::Seconds(5);

  explicit Connection(Random& random) : random_(random) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ConnectionState state() const { return state_; }
  // Welcomed, and not broken since.
  bool up() const { return phase_ == Phase::kUp; }
  // Why it is not up; OK while it is.
  const absl::Status& cause() const { return cause_; }
  // Leases may be handed out of stock before this; 0: not at all.
  int64_t valid_until_ns() const { return valid_until_ns_; }
  // When the next attempt to connect is due; kNever while one is under way.
  int64_t reopen_at_ns() const { return phase_ == Phase::kDown ? reopen_at_ns_ : kNever; }
  const std::string& session_id() const { return session_id_; }
  // Whom to connect to, as the broker asked; empty: the usual address. Once.
  std::string TakeOwner() { return std::exchange(owner_, {}); }
  const BrokerTime& broker_time() const { return broker_time_; }

  // --- What happens ---

  // A stream is being opened. REQUIRES: reopen_at_ns() <= now.
  void Opened(int64_t now);
  // The connection is there and the hello is sent.
  void HelloSent(int64_t now) { opened_at_ns_ = now; }
  // The caller has checked the epoch.
  void Welcomed(const v1::SessionWelcome& welcome, int64_t now);
  // The stream is over. Returns whether the state changed.
  bool Closed(absl::Status cause, int64_t now);
  // The answer to ping `number`.
  void Ponged(uint64_t number);
  // Reconnect at a random moment within the message's spread.
  void GoAway(const v1::SessionGoAway& message, int64_t now);
  // Why the stream has to be cut now: validity is over, no welcome came, or it is time to go away.
  // OK: it has not.
  absl::Status MustCut(int64_t now) const;
  // Whether the validity ended by `now` and the state became kLost just now.
  bool BecameLost(int64_t now);

  bool PingDue(int64_t now) const { return up() && now >= next_ping_ns_; }
  // The number of a ping that is sent now.
  uint64_t Ping(int64_t now);

  // The next moment at which something above changes by itself.
  int64_t NextDue() const;

 private:
  enum class Phase { kDown, kOpening, kUp };

  Random& random_;
  ConnectionState state_ = ConnectionState::kConnecting;
  Phase phase_ = Phase::kDown;
  absl::Status cause_ = absl::UnavailableError("not connected yet");
  int attempts_ = 0;
  int64_t reopen_at_ns_ = 0;
  int64_t opened_at_ns_ = 0;
  int64_t go_at_ns_ = kNever;
  std::string owner_;
  std::string session_id_;
  absl::Duration ttl_;
  absl::Duration ping_interval_;
  int64_t valid_until_ns_ = 0;
  int64_t next_ping_ns_ = 0;
  uint64_t last_ping_ = 0;
  std::deque<std::pair<uint64_t, int64_t>> pings_;  // number, when sent
  BrokerTime broker_time_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_CONNECTION_H_
