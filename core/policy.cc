#include "core/policy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/check.h"
#include "core/error_body.h"
#include "core/policy_builtin.h"

namespace credbroker::core {
namespace {

Outcome OutcomeOfStatus(int status) {
  switch (status) {
    case 401:
      return Outcome::kUnauthorized;
    case 402:
      return Outcome::kQuota;
    case 403:
      return Outcome::kForbidden;
    case 404:
      return Outcome::kModelNotFound;
    case 408:
      return Outcome::kTransient;
    case 429:
      return Outcome::kRateLimited;
    case 499:
      return Outcome::kCancelled;
    case 529:
      return Outcome::kOverloaded;
    default:
      break;
  }
  if (status / 100 == 2) return Outcome::kSuccess;
  if (status / 100 == 4) return Outcome::kRequestFault;
  if (status / 100 == 5) return Outcome::kTransient;
  return Outcome::kOther;
}

int StatusOfOutcome(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSuccess:
      return 200;
    case Outcome::kRequestFault:
      return 400;
    case Outcome::kUnauthorized:
      return 401;
    case Outcome::kQuota:
      return 402;
    case Outcome::kForbidden:
    case Outcome::kChallenge:
      return 403;
    case Outcome::kModelNotFound:
      return 404;
    case Outcome::kTransient:
      return 500;
    case Outcome::kRateLimited:
      return 429;
    case Outcome::kOverloaded:
      return 529;
    case Outcome::kNetwork:
    case Outcome::kCancelled:
    case Outcome::kOther:
      return 0;
  }
  return 0;
}

// The proxy's own word wins over a status that says something else.
int EffectiveStatus(const ReportFacts& facts) {
  if (facts.stated == Outcome::kOther || OutcomeOfStatus(facts.http_status) == facts.stated) {
    return facts.http_status;
  }
  return StatusOfOutcome(facts.stated);
}

// `pattern` and `text` are lower-case; "*" splits the pattern into pieces found in this order.
bool ContainsPieces(absl::string_view text, absl::string_view pattern) {
  while (true) {
    const size_t star = pattern.find('*');
    const absl::string_view piece = pattern.substr(0, star);
    const size_t at = text.find(piece);
    if (at == absl::string_view::npos) return false;
    if (star == absl::string_view::npos) return true;
    text.remove_prefix(at + piece.size());
    pattern.remove_prefix(star + 1);
  }
}

// A report as rows look at it. What costs time is worked out when the first row asks for it.
class Subject {
 public:
  Subject(const ReportFacts& facts, Kind kind, bool refreshable, absl::Time now)
      : facts_(facts),
        kind_(kind),
        refreshable_(refreshable),
        now_(now),
        status_(EffectiveStatus(facts)) {}

  int status() const { return status_; }
  const ErrorBody& body() {
    if (!body_.has_value()) body_ = ScanErrorBody(facts_.body, now_);
    return *body_;
  }

  bool Matches(const PolicyRow& row, bool built_in) {
    if (!row.statuses.empty() && !StatusMatches(row.statuses)) return false;
    if (row.stated.has_value() && *row.stated != facts_.stated) return false;
    if (row.kind.has_value() && *row.kind != kind_) return false;
    if (row.refreshable.has_value() && *row.refreshable != refreshable_) return false;
    const bool worded = built_in && facts_.stated != Outcome::kOther;
    if (!row.error_codes.empty() && (worded || !CodeMatches(row.error_codes, built_in))) {
      return false;
    }
    if (!row.header_name.empty() && (worded || !HeaderMatches(row))) return false;
    if (!row.body_contains.empty() &&
        (worded || !ContainsPieces(lower_body(), row.body_contains))) {
      return false;
    }
    return true;
  }

 private:
  bool StatusMatches(const std::vector<int>& statuses) const {
    for (const int s : statuses) {
      if (s == status_ || (s >= 1 && s <= 5 && status_ / 100 == s)) return true;
    }
    return false;
  }

  bool CodeMatches(const std::vector<std::string>& codes, bool built_in) {
    const bool success = status_ / 100 == 2;
    const auto any = [&codes](absl::string_view code) {
      if (code.empty()) return false;
      return std::any_of(codes.begin(), codes.end(), [code](const std::string& wanted) {
        return wanted == "*" || absl::EqualsIgnoreCase(wanted, code);
      });
    };
    if (any(facts_.error_code)) return true;
    // What looks like a code in the body of a success is part of the answer.
    if (facts_.body.empty() || (built_in && success)) return false;
    return std::any_of(body().codes.begin(), body().codes.end(), any);
  }

  bool HeaderMatches(const PolicyRow& row) const {
    for (const auto& [name, value] : facts_.headers) {
      if (absl::EqualsIgnoreCase(name, row.header_name) &&
          absl::StrContains(absl::AsciiStrToLower(value), row.header_contains)) {
        return true;
      }
    }
    return false;
  }

  absl::string_view lower_body() {
    if (!lower_body_.has_value()) {
      lower_body_ = absl::AsciiStrToLower(facts_.body.substr(0, kMaxBody));
    }
    return *lower_body_;
  }

