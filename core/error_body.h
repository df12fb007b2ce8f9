// What an upstream's error body says, read by a small scanner instead of a JSON parser: bodies are
// cut off after 4 KiB, some come as server-sent events or arrays, and none is to be trusted. Linear
// in the body; text inside a JSON string is never taken for a member. Pure, hence thread-safe.
#ifndef CREDBROKER_CORE_ERROR_BODY_H_
#define CREDBROKER_CORE_ERROR_BODY_H_

#include <optional>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace credbroker::core {

inline constexpr size_t kMaxBody = 4096;

// Visits each member whose value is a string or a number, in the order of the text: its key, its
// value as written (escapes are left in place), whether that was a string, and how many brackets
// are open (1: the outermost object). Stops at the first unterminated string and when `visit`
// returns false.
using MemberVisitor = absl::FunctionRef<bool(absl::string_view key, absl::string_view value,
                                             bool is_string, int depth)>;
void ForEachScalarMember(absl::string_view json, MemberVisitor visit);

struct ErrorBody {
  // Values of "code", "type", "status" and "reason" in the outer four levels: at most eight,
  // without repetition, views of the body.
  absl::InlinedVector<absl::string_view, 4> codes;
  // The longest of: google.rpc.RetryInfo "retryDelay", ErrorInfo metadata "quotaResetDelay"
  // (Google), "resets_in_seconds" and "resets_at" (ChatGPT plans).
  std::optional<absl::Duration> wait;
  std::string raw;  // what `wait` was read from
};

ErrorBody ScanErrorBody(absl::string_view body, absl::Time now);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_ERROR_BODY_H_
