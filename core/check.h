// CB_CHECK(condition): an invariant of the core. Always on, in release builds too: a broker that
// goes on with broken bookkeeping hands out credentials it should not. A failed one writes the
// place to standard error and aborts. For errors of callers and of the outside use absl::Status.
#ifndef CREDBROKER_CORE_CHECK_H_
#define CREDBROKER_CORE_CHECK_H_

namespace credbroker::core {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace credbroker::core

#define CB_CHECK(condition)           \
  ((condition) ? static_cast<void>(0) \
               : ::credbroker::core::CheckFailed(#condition, __FILE__, __LINE__))

#endif  // CREDBROKER_CORE_CHECK_H_
