// Counter and Histogram: what a hot path touches.
//
// Both are relaxed atomics and nothing else, because the library's own counter is a
// compare-and-swap loop on a double and its histogram takes a lock per observation. They are owned
// by Metrics, handed out once by reference at wiring time, and copied into the text format when
// somebody scrapes.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_SERVER_OBS_INSTRUMENTS_H_
#define CREDBROKER_SERVER_OBS_INSTRUMENTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "server/obs/metric_table.h"

namespace credbroker::obs {

class Counter {
 public:
  void Increment(uint64_t by = 1) noexcept { value_.fetch_add(by, std::memory_order_relaxed); }
  uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A histogram of durations. A negative observation counts as zero.
class Histogram {
 public:
  static constexpr size_t kMaxBounds = 20;

  // REQUIRES: `spec` is a histogram with 1 to kMaxBounds ascending buckets and outlives this.
  explicit Histogram(const MetricSpec& spec);
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  void Observe(absl::Duration duration) noexcept {
    ObserveNanoseconds(absl::ToInt64Nanoseconds(duration));
  }
  void ObserveNanoseconds(int64_t nanoseconds) noexcept {
    if (nanoseconds < 0) nanoseconds = 0;
    size_t i = 0;
    while (i < size_ && nanoseconds > bounds_ns_[i]) ++i;
    counts_[i].fetch_add(1, std::memory_order_relaxed);
    sum_ns_.fetch_add(static_cast<uint64_t>(nanoseconds), std::memory_order_relaxed);
  }

  const MetricSpec& spec() const { return spec_; }
  // Observations in bucket `i`, not cumulative; i == spec().buckets.size() is the +Inf bucket.
  uint64_t BucketCount(size_t i) const { return counts_[i].load(std::memory_order_relaxed); }
  double SumSeconds() const {
    return static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) * 1e-9;
  }

 private:
  const MetricSpec& spec_;
  size_t size_;
  std::array<int64_t, kMaxBounds> bounds_ns_{};
  std::array<std::atomic<uint64_t>, kMaxBounds + 1> counts_{};
  std::atomic<uint64_t> sum_ns_{0};
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_INSTRUMENTS_H_
