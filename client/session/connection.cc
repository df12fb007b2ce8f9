#include "client/session/connection.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "credbroker/client/secret.h"

namespace credbroker::client {

void Connection::Opened(int64_t now) {
  phase_ = Phase::kOpening;
  opened_at_ns_ = now;
  go_at_ns_ = kNever;
  pings_.clear();
}

void Connection::Welcomed(const v1::SessionWelcome& welcome, int64_t now) {
  phase_ = Phase::kUp;
  state_ = ConnectionState::kConnected;
  cause_ = absl::OkStatus();
  WipeString(session_id_);
  session_id_ = welcome.session_id();
  // A broker always says them; a floor keeps a wrong one from making us spin.
  ttl_ = std::max(FromWire(welcome.ttl()), absl::Seconds(1));
  ping_interval_ = std::max(FromWire(welcome.ping_interval()), absl::Milliseconds(100));
  // The welcome answers the hello as a pong answers a ping.
  valid_until_ns_ = std::max(valid_until_ns_, After(opened_at_ns_, ttl_));
  broker_time_ = {opened_at_ns_, FromWire(welcome.now())};
  next_ping_ns_ = now;
}

bool Connection::Closed(absl::Status cause, int64_t now) {
  phase_ = Phase::kDown;
  cause_ = cause.ok() ? absl::UnavailableError("the broker ended the stream") : std::move(cause);
  if (absl::IsAborted(cause_)) {
    // Another stream resumed this session: it is not ours any more. Its leases are presented by
    // their tickets.
    WipeString(session_id_);
  }
  if (go_at_ns_ != kNever) {
    reopen_at_ns_ = std::max(now, go_at_ns_);
  } else {
    const absl::Duration ceiling =
        std::min(kMaxBackoff, kMinBackoff * static_cast<double>(1 << std::min(attempts_, 10)));
    reopen_at_ns_ = After(now, ceiling * random_.Fraction());
    ++attempts_;
  }
  go_at_ns_ = kNever;
  if (state_ != ConnectionState::kConnected) return false;
  state_ = ConnectionState::kReconnecting;
  return true;
}

void Connection::Ponged(uint64_t number) {
  while (!pings_.empty() && pings_.front().first <= number) {
    valid_until_ns_ = std::max(valid_until_ns_, After(pings_.front().second, ttl_));
    pings_.pop_front();
    attempts_ = 0;  // it works
  }
}

void Connection::GoAway(const v1::SessionGoAway& message, int64_t now) {
  owner_ = message.owner();
  go_at_ns_ = After(now, FromWire(message.spread()) * random_.Fraction());
}

absl::Status Connection::MustCut(int64_t now) const {
  if (phase_ == Phase::kUp && now >= valid_until_ns_) {
    return absl::UnavailableError("the broker answered no ping in time");
  }
  if (phase_ == Phase::kOpening && now >= After(opened_at_ns_, kWelcomeWithin)) {
    return absl::UnavailableError(
        absl::StrCat("no welcome within ", absl::FormatDuration(kWelcomeWithin)));
  }
  if (phase_ == Phase::kUp && now >= go_at_ns_) {
    return absl::UnavailableError("the broker asked to reconnect");
  }
  return absl::OkStatus();
}

bool Connection::BecameLost(int64_t now) {
  if (state_ != ConnectionState::kConnected && state_ != ConnectionState::kReconnecting) {
    return false;
  }
  if (now < valid_until_ns_) return false;
  valid_until_ns_ = 0;
  state_ = ConnectionState::kLost;
  return true;
}

uint64_t Connection::Ping(int64_t now) {
  next_ping_ns_ = After(now, ping_interval_);
  pings_.emplace_back(++last_ping_, now);
  return last_ping_;
}

int64_t Connection::NextDue() const {
  int64_t due = kNever;
  switch (phase_) {
    case Phase::kDown:
      due = reopen_at_ns_;
      break;
    case Phase::kOpening:
      due = After(opened_at_ns_, kWelcomeWithin);
      break;
    case Phase::kUp:
      due = std::min(next_ping_ns_, go_at_ns_);
      break;
  }
  if (state_ == ConnectionState::kConnected || state_ == ConnectionState::kReconnecting) {
    due = std::min(due, valid_until_ns_);
  }
  return due;
}

}  // namespace credbroker::client
