// Loading a policy: every row is checked before any is used, so that a configuration applies as a
// whole or not at all.
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/policy.h"

namespace credbroker::core {
namespace {

constexpr size_t kMaxRows = 256;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxTextBytes = 256;
constexpr int kMaxDisableAfter = 1000;
constexpr double kMaxFactor = 100;

bool IsName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  for (const char c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_islower(u) && !absl::ascii_isdigit(u) && !absl::StrContains("._-", c)) {
      return false;
    }
  }
  return true;
}

bool IsPositive(absl::Duration d) { return d > absl::ZeroDuration() && d <= kMaxCooldown; }

// Whether a record can have this cause. The others only count why a credential is not picked.
bool IsRecordCause(Cause cause) {
  switch (cause) {
    case Cause::kRateLimit:
    case Cause::kQuota:
    case Cause::kTokenRejected:
    case Cause::kForbidden:
    case Cause::kChallenge:
    case Cause::kModelNotFound:
    case Cause::kTransient:
    case Cause::kRefresh:
    case Cause::kUnconfirmed:
    case Cause::kOverloaded:
    case Cause::kNetwork:
    case Cause::kPolicy:
      return true;
    default:
      return false;
  }
}

// Checks one row; the first thing wrong is the error.
class RowCheck {
 public:
  RowCheck(absl::string_view provider, const PolicyRow& row) : provider_(provider), row_(row) {}

  absl::Status Run() const {
    if (absl::Status s = Matchers(); !s.ok()) return s;
    if (absl::Status s = Durations(); !s.ok()) return s;
    return Combination();
  }

  absl::Status Error(absl::string_view field, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("provider '", provider_, "' row '", row_.name,
                                                   "' field '", field, "': ", what));
  }

 private:
  absl::Status Matchers() const {
    if (row_.name.empty() || row_.name.size() > kMaxNameBytes) {
      return Error("name", "must have 1 to 64 bytes");
    }
    if (row_.statuses.empty() && !row_.stated.has_value() && row_.error_codes.empty() &&
        row_.body_contains.empty() && row_.header_name.empty()) {
      return Error("match", "must match on a status, outcome, error code, body or header");
    }
    for (const int s : row_.statuses) {
      if (s != 0 && !(s >= 1 && s <= 5) && !(s >= 100 && s <= 599)) {
        return Error("statuses", absl::StrCat(s, " is neither a status nor a class of them"));
      }
    }
    if (row_.stated == Outcome::kOther) return Error("outcome", "is not a word of a proxy");
    for (const std::string& code : row_.error_codes) {
      if (code.empty() || code.size() > kMaxTextBytes) {
        return Error("error_codes", "each must have 1 to 256 bytes");
      }
    }
    if (row_.body_contains.size() > kMaxTextBytes) {
      return Error("body", "must have at most 256 bytes");
    }
    if (!row_.body_contains.empty() &&
        row_.body_contains.find_first_not_of('*') == std::string::npos) {
      return Error("body", "must hold text beside '*'");
    }
    if (row_.header_name.empty() && !row_.header_contains.empty()) {
      return Error("header_value", "needs a header");
    }
    if (row_.header_name.size() > kMaxTextBytes || row_.header_contains.size() > kMaxTextBytes) {
      return Error("header", "must have at most 256 bytes");
    }
    return absl::OkStatus();
  }

  absl::Status Durations() const {
    constexpr absl::string_view kRange = "must be > 0 and at most 400 days";
    if (row_.duration.has_value() && !IsPositive(*row_.duration)) return Error("duration", kRange);
    if (row_.cap.has_value() && !IsPositive(*row_.cap)) return Error("cap", kRange);
    if (row_.hint_floor < absl::ZeroDuration() || row_.hint_floor > kMaxCooldown) {
      return Error("hint_floor", "must be >= 0 and at most 400 days");
    }
    if (row_.ladder != Ladder{}) {
      if (row_.ladder.first <= absl::ZeroDuration()) return Error("ladder.first", "must be > 0");
      if (row_.ladder.first > kMaxCooldown) return Error("ladder.first", "is more than 400 days");
      // Written so that NaN fails.
      if (!(row_.ladder.factor >= 1.0 && row_.ladder.factor <= kMaxFactor)) {
        return Error("ladder.factor", "must be 1 to 100");
      }
      if (row_.ladder.max < row_.ladder.first || row_.ladder.max > kMaxCooldown) {
        return Error("ladder.max", "must be at least ladder.first and at most 400 days");
      }
    }
    if (row_.disable_after < 0 || row_.disable_after > kMaxDisableAfter) {
      return Error("disable_after", "must be 0 to 1000");
    }
    return absl::OkStatus();
  }

  absl::Status Combination() const {
    const bool timed = row_.duration.has_value() || !row_.ladder.empty();
    if (row_.duration.has_value() && !row_.ladder.empty()) {
      return Error("duration", "not together with a ladder");
    }
    if (row_.disable_after > 0 && row_.action != Action::kWait) {
      return Error("disable_after", "needs action wait");
    }
    if (row_.disable_after > 0 && row_.scope != Scope::kCredential) {
      return Error("disable_after", "needs scope credential");
    }
    switch (row_.action) {
      case Action::kNone:
        return timed ? Error("duration", "action none takes no time") : absl::OkStatus();
      case Action::kWait:
        if (row_.scope == Scope::kRequest) return Error("action", "a request cannot wait");
        if (!timed) return Error("duration", "action wait needs a duration or a ladder");
        return CauseOfWait();
      case Action::kDisable:
        if (row_.scope != Scope::kCredential) return Error("scope", "disable needs credential");
        if (timed) return Error("duration", "a disabled credential has no deadline");
        return Causes();
      case Action::kRefresh:
        if (row_.scope != Scope::kCredential) return Error("scope", "refresh needs credential");
        if (!row_.ladder.empty()) return Error("ladder", "action refresh takes a duration");
        if (row_.cause != Cause::kNone && row_.cause != Cause::kRefresh) {
          return Error("cause", "action refresh has cause refresh");
        }
        return absl::OkStatus();
    }
    return Error("action", "is unknown");
  }

  absl::Status CauseOfWait() const {
    if (row_.cause == Cause::kRefresh) return Error("cause", "refresh needs action refresh");
    return Causes();
  }

  absl::Status Causes() const {
    if (row_.cause == Cause::kNone) return absl::OkStatus();
    if (!IsRecordCause(row_.cause)) {
      return Error("cause", absl::StrCat(Name(row_.cause), " is not the cause of a failure"));
    }
    const bool pool = row_.scope == Scope::kEgress || row_.scope == Scope::kProvider ||
                      row_.scope == Scope::kProviderModel;
    if (row_.cause == Cause::kOverloaded && !pool) {
      return Error("cause", "overloaded needs scope provider or provider-model");
    }
    if (row_.cause == Cause::kNetwork && !pool) {
      return Error("cause", "network never holds a credential back");
    }
    return absl::OkStatus();
  }

  absl::string_view provider_;
  const PolicyRow& row_;
};

