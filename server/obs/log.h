// The log: one JSON object a line on stderr.
//
//   {"ts":"2026-03-01T12:00:00.123Z","level":"info","component":"store","msg":"opened",
//    "trace_id":"4bf9...","rows":50000}
//
// trace_id is that of the thread's ScopedTrace and is absent without one. Values are escaped, bytes
// that are not UTF-8 become U+FFFD, and a value longer than kMaxValueBytes is cut with an ellipsis,
// so a caller's string can neither forge a line nor flood the log. A core::Secret does not compile
// as a field.
//
// Thread-safety: every function may be called from any thread; lines never interleave.
#ifndef CREDBROKER_SERVER_OBS_LOG_H_
#define CREDBROKER_SERVER_OBS_LOG_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace credbroker::core {
class Secret;
}  // namespace credbroker::core

namespace credbroker::obs {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

inline constexpr size_t kMaxValueBytes = 4096;

// One key and value of a line. References its arguments: for use as a temporary in a Log call.
// A duration is written in seconds, a time as RFC 3339, a Status as its text.
class LogField {
 public:
  using Value = std::variant<absl::string_view, int64_t, uint64_t, double, bool, std::string>;

  LogField(absl::string_view key, absl::string_view value) : key_(key), value_(value) {}
  LogField(absl::string_view key, const char* value)
      : key_(key), value_(absl::NullSafeStringView(value)) {}
  LogField(absl::string_view key, const std::string& value)
      : key_(key), value_(absl::string_view(value)) {}
  template <std::same_as<bool> T>
  LogField(absl::string_view key, T value) : key_(key), value_(value) {}
  template <std::signed_integral T>
  requires(!std::same_as<T, char>) LogField(absl::string_view key, T value)
      : key_(key), value_(static_cast<int64_t>(value)) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) LogField(absl::string_view key, T value)
      : key_(key), value_(static_cast<uint64_t>(value)) {}
  LogField(absl::string_view key, double value) : key_(key), value_(value) {}
  LogField(absl::string_view key, absl::Duration value)
      : key_(key), value_(absl::ToDoubleSeconds(value)) {}
  LogField(absl::string_view key, absl::Time value);
  LogField(absl::string_view key, const absl::Status& value)
      : key_(key), value_(value.ToString()) {}
  // Secrets are not logged. Whoever calls reveal() for a log line stands out in review.
  LogField(absl::string_view key, const core::Secret& value) = delete;

  absl::string_view key() const { return key_; }
  const Value& value() const { return value_; }

 private:
  absl::string_view key_;
  Value value_;
};

// `component` is the folder or module speaking: "store", "rpc", "import".
void Log(LogLevel level, absl::string_view component, absl::string_view message,
         std::initializer_list<LogField> fields = {});

inline void LogDebug(absl::string_view component, absl::string_view message,
                     std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kDebug, component, message, fields);
}
inline void LogInfo(absl::string_view component, absl::string_view message,
                    std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, component, message, fields);
}
inline void LogWarning(absl::string_view component, absl::string_view message,
                       std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarning, component, message, fields);
}
inline void LogError(absl::string_view component, absl::string_view message,
                     std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, component, message, fields);
}

// The least level written; kInfo at first. May change at any time.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();
inline bool LogEnabled(LogLevel level) { return level >= GetLogLevel(); }
// "debug", "info", "warning" (or "warn"), "error", "off"; anything else is INVALID_ARGUMENT.
absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name);
absl::string_view LogLevelName(LogLevel level);

// Waits until what was logged is handed to the kernel.
void FlushLog();

// Sends gRPC's own messages through this log as component "grpc". Once, before gRPC starts.
void BridgeGrpcLog();

// For tests: while it lives, lines (without the newline) go to `sink` instead of stderr.
// One at a time.
class ScopedLogSink {
 public:
  explicit ScopedLogSink(std::function<void(absl::string_view line)> sink);
  ~ScopedLogSink();
  ScopedLogSink(const ScopedLogSink&) = delete;
  ScopedLogSink& operator=(const ScopedLogSink&) = delete;
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_LOG_H_
