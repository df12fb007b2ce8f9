// What the response headers of a provider say about waiting. Sources:
//   retry-after            RFC 9110 10.2.3
//   retry-after-ms         milliseconds; OpenAI and Azure OpenAI, read by OpenAI's own client
//   libraries x-ratelimit-*          OpenAI, Groq, Mistral ("x-ratelimit-reset-requests: 1m2.5s"),
//   GitHub
//                          ("x-ratelimit-reset: <unix seconds>"), "x-ratelimit-requests-reset" of
//                          others
//   ratelimit-*            draft-ietf-httpapi-ratelimit-headers-05 and before (seconds)
//   anthropic-ratelimit-*  Anthropic's API reference, "Rate limits": -limit, -remaining, -reset
//                          (RFC 3339); the unified-* ones of subscriptions carry unix seconds, a
//                          status and a utilization between 0 and 1
//   x-codex-{primary,secondary}-*  used-percent, reset-after-seconds, reset-at of ChatGPT plans
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/hint_text.h"
#include "core/policy.h"

namespace credbroker::core {
namespace {

constexpr size_t kMaxHeaders = 256;
constexpr size_t kMaxNameBytes = 96;
constexpr size_t kMaxValueBytes = 256;
constexpr size_t kMaxWindows = 16;
constexpr size_t kMaxWindowName = 32;

using Header = std::pair<std::string, std::string>;

// A window while its headers are being collected.
struct Draft {
  RateWindow window;
  bool has_reset = false;
  bool exhausted = false;
  std::string raw;  // the reset header
};

class Collector {
 public:
  explicit Collector(absl::Time now) : now_(now) {}

  // `name` is lower-case.
  void Add(absl::string_view name, absl::string_view value) {
    if (name == "retry-after") {
      RetryAfter(ParseRetryAfter(value, now_), name, value);
    } else if (name == "retry-after-ms") {
      RetryAfter(UsableWait(ParseDecimal(value, absl::Milliseconds(1))), name, value);
    } else if (absl::StartsWith(name, "x-codex-")) {
      AddCodex(name, value);
    } else {
      absl::string_view rest = name;
      if (absl::ConsumePrefix(&rest, "anthropic-ratelimit-") ||
          absl::ConsumePrefix(&rest, "x-ratelimit-") || absl::ConsumePrefix(&rest, "ratelimit-")) {
        AddWindow(rest, name, value);
      }
    }
  }

  Hints Finish() && {
    Hints hints;
    hints.wait = hints.retry_after = retry_after_;
    hints.raw = hints.retry_after_raw = std::move(raw_);
    for (Draft& d : drafts_) {
      if (!d.has_reset) continue;
      if (d.exhausted) {
        const absl::Duration wait = d.window.reset - now_;
        if (!hints.wait.has_value() || wait > *hints.wait) {
          hints.wait = wait;
          hints.raw = std::move(d.raw);
        }
        d.window.remaining = 0;
      }
      hints.windows.push_back(std::move(d.window));
    }
    return hints;
  }

 private:
  void RetryAfter(std::optional<absl::Duration> wait, absl::string_view name,
                  absl::string_view value) {
    if (!wait.has_value() || (retry_after_.has_value() && *retry_after_ >= *wait)) return;
    retry_after_ = wait;
    raw_ = RawHint(name, value);
  }

  // `rest` is "<field>", "<window>-<field>" or "<field>-<window>".
  void AddWindow(absl::string_view rest, absl::string_view name, absl::string_view value) {
    static constexpr absl::string_view kFields[] = {"limit", "remaining", "reset", "status",
                                                    "utilization"};
    for (const absl::string_view field : kFields) {
      absl::string_view window = rest;
      if (rest == field) {
        window = "default";
      } else if (absl::ConsumeSuffix(&window, field)) {
        if (!absl::ConsumeSuffix(&window, "-")) continue;
      } else if (absl::ConsumePrefix(&window, field)) {
        if (!absl::ConsumePrefix(&window, "-")) continue;
      } else {
        continue;
      }
      // Paying beyond a plan is switched off for most: "rejected" there says nothing about the
      // plan.
      if (absl::StrContains(window, "overage")) return;
      Draft* draft = Find(window);
      if (draft != nullptr) SetField(*draft, field, name, value);
      return;
    }
  }

