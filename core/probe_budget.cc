#include "core/probe_budget.h"

#include <algorithm>

#include "core/fault.h"

namespace credbroker::core {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

size_t CellOf(int64_t second) { return static_cast<size_t>(((second % 60) + 60) % 60); }

int64_t FloorSecond(int64_t ns) {
  return ns >= 0 ? ns / kSecondNs : -((-ns + kSecondNs - 1) / kSecondNs);
}

}  // namespace

void ProbeBudget::Roll(int64_t second) {
  if (second <= newest_) return;
  if (newest_ == INT64_MIN || second - newest_ >= kSeconds) {
    calls_.fill(0);
    total_ = 0;
  } else {
    for (int64_t gone = newest_ + 1; gone <= second; ++gone) {
      uint32_t& cell = calls_[CellOf(gone)];
      total_ -= cell;
      cell = 0;
    }
  }
  newest_ = second;
  newest_cell_ = CellOf(second);
}

void ProbeBudget::CountAcquire(absl::Time now) {
  const int64_t second = absl::ToUnixSeconds(now);
  if (second > newest_) Roll(second);
  ++calls_[newest_cell_];
  ++total_;
}

int64_t ProbeBudget::CallsUpTo(int64_t second) const {
  if (newest_ == INT64_MIN || second <= newest_) return total_;
  if (second - newest_ >= kSeconds) return 0;
  int64_t calls = total_;
  for (int64_t gone = newest_ + 1; gone <= second; ++gone) calls -= calls_[CellOf(gone)];
  return calls;
}

int64_t ProbeBudget::Rate(int64_t second, bool dry) const {
  return dry ? dry_rate_ : std::clamp(CallsUpTo(second), kMinRate, kMaxRate);
}

int64_t ProbeBudget::FillAt(int64_t now_ns, int64_t rate) const {
  if (!started_) return kFull;
  // The bucket is full after a minute at any rate; the clamp keeps the product in range.
  const int64_t elapsed = std::clamp<int64_t>(now_ns - filled_ns_, 0, 60 * kSecondNs);
  return std::min(kFull, fill_ + elapsed * rate);
}

bool ProbeBudget::TryTake(absl::Time now, bool dry) {
  const int64_t now_ns = absl::ToUnixNanos(now);
  const int64_t second = FloorSecond(now_ns);
  Roll(second);
  fill_ = FillAt(now_ns, Rate(second, dry));
  filled_ns_ = started_ ? std::max(filled_ns_, now_ns) : now_ns;
  started_ = true;
  if (fill_ < kFull) return false;
  fill_ = 0;
  return true;
}

absl::Time ProbeBudget::NextToken(absl::Time now, bool dry) const {
  const int64_t now_ns = absl::ToUnixNanos(now);
  // The rate falls as calls leave the window, so each second is asked with its own rate.
  for (int64_t second = FloorSecond(now_ns);; ++second) {
    const int64_t from_ns = std::max(now_ns, second * kSecondNs);
    const int64_t rate = Rate(second, dry);
    if (FillAt(from_ns, rate) >= kFull) {
      return from_ns == now_ns ? now : absl::FromUnixNanos(from_ns);
    }
    const int64_t at_ns = filled_ns_ + (kFull - fill_ + rate - 1) / rate;
    if (dry || at_ns < (second + 1) * kSecondNs) return absl::FromUnixNanos(at_ns);
  }
}

void ProbeBudget::OnResult(Result result) {
  if (SeededFault("budget_not_raised")) return;
  dry_rate_ = result == Result::kSuccess ? std::min(2 * dry_rate_, kMaxDryRate) : kMaxRate;
}

double ProbeBudget::RatePerMinute(absl::Time now, bool dry) const {
  return static_cast<double>(Rate(absl::ToUnixSeconds(now), dry)) / 100;
}

}  // namespace credbroker::core
