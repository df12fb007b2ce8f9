// Jitter of ladder durations: a hash of (seed, lease), so that the same run gives the same times
// and removing one event from a schedule changes no other.
#ifndef CREDBROKER_CORE_JITTER_H_
#define CREDBROKER_CORE_JITTER_H_

#include <cstdint>

#include "core/ids.h"

namespace credbroker::core {

// In [-0.2, 0.2]. splitmix64 (public domain, S. Vigna) of the two numbers.
inline double Jitter(uint64_t seed, LeaseSeq lease) {
  uint64_t z = seed + 0x9e3779b97f4a7c15u * (lease.number() + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return 0.4 * (static_cast<double>(z >> 11) * 0x1.0p-53) - 0.2;
}

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_JITTER_H_
