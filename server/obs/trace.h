// W3C Trace Context: the `traceparent` header (https://www.w3.org/TR/trace-context/, level 1).
//
// Thread-safety: plain values.
#ifndef CREDBROKER_SERVER_OBS_TRACE_H_
#define CREDBROKER_SERVER_OBS_TRACE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "absl/strings/string_view.h"

namespace credbroker::obs {

struct TraceContext {
  uint64_t trace_high = 0;
  uint64_t trace_low = 0;
  uint64_t span_id = 0;
  bool sampled = false;

  // An invalid context (all zero) is "no trace".
  bool valid() const { return (trace_high != 0 || trace_low != 0) && span_id != 0; }
  std::string TraceId() const;      // 32 lower-case hex digits.
  std::string SpanId() const;       // 16 lower-case hex digits.
  std::string Traceparent() const;  // Version 00.

  friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

// Strict: nothing for upper-case hex, ids of zero, version ff, a version 00 of another length than
// 55, surrounding blanks. Of a higher version the first 55 characters count, as the standard says,
// if the end or a '-' follows.
std::optional<TraceContext> ParseTraceparent(absl::string_view header);

// The same trace and sampling with a span of its own. REQUIRES: parent.valid().
TraceContext ChildOf(const TraceContext& parent, absl::BitGenRef random);

// A new, unsampled trace for a request that came without one.
TraceContext NewTrace(absl::BitGenRef random);

// The trace of the request this thread is working on; log lines carry its id. Nested scopes
// restore the one before. Not to be held across a suspension that may resume on another thread.
class ScopedTrace {
 public:
  explicit ScopedTrace(const TraceContext& trace);
  ~ScopedTrace();
  ScopedTrace(const ScopedTrace&) = delete;
  ScopedTrace& operator=(const ScopedTrace&) = delete;

 private:
  const TraceContext previous_;
};

// Invalid when there is none.
const TraceContext& CurrentTrace();

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_TRACE_H_
