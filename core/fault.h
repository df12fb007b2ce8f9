// Seeded faults: deliberate mistakes that the test suite must find, switched on by name at run time
// in one test build (CREDBROKER_SEEDED_FAULTS). In every other build the question is a constant
// false.
#ifndef CREDBROKER_CORE_FAULT_H_
#define CREDBROKER_CORE_FAULT_H_

#include "absl/strings/string_view.h"

namespace credbroker::core {

#ifdef CREDBROKER_SEEDED_FAULTS
// The one fault that is on; empty: none. Set before the pool is used. Thread-compatible.
inline absl::string_view& SeededFaultOn() {
  static absl::string_view name;
  return name;
}
inline bool SeededFault(absl::string_view name) { return SeededFaultOn() == name; }
#else
constexpr bool SeededFault(absl::string_view) { return false; }
#endif

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_FAULT_H_
