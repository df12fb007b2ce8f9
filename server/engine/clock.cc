#include "server/engine/clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace credbroker::engine {
namespace {

int64_t BootNanos() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);  // cannot fail on a Linux that runs this
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

BootClock::BootClock() : offset_ns_(absl::GetCurrentTimeNanos() - BootNanos()) {}

absl::Time BootClock::Now() const { return absl::FromUnixNanos(BootNanos() + offset_ns_); }

FakeClock::FakeClock(absl::Time start) : unix_ns_(absl::ToUnixNanos(start)) {}

absl::Time FakeClock::Now() const { return absl::FromUnixNanos(unix_ns_.load()); }

void FakeClock::Advance(absl::Duration by) { unix_ns_ += absl::ToInt64Nanoseconds(by); }

}  // namespace credbroker::engine
