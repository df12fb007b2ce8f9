#include "credbroker/client/clock.h"

#include <ctime>

#include <random>

#include "absl/time/clock.h"

namespace credbroker::client {
namespace {

class BootClock final : public Clock {
 public:
  int64_t BootNanos() const override {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
};

class ThreadSleeper final : public Sleeper {
 public:
  void Sleep(absl::Duration span) override { absl::SleepFor(span); }
};

class DeviceRandom final : public Random {
 public:
  uint64_t Bits() override {
    // Its own generator for each thread: no lock.
    thread_local std::mt19937_64 engine = [] {
      std::random_device device;
      std::seed_seq seed{device(), device(), device(), device()};
      return std::mt19937_64(seed);
    }();
    return engine();
  }
};

}  // namespace

std::shared_ptr<const Clock> SystemClock() {
  static const auto clock = std::make_shared<const BootClock>();
  return clock;
}

std::shared_ptr<Sleeper> SystemSleeper() {
  static const auto sleeper = std::make_shared<ThreadSleeper>();
  return sleeper;
}

std::shared_ptr<Random> SystemRandom() {
  static const auto random = std::make_shared<DeviceRandom>();
  return random;
}

}  // namespace credbroker::client