  const ReportFacts& facts_;
  Kind kind_;
  bool refreshable_;
  absl::Time now_;
  int status_;
  std::optional<ErrorBody> body_;
  std::optional<std::string> lower_body_;
};

Advice DefaultAdvice(const PolicyRow& row) {
  switch (row.scope) {
    case Scope::kRequest:
    case Scope::kProvider:
    case Scope::kProviderModel:
      return Advice::kGiveUp;
    case Scope::kModel:
    case Scope::kCredential:
    case Scope::kEgress:
      return row.action == Action::kRefresh ? Advice::kRetrySame : Advice::kRetryOther;
  }
  return Advice::kGiveUp;
}

// Exhausted windows speak about rate limits. Where a built-in row found something else, only what
// was said about this very failure counts. A configured row decides for itself.
bool WindowsCount(Outcome outcome, bool built_in) {
  return !built_in || outcome == Outcome::kRateLimited || outcome == Outcome::kQuota ||
         outcome == Outcome::kChallenge;
}

void SetHint(const PolicyRow& row, bool built_in, const Hints& hints, const ErrorBody& body,
             Verdict& v) {
  v.hint = row.duration;
  if (!row.use_hints || v.action != Action::kWait) return;
  const bool windows = WindowsCount(v.outcome, built_in);
  std::optional<absl::Duration> hint = windows ? hints.wait : hints.retry_after;
  std::string raw = windows ? hints.raw : hints.retry_after_raw;
  if (body.wait.has_value() && (!hint.has_value() || *body.wait > *hint)) {
    hint = body.wait;
    raw = body.raw;
  }
  if (!hint.has_value()) return;
  v.hint = std::max(*hint, row.hint_floor);
  v.raw_hint = std::move(raw);
}

// Nothing is held against a model that was not named.
void LeaveModelScope(Verdict& v) {
  if (v.scope == Scope::kProviderModel) v.scope = Scope::kProvider;
  if (v.scope != Scope::kModel) return;
  if (v.cause == Cause::kModelNotFound) {
    v.scope = Scope::kRequest;
    v.action = Action::kNone;
    v.cause = Cause::kNone;
    v.hint.reset();
    v.raw_hint.clear();
  } else {
    v.scope = Scope::kCredential;
  }
}

}  // namespace

PolicyTable::PolicyTable() = default;

const ProviderPolicy* PolicyTable::Find(absl::string_view provider) const {
  const auto it = providers_.find(provider);
  return it == providers_.end() ? nullptr : &it->second;
}

Verdict PolicyTable::Classify(absl::string_view provider, Kind kind, bool refreshable,
                              bool model_named, const ReportFacts& facts, absl::Time now) const {
  const ProviderPolicy* own = Find(provider);
  const ProviderPolicy* all = Find("*");
  Subject subject(facts, kind, refreshable, now);
  const PolicyRow* row = nullptr;
  bool built_in = false;
  const auto search = [&](absl::Span<const PolicyRow> rows) {
    for (size_t i = 0; row == nullptr && i < rows.size(); ++i) {
      if (subject.Matches(rows[i], built_in)) row = &rows[i];
    }
  };
  if (own != nullptr) search(own->rows);
  if (all != nullptr) search(all->rows);
  if (row == nullptr) {
    built_in = true;
    search(BuiltinRowsOf(provider));
    search(BuiltinRows());
  }
  CB_CHECK(row != nullptr);  // the last built-in row matches everything

  Verdict v;
  v.row = row->name;
  v.outcome = row->outcome;
  if (v.outcome == Outcome::kOther && !built_in) {
    v.outcome = facts.stated != Outcome::kOther ? facts.stated : OutcomeOfStatus(subject.status());
  }
  v.scope = row->scope;
  v.action = row->action;
  v.cause = row->cause;
  v.advice = row->advice.value_or(DefaultAdvice(*row));
  v.ladder = row->ladder;
  v.disable_after = row->disable_after;
  v.cap = row->cap.value_or(own != nullptr   ? own->cap
                            : all != nullptr ? all->cap
                                             : absl::Minutes(15));
  Hints hints = ParseHints(facts.headers, now);
  static const ErrorBody* const kNoBody = new ErrorBody;
  const bool look = v.action == Action::kWait && row->use_hints && !facts.body.empty();
  SetHint(*row, built_in, hints, look ? subject.body() : *kNoBody, v);
  v.windows = std::move(hints.windows);

  if (v.action == Action::kRefresh && !refreshable) {
    v.action = Action::kWait;
    v.cause = Cause::kTokenRejected;
    v.hint = row->duration.value_or(kTokenRejectedWait);
    if (v.advice == Advice::kRetrySame) v.advice = Advice::kRetryOther;
  }
  if (built_in && v.outcome == Outcome::kRateLimited && v.scope == Scope::kCredential) {
    const bool per_model = own != nullptr && own->per_model_limits.has_value()
                               ? *own->per_model_limits
                               : BuiltinPerModelLimits(provider);
    if (per_model) v.scope = Scope::kModel;
  }
  if (!model_named) LeaveModelScope(v);
  CB_CHECK(v.action != Action::kWait || v.hint.has_value() || !v.ladder.empty());
  CB_CHECK(!v.hint.has_value() || (*v.hint > absl::ZeroDuration() && *v.hint <= kMaxCooldown));
  return v;
}

}  // namespace credbroker::core
