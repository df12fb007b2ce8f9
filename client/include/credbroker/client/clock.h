// What the library takes from the outside world besides the network: time, sleep and chance. Tests
// give their own.
//
// Thread-safety: implementations must allow calls from any thread.
#ifndef CREDBROKER_CLIENT_CLOCK_H_
#define CREDBROKER_CLIENT_CLOCK_H_

#include <cstdint>
#include <memory>

#include "absl/time/time.h"

namespace credbroker::client {

// Time since the machine started, the time it slept included. A process that was stopped and goes
// on sees how long it was away; nobody can set this clock.
class Clock {
 public:
  Clock() = default;
  virtual ~Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  // Nanoseconds, never falling.
  virtual int64_t BootNanos() const = 0;
};

// Waits between the attempts of a unary call.
class Sleeper {
 public:
  Sleeper() = default;
  virtual ~Sleeper() = default;
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  // REQUIRES: `span` is not negative.
  virtual void Sleep(absl::Duration span) = 0;
};

// Jitter and ids. Not for keys.
class Random {
 public:
  Random() = default;
  virtual ~Random() = default;
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;
  // 64 evenly distributed bits.
  virtual uint64_t Bits() = 0;
  // In [0, 1).
  double Fraction() { return static_cast<double>(Bits() >> 11) * 0x1.0p-53; }
};

// CLOCK_BOOTTIME, the thread's sleep, and the system's random source.
std::shared_ptr<const Clock> SystemClock();
std::shared_ptr<Sleeper> SystemSleeper();
std::shared_ptr<Random> SystemRandom();

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_CLOCK_H_