  void SetField(Draft& draft, absl::string_view field, absl::string_view name,
                absl::string_view value) {
    int64_t number = 0;
    if (field == "limit") {
      if (absl::SimpleAtoi(value, &number) && number >= 0) draft.window.limit = number;
    } else if (field == "remaining") {
      if (absl::SimpleAtoi(value, &number) && number >= 0) {
        draft.window.remaining = number;
        draft.exhausted = draft.exhausted || number == 0;
      }
    } else if (field == "reset") {
      SetReset(draft, ParseReset(value, now_), name, value);
    } else if (field == "status") {
      draft.exhausted = draft.exhausted || absl::EqualsIgnoreCase(value, "rejected");
    } else {
      const std::optional<double> used = ParseDecimalNumber(value);
      if (used.has_value()) SetUsedPercent(draft, *used * 100);
    }
  }

  void AddCodex(absl::string_view name, absl::string_view value) {
    for (const absl::string_view window : {"codex-primary", "codex-secondary"}) {
      absl::string_view field = name.substr(2);
      if (!absl::ConsumePrefix(&field, window)) continue;
      Draft* draft = Find(window);
      if (draft == nullptr) return;
      if (field == "-used-percent") {
        const std::optional<double> used = ParseDecimalNumber(value);
        if (used.has_value()) SetUsedPercent(*draft, *used);
      } else if (field == "-reset-after-seconds" || field == "-reset-at") {
        SetReset(*draft, ParseReset(value, now_), name, value);
      }
      return;
    }
  }

  void SetReset(Draft& draft, std::optional<absl::Time> reset, absl::string_view name,
                absl::string_view value) {
    if (!reset.has_value()) return;
    if (draft.has_reset && draft.window.reset >= *reset) return;
    draft.has_reset = true;
    draft.window.reset = *reset;
    draft.raw = RawHint(name, value);
  }

  static void SetUsedPercent(Draft& draft, double used) {
    draft.window.limit = 100;
    draft.window.remaining = static_cast<int64_t>(std::floor(100 - std::clamp(used, 0.0, 100.0)));
    draft.exhausted = draft.exhausted || used >= 100;
  }

  Draft* Find(absl::string_view name) {
    if (name.empty() || name.size() > kMaxWindowName) return nullptr;
    for (const char c : name) {
      const auto u = static_cast<unsigned char>(c);
      if (!absl::ascii_isalnum(u) && c != '-' && c != '_') return nullptr;
    }
    for (Draft& d : drafts_) {
      if (d.window.name == name) return &d;
    }
    if (drafts_.size() >= kMaxWindows) return nullptr;
    drafts_.emplace_back();
    drafts_.back().window.name = std::string(name);
    return &drafts_.back();
  }

  absl::Time now_;
  std::optional<absl::Duration> retry_after_;
  std::string raw_;
  absl::InlinedVector<Draft, 2> drafts_;
};

// Most headers are none of ours; this is the first character test before any copy.
bool MayMatter(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  switch (absl::ascii_tolower(static_cast<unsigned char>(name[0]))) {
    case 'a':
      return absl::StartsWithIgnoreCase(name, "anthropic-ratelimit-");
    case 'r':
      return absl::StartsWithIgnoreCase(name, "retry-after") ||
             absl::StartsWithIgnoreCase(name, "ratelimit-");
    case 'x':
      return absl::StartsWithIgnoreCase(name, "x-ratelimit-") ||
             absl::StartsWithIgnoreCase(name, "x-codex-");
    default:
      return false;
  }
}

}  // namespace

Hints ParseHints(absl::Span<const std::pair<std::string, std::string>> headers, absl::Time now) {
  Collector collector(now);
  for (const Header& header : headers.subspan(0, kMaxHeaders)) {
    if (!MayMatter(header.first) || header.second.size() > kMaxValueBytes) continue;
    collector.Add(absl::AsciiStrToLower(header.first), absl::StripAsciiWhitespace(header.second));
  }
  return std::move(collector).Finish();
}

}  // namespace credbroker::core
