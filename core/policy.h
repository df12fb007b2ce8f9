// Failure policy as data: a table of rows matched against what a proxy reported, giving a verdict
// the pool applies. Pure: classification reads no pool state, so it runs outside the pool's lock
// and offline (`credbrokerctl policy test`). Immutable after construction, hence thread-safe.
#ifndef CREDBROKER_CORE_POLICY_H_
#define CREDBROKER_CORE_POLICY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/availability.h"
#include "core/credential.h"

namespace credbroker::core {

enum class Scope : uint8_t { kRequest, kModel, kCredential, kEgress, kProvider, kProviderModel };
enum class Action : uint8_t { kNone, kWait, kDisable, kRefresh };
enum class Advice : uint8_t { kNone, kRetrySame, kRetryOther, kGiveUp };

// Closed set; the `outcome` label of metrics.
enum class Outcome : uint8_t {
  kSuccess,
  kRequestFault,
  kUnauthorized,
  kQuota,
  kForbidden,
  kChallenge,
  kModelNotFound,
  kTransient,
  kRateLimited,
  kOverloaded,
  kNetwork,
  kCancelled,
  kOther,
};
inline constexpr int kOutcomeCount = 13;
absl::string_view Name(Outcome v);
absl::string_view Name(Advice v);
absl::string_view Name(Scope v);
absl::string_view Name(Action v);

// What the proxy saw, raw. Views are borrowed for the call.
struct ReportFacts {
  // kOther: derive from http_status. Otherwise the proxy's own word (success, cancelled,
  // network...).
  Outcome stated = Outcome::kOther;
  int http_status = 0;  // 0: none was received
  absl::string_view error_code;
  absl::string_view body;  // first bytes of the error body, at most 4 KiB
  absl::Span<const std::pair<std::string, std::string>> headers;  // names in any case
};

// One match row. Empty matchers match everything. Rows are tried in order: the provider's own, then
// those of every provider ("*"), then the built-in table. The built-in rows see neither error
// codes, body nor headers where the proxy used its own word, and of a 2xx only a code it reported
// itself.
struct PolicyRow {
  std::string name;                 // shown by policy test; unique per provider
  std::vector<int> statuses;        // exact codes; a class as 5 (= 5xx) .. 1; 0: none was received
  std::optional<Outcome> stated;    // matches the proxy's own word
  std::optional<Kind> kind;         // credential kind
  std::optional<bool> refreshable;  // has a refresher here
  // Any of these ("*": any at all), case-insensitive, from the report or the JSON body.
  std::vector<std::string> error_codes;
  std::string body_contains;    // case-insensitive substring; "*" splits it into ordered pieces
  std::string header_name;      // present, and
  std::string header_contains;  // its value contains this (case-insensitive)

  Outcome outcome = Outcome::kOther;  // kOther: from the status
  Scope scope = Scope::kCredential;
  Action action = Action::kNone;
  Cause cause = Cause::kNone;              // kNone: kPolicy where the action needs one
  std::optional<absl::Duration> duration;  // fixed; an upstream hint wins over it
  bool use_hints = true;
  absl::Duration hint_floor = absl::ZeroDuration();
  Ladder ladder;
  std::optional<absl::Duration> cap;
  int disable_after = 0;  // the n-th in a row disables by policy (403: 3); 0: never
  // Unset: give-up for scope request, provider and provider-model; retry-same for action refresh;
  // else retry-other.
  std::optional<Advice> advice;
};

// A rate-limit window read from response headers.
struct RateWindow {
  std::string name;  // e.g. "requests", "tokens", "unified-5h"
  std::optional<int64_t> limit, remaining;
  absl::Time reset = absl::InfiniteFuture();
};

// What the pool is to do. Decided outside its lock.
struct Verdict {
  Outcome outcome = Outcome::kOther;
  Scope scope = Scope::kRequest;
  Action action = Action::kNone;
  Cause cause = Cause::kNone;
  Advice advice = Advice::kNone;
  std::optional<absl::Duration> hint;  // > 0, at most 400 days
  std::string raw_hint;
  Ladder ladder;
  absl::Duration cap = absl::Minutes(15);
  int disable_after = 0;
  std::vector<RateWindow> windows;
  std::string row;  // name of the matching row
};

struct ProviderPolicy {
  std::string provider;
  // 429 is model-scoped when the lease named a model. Unset: as built in for the provider.
  std::optional<bool> per_model_limits;
  absl::Duration cap = absl::Minutes(15);  // that of "*" counts where a provider has no entry
  std::vector<PolicyRow> rows;
};

class PolicyTable {
 public:
  // Built-in rows only.
  PolicyTable();
  // INVALID_ARGUMENT naming provider, row and field: unknown combination, non-positive or
  // overflowing duration, duplicate row name, disable with a duration, ...
  static absl::StatusOr<std::shared_ptr<const PolicyTable>> Create(
      std::vector<ProviderPolicy> providers);

  // `model_named`: whether the lease named a model; `now` turns absolute hints into durations.
  // Without a model nothing is scope model: a model that was not found is nobody's fault (action
  // none), everything else counts for the credential; provider-model becomes provider. Action
  // refresh for a credential nothing refreshes becomes a wait (30 min, token_rejected).
  Verdict Classify(absl::string_view provider, Kind kind, bool refreshable, bool model_named,
                   const ReportFacts& facts, absl::Time now) const;

 private:
  const ProviderPolicy* Find(absl::string_view provider) const;
  absl::flat_hash_map<std::string, ProviderPolicy> providers_;  // checked and normalised
};

// Retry hints and windows from raw headers: retry-after (seconds or HTTP-date, RFC 9110 10.2.3),
// retry-after-ms, x-ratelimit-*-reset (seconds, durations like 1m2.5s, unix seconds or RFC 3339),
// anthropic-ratelimit-*-reset (RFC 3339 or unix). Malformed, negative, past and huge (>
// kMaxCooldown) values are ignored. Windows without a reset to come are left out; at most 16. See
// hints.cc.
struct Hints {
  std::optional<absl::Duration> wait;  // the longest of retry_after and the exhausted windows
  std::optional<absl::Duration> retry_after;  // the longest of retry-after and retry-after-ms
  std::string raw;                            // "name: value" of what decided `wait`
  std::string retry_after_raw;                // the same of `retry_after`
  std::vector<RateWindow> windows;
};
Hints ParseHints(absl::Span<const std::pair<std::string, std::string>> headers, absl::Time now);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_POLICY_H_
