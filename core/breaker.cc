#include "core/breaker.h"

#include <algorithm>
#include <numeric>

namespace credbroker::core {
namespace {

constexpr uint32_t kSecondMask = 0x7fffffff;

}  // namespace

// The cell of a second: its distance from the newest one is below kWindow, so the true second can
// be had from the stamp, and cells go by the true second.
size_t Breaker::CellOf(int64_t second) {
  constexpr int64_t kCells = kWindow;
  return static_cast<size_t>((second % kCells + kCells) % kCells);
}

int64_t Breaker::AgeOf(uint32_t stamp) const {
  return (static_cast<uint32_t>(second_) - (stamp >> 1)) & kSecondMask;
}

bool Breaker::Counted(uint32_t stamp) const {
  return stamp != BreakerMember::kNever && (stamp & 1) == generation_ && AgeOf(stamp) < kWindow;
}

uint32_t Breaker::StampOf(int64_t second) const {
  return (static_cast<uint32_t>(second) & kSecondMask) << 1 | generation_;
}

void Breaker::Roll(absl::Time now) {
  const int64_t second = absl::ToUnixSeconds(now);
  if (second <= second_) return;
  const int64_t first = second_ > second - kWindow ? second_ + 1 : second - kWindow + 1;
  for (int64_t fresh = first; fresh <= second; ++fresh) {
    reported_[CellOf(fresh)] = 0;
    bad_[CellOf(fresh)] = 0;
  }
  second_ = second;
}

void Breaker::Move(uint32_t& stamp, Cells& cells) const {
  if (Counted(stamp)) --cells[CellOf(second_ - AgeOf(stamp))];
  ++cells[CellOf(second_)];
  stamp = StampOf(second_);
}

bool Breaker::Report(BreakerMember& member, bool bad, absl::Time now) {
  Roll(now);
  // Who reported in this second already stands in its cell.
  if (member.reported != StampOf(second_)) Move(member.reported, reported_);
  if (!bad) return false;
  Move(member.bad, bad_);
  if (open_) return false;
  const uint32_t failing = std::accumulate(bad_.begin(), bad_.end(), uint32_t{0});
  const uint32_t all = std::accumulate(reported_.begin(), reported_.end(), uint32_t{0});
  if (failing < kMinCredentials || failing < all - failing) return false;
  open_ = true;
  span_ = kFirstOpen;
  until_ = now + span_;
  probe_ = kNoLease;
  ++opened_;
  return true;
}

int Breaker::level() const {
  int level = 0;
  if (!open_) return level;
  for (absl::Duration span = kFirstOpen; span <= span_; span *= 2) ++level;
  return span_ == kMaxOpen ? level + 1 : level;
}

Breaker::State Breaker::StateAt(absl::Time now) const {
  if (!open_) return State::kClosed;
  return probe_ != kNoLease || now >= until_ ? State::kProbing : State::kOpen;
}

bool Breaker::TakeProbe(LeaseSeq lease, absl::Time now) {
  if (!CanProbe(now)) return false;
  probe_ = lease;
  until_ = now + kProbeVerdict;  // then it is no longer the probe
  return true;
}

void Breaker::ProbeSucceeded(absl::Time now) {
  Roll(now);
  open_ = false;
  span_ = absl::ZeroDuration();
  until_ = absl::InfinitePast();
  probe_ = kNoLease;
  reported_.fill(0);
  bad_.fill(0);
  generation_ ^= 1;
}

void Breaker::ProbeFailed(absl::Time now) {
  if (!open_) return;
  span_ = std::min(2 * span_, kMaxOpen);
  until_ = now + span_;
  probe_ = kNoLease;
}

void Breaker::ProbeInconclusive(absl::Time now) {
  if (!open_) return;
  until_ = now + span_;
  probe_ = kNoLease;
}

}  // namespace credbroker::core
