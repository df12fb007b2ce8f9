#include "server/obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/obs/json_line.h"
#include "server/obs/log_file.h"
#include "server/obs/trace.h"

namespace credbroker::obs {
namespace {

using LineSink = std::function<void(absl::string_view)>;

// Sits in front of stderr, or the file the operator named, so that a test can read the lines.
class SwitchedSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  SwitchedSink() { stderr_.set_pattern("%v"); }

  void Redirect(LineSink redirect) {
    const std::lock_guard lock(mutex_);
    redirect_ = std::move(redirect);
  }

  // Takes over `fd`; -1: stderr.
  void SetFile(int fd) {
    const std::lock_guard lock(mutex_);
    if (file_ >= 0) close(file_);
    file_ = fd;
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (redirect_) {
      redirect_(absl::string_view(message.payload.data(), message.payload.size()));
    } else if (file_ >= 0) {
      Write(std::string(message.payload.data(), message.payload.size()) + "\n");
    } else {
      stderr_.log(message);
    }
  }
  // A full disk costs lines, not the server.
  void Write(absl::string_view line) {
    while (!line.empty()) {
      const ssize_t written = write(file_, line.data(), line.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return;
      line.remove_prefix(static_cast<size_t>(written));
    }
  }
  void flush_() override { stderr_.flush(); }

  spdlog::sinks::stderr_sink_st stderr_;  // Under mutex_ of the base.
  LineSink redirect_;
  int file_ = -1;
};

struct Backend {
  std::shared_ptr<SwitchedSink> sink = std::make_shared<SwitchedSink>();
  spdlog::logger logger{"credbroker", sink};

  Backend() { logger.set_level(spdlog::level::trace); }
};

// Never destroyed: threads may log while the process exits.
Backend& GetBackend() {
  static auto* const backend = new Backend;
  return *backend;
}

std::atomic<LogLevel> least_level{LogLevel::kInfo};

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::err;
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

void AddField(const LogField& field, JsonLine& line) {
  constexpr absl::string_view kReserved[] = {"ts", "level", "component", "msg", "trace_id"};
  std::string renamed;
  absl::string_view key = field.key();
  if (absl::c_linear_search(kReserved, key)) {
    // A repeated key makes readers disagree about which one counts.
    renamed = absl::StrCat("field_", key);
    key = renamed;
  }
  const auto add = [&](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, bool>) {
      line.AddLiteral(key, value ? "true" : "false");
    } else if constexpr (std::is_same_v<T, double>) {
      line.AddDouble(key, value);
    } else if constexpr (std::is_integral_v<T>) {
      line.AddLiteral(key, absl::StrCat(value));
    } else {
      line.AddString(key, value);
    }
  };
  std::visit(add, field.value());
}

}  // namespace

LogField::LogField(absl::string_view key, absl::Time value) : key_(key), value_(Rfc3339(value)) {}

void Log(LogLevel level, absl::string_view component, absl::string_view message,
         std::initializer_list<LogField> fields) {
  if (level == LogLevel::kOff || !LogEnabled(level)) return;
  JsonLine line(kMaxValueBytes);
  line.AddString("ts", Rfc3339(absl::Now()));
  line.AddString("level", LogLevelName(level));
  line.AddString("component", component);
  line.AddString("msg", message);
  if (CurrentTrace().valid()) line.AddString("trace_id", CurrentTrace().TraceId());
  for (const LogField& field : fields) AddField(field, line);
  const std::string text = std::move(line).Finish();
  GetBackend().logger.log(SpdlogLevel(level), spdlog::string_view_t(text.data(), text.size()));
}

void SetLogLevel(LogLevel level) { least_level.store(level, std::memory_order_relaxed); }

LogLevel GetLogLevel() { return least_level.load(std::memory_order_relaxed); }

absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff}) {
    if (name == LogLevelName(level)) return level;
  }
  if (name == "warn") return LogLevel::kWarning;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown log level \"", name, "\": debug, info, warning, error or off"));
}

absl::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      break;
  }
  return "off";
}

absl::Status SetLogFile(const std::string& path) {
  int fd = -1;
  if (!path.empty()) {
    fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
      return absl::UnavailableError(
          absl::StrCat("log.path: cannot open ", path, ": ", strerror(errno)));
    }
  }
  GetBackend().sink->SetFile(fd);
  return absl::OkStatus();
}

void FlushLog() { GetBackend().logger.flush(); }

ScopedLogSink::ScopedLogSink(LineSink sink) { GetBackend().sink->Redirect(std::move(sink)); }

ScopedLogSink::~ScopedLogSink() { GetBackend().sink->Redirect(nullptr); }

}  // namespace credbroker::obs
