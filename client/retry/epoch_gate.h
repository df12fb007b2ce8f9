// The highest ownership epoch seen: answers of a lower one come from an owner that was replaced.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_CLIENT_RETRY_EPOCH_GATE_H_
#define CREDBROKER_CLIENT_RETRY_EPOCH_GATE_H_

#include <atomic>
#include <cstdint>

namespace credbroker::client {

class EpochGate {
 public:
  // False: lower than one already seen. 0 says nothing and passes.
  bool Admit(int64_t epoch) {
    if (epoch == 0) return true;
    int64_t highest = highest_.load(std::memory_order_relaxed);
    while (epoch > highest) {
      if (highest_.compare_exchange_weak(highest, epoch, std::memory_order_relaxed)) return true;
    }
    return epoch == highest;
  }
  int64_t highest() const { return highest_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> highest_{0};
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_RETRY_EPOCH_GATE_H_
