#include "server/obs/trace.h"

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"

namespace credbroker::obs {
namespace {

constexpr size_t kLength = 55;  // 00-<32>-<16>-<2>

thread_local TraceContext current_trace;

// Exactly the digits of `text`, lower case only. `text` has at most 16 of them.
bool ParseHex(absl::string_view text, uint64_t& value) {
  value = 0;
  for (const char c : text) {
    unsigned digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a') + 10;
    } else {
      return false;
    }
    value = value << 4 | digit;
  }
  return true;
}

uint64_t NonZero(absl::BitGenRef random) {
  return absl::Uniform<uint64_t>(absl::IntervalClosed, random, 1, UINT64_MAX);
}

std::string Hex(uint64_t value) { return absl::StrCat(absl::Hex(value, absl::kZeroPad16)); }

}  // namespace

std::string TraceContext::TraceId() const { return Hex(trace_high) + Hex(trace_low); }

std::string TraceContext::SpanId() const { return Hex(span_id); }

std::string TraceContext::Traceparent() const {
  return absl::StrCat("00-", TraceId(), "-", SpanId(), sampled ? "-01" : "-00");
}

std::optional<TraceContext> ParseTraceparent(absl::string_view header) {
  if (header.size() < kLength) return std::nullopt;
  uint64_t version = 0;
  if (!ParseHex(header.substr(0, 2), version) || version == 0xff) return std::nullopt;
  if (version == 0 && header.size() != kLength) return std::nullopt;
  if (header.size() > kLength && header[kLength] != '-') return std::nullopt;
  if (header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  TraceContext trace;
  uint64_t flags = 0;
  if (!ParseHex(header.substr(3, 16), trace.trace_high) ||
      !ParseHex(header.substr(19, 16), trace.trace_low) ||
      !ParseHex(header.substr(36, 16), trace.span_id) || !ParseHex(header.substr(53, 2), flags)) {
    return std::nullopt;
  }
  if (!trace.valid()) return std::nullopt;
  trace.sampled = (flags & 1) != 0;
  return trace;
}

TraceContext ChildOf(const TraceContext& parent, absl::BitGenRef random) {
  TraceContext child = parent;
  child.span_id = NonZero(random);
  return child;
}

TraceContext NewTrace(absl::BitGenRef random) {
  TraceContext trace;
  trace.trace_high = NonZero(random);
  trace.trace_low = NonZero(random);
  trace.span_id = NonZero(random);
  return trace;
}

ScopedTrace::ScopedTrace(const TraceContext& trace) : previous_(current_trace) {
  current_trace = trace;
}

ScopedTrace::~ScopedTrace() { current_trace = previous_; }

const TraceContext& CurrentTrace() { return current_trace; }

}  // namespace credbroker::obs
