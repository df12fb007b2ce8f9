// The broker's `now`: the boot clock, anchored to wall time once. It never steps when somebody sets
// the wall clock, and it counts the time a machine sleeps. Every lease, deadline and cooldown uses
// it.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_SERVER_ENGINE_CLOCK_H_
#define CREDBROKER_SERVER_ENGINE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace credbroker::engine {

class Clock {
 public:
  Clock() = default;
  virtual ~Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual absl::Time Now() const = 0;
  // Whether time passes by itself. Where it does not (tests), the engine's threads wait to be told.
  virtual bool runs() const { return true; }
};

// CLOCK_BOOTTIME plus the wall time at construction. Differs from the wall clock by what that one
// was stepped or slewed since.
class BootClock : public Clock {
 public:
  BootClock();
  absl::Time Now() const override;

 private:
  int64_t offset_ns_;  // wall minus boot time
};

// Stands still until it is moved. Moving it does not wake the engine: call Engine::Tick.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'800'000'000));
  absl::Time Now() const override;
  bool runs() const override { return false; }
  void Advance(absl::Duration by);

 private:
  std::atomic<int64_t> unix_ns_;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_CLOCK_H_
