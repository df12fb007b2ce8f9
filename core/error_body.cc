#include "core/error_body.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "core/hint_text.h"

namespace credbroker::core {
namespace {

constexpr int kCodeDepth = 4;  // {"error":{"details":[{"reason":
constexpr int kHintDepth = 6;  // {"error":{"details":[{"metadata":{"quotaResetDelay":
constexpr size_t kMaxCodes = 8;
constexpr size_t kMaxCodeBytes = 128;

class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  void Run(MemberVisitor visit) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!Member(visit)) return;
        continue;
      }
      if (c == '{' || c == '[') ++depth_;
      if (c == '}' || c == ']') depth_ = std::max(0, depth_ - 1);
      ++at_;
    }
  }

 private:
  // At a quote: a string that may be the key of a member. False: stop.
  bool Member(MemberVisitor visit) {
    absl::string_view key, value;
    if (!TakeString(key)) return false;
    SkipBlanks();
    if (at_ >= text_.size() || text_[at_] != ':') return true;
    ++at_;
    SkipBlanks();
    if (at_ >= text_.size()) return false;
    if (text_[at_] == '"') {
      if (!TakeString(value)) return false;
      return visit(key, value, true, depth_);
    }
    const size_t start = at_;
    while (at_ < text_.size() &&
           (absl::ascii_isdigit(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.' ||
            text_[at_] == '-' || text_[at_] == '+' || text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
    }
    // A number at the very end may be cut in the middle.
    if (at_ == start || at_ == text_.size()) return true;
    return visit(key, text_.substr(start, at_ - start), false, depth_);
  }

  bool TakeString(absl::string_view& out) {
    const size_t start = ++at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return false;
    out = text_.substr(start, at_ - start);
    ++at_;
    return true;
  }

  void SkipBlanks() {
    while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  absl::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

bool IsCodeKey(absl::string_view key) {
  return key == "code" || key == "type" || key == "status" || key == "reason";
}

std::optional<absl::Duration> WaitOf(absl::string_view key, absl::string_view value,
                                     absl::Time now) {
  if (key == "retryDelay" || key == "quotaResetDelay") return UsableWait(ParseSpan(value));
  if (key == "resets_in_seconds") return UsableWait(ParseDecimal(value, absl::Seconds(1)));
  if (key == "resets_at") {
    if (const auto reset = ParseReset(value, now)) return UsableWait(*reset - now);
  }
  return std::nullopt;
}

}  // namespace

void ForEachScalarMember(absl::string_view json, MemberVisitor visit) { Scanner(json).Run(visit); }

ErrorBody ScanErrorBody(absl::string_view body, absl::Time now) {
  ErrorBody out;
  ForEachScalarMember(body.substr(0, kMaxBody), [&](absl::string_view key, absl::string_view value,
                                                    bool is_string, int depth) {
    if (is_string && depth <= kCodeDepth && IsCodeKey(key) && !value.empty() &&
        value.size() <= kMaxCodeBytes && out.codes.size() < kMaxCodes &&
        std::find(out.codes.begin(), out.codes.end(), value) == out.codes.end()) {
      out.codes.push_back(value);
    }
    if (depth <= kHintDepth) {
      const std::optional<absl::Duration> wait = WaitOf(key, value, now);
      if (wait.has_value() && (!out.wait.has_value() || *wait > *out.wait)) {
        out.wait = wait;
        out.raw = RawHint(key, value);
      }
    }
    return true;
  });
  return out;
}

}  // namespace credbroker::core
