#include "server/obs/instruments.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace credbroker::obs {

Histogram::Histogram(const MetricSpec& spec)
    : spec_(spec), size_(std::min(spec.buckets.size(), kMaxBounds)) {
  assert(spec.type == MetricType::kHistogram);
  assert(!spec.buckets.empty() && spec.buckets.size() <= kMaxBounds);
  for (size_t i = 0; i < size_; ++i) {
    bounds_ns_[i] = static_cast<int64_t>(std::llround(spec.buckets[i] * 1e9));
    assert(i == 0 || bounds_ns_[i] > bounds_ns_[i - 1]);
  }
}

}  // namespace credbroker::obs