void Normalise(PolicyRow& row) {
  absl::AsciiStrToLower(&row.body_contains);
  absl::AsciiStrToLower(&row.header_contains);
  if (row.cause == Cause::kNone) {
    if (row.action == Action::kRefresh) row.cause = Cause::kRefresh;
    if (row.action == Action::kWait || row.action == Action::kDisable) row.cause = Cause::kPolicy;
  }
}

absl::Status CheckProvider(const ProviderPolicy& policy) {
  const auto error = [&](absl::string_view field, absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("provider '", policy.provider, "' field '", field, "': ", what));
  };
  if (policy.provider != "*" && !IsName(policy.provider)) {
    return error("name", "must be 1 to 64 characters of [a-z0-9._-], or '*'");
  }
  if (!IsPositive(policy.cap)) return error("cap", "must be > 0 and at most 400 days");
  if (policy.rows.size() > kMaxRows) return error("policy", "must have at most 256 rows");
  absl::flat_hash_set<absl::string_view> names;
  for (const PolicyRow& row : policy.rows) {
    const RowCheck check(policy.provider, row);
    if (absl::Status s = check.Run(); !s.ok()) return s;
    if (!names.insert(row.name).second) return check.Error("name", "is taken by an earlier row");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PolicyTable>> PolicyTable::Create(
    std::vector<ProviderPolicy> providers) {
  auto table = std::make_shared<PolicyTable>();
  for (ProviderPolicy& policy : providers) {
    if (absl::Status s = CheckProvider(policy); !s.ok()) return s;
    for (PolicyRow& row : policy.rows) Normalise(row);
    std::string name = policy.provider;
    if (!table->providers_.try_emplace(name, std::move(policy)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("provider '", name, "' field 'name': is given twice"));
    }
  }
  return std::shared_ptr<const PolicyTable>(std::move(table));
}

}  // namespace credbroker::core
