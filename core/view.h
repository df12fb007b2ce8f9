// What readers see of a credential: list, get, watch, explain, statistics. Values made under the
// pool's lock; thread-compatible.
#ifndef CREDBROKER_CORE_VIEW_H_
#define CREDBROKER_CORE_VIEW_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/change.h"
#include "core/command.h"
#include "core/credential.h"
#include "core/settings.h"

namespace credbroker::core {

// Cheap: no allocation, borrows from the pool for the duration of the visit.
struct CredentialRow {
  const Document* document = nullptr;
  const Intent* intent = nullptr;
  Uid uid;
  AuthHealth auth = AuthHealth::kOk;
  State state = State::kAvailable;
  Cause cause = Cause::kNone;  // leading cause when not fully open
  bool half_open = false;
  bool busy = false;
  uint32_t in_flight = 0;
  absl::Time next_recover = absl::InfinitePast();  // WAITING only
  uint64_t material_version = 0;                   // 0: no usable secret
};

struct TransitionView {
  Transition line;
  std::string model;  // empty: credential scope
  std::string actor;
};

// Everything about one credential but its secrets. Owns its parts.
struct CredentialView {
  std::shared_ptr<const Document> document;
  Intent intent;
  Uid uid;
  AuthHealth auth = AuthHealth::kOk;
  Cause policy_cause = Cause::kNone;
  absl::Time policy_since = absl::UnixEpoch();
  State state = State::kAvailable;
  Cause cause = Cause::kNone;
  bool half_open = false;
  bool busy = false;
  uint32_t in_flight = 0;
  int32_t max_in_flight = 0;            // as resolved; 0 = unlimited
  int32_t max_in_flight_per_model = 0;  // same
  absl::Time next_recover = absl::InfinitePast();
  std::vector<std::string> waiting_models;
  std::vector<ScopedRecord> records;
  std::vector<RateWindow> windows;
  uint64_t material_version = 0;
  std::optional<absl::Time> material_expire;
  absl::Time last_used = absl::InfinitePast();  // second of the latest grant; past: none
  std::vector<TransitionView> history;          // newest first, at most 8
};

enum class Candidacy : uint8_t {
  kChosen,
  kEligible,
  kLowerTier,
  kWaiting,
  kModelWaiting,
  kHalfOpen,
  kProbing,
  kBusy,
  kModelBusy,
  kDisabled,
  kDoesNotServeModel,
  kWrongProvider,
  kWrongKind,
  kWrongLabels,
  kExcluded,
  kWeight,
  kBreakerOpen,
  kProviderBackoff,
  kNotPinned,
  kResumeOnly,
  kBoundElsewhere,  // could serve, but the session stays with another
};
absl::string_view Name(Candidacy v);

struct Candidate {
  std::string id;
  Candidacy candidacy = Candidacy::kEligible;
  Cause cause = Cause::kNone;
  State state = State::kAvailable;  // for the model asked for
  bool half_open = false;           // same
  int64_t priority = 0;
  absl::Time until = absl::InfinitePast();  // where waiting
};

struct Explanation {
  AcquireReply::Kind would = AcquireReply::Kind::kRefused;
  std::string would_choose;  // id; empty unless granted
  bool would_probe = false;
  RefusalInfo refusal;                        // its counts also where it would be granted
  Strategy strategy = Strategy::kRoundRobin;  // of the group
  std::string bound;                          // id the session is bound to; empty: none
  std::vector<Candidate> candidates;  // of the group, in id order after `after_id`, at most `limit`
  bool more = false;
};

// Counters only rise; gauges are the present. Copied at scrape time.
struct GroupProviderStats {
  std::string group, provider;
  std::array<uint64_t, kStateCount> by_state{};
  std::array<uint64_t, kCauseCount> by_cause{};  // leading cause of those not fully open
  uint64_t half_open = 0, busy = 0, in_flight = 0;
  uint64_t parked = 0;  // calls that named this provider first
  absl::Time next_recover = absl::InfiniteFuture();
  uint64_t granted = 0, waited = 0;
  std::array<uint64_t, kRefusalCount> refused{};  // by Refusal
  // Of leases that are known, by Disposition.
  std::array<std::array<uint64_t, kOutcomeCount>, kDispositionCount> reports{};
};

struct ProviderStats {
  std::string provider;
  uint64_t probes_granted = 0, probes_succeeded = 0, probes_failed = 0, probes_inconclusive = 0;
  bool breaker_open = false;
  bool breaker_half_open = false;  // open, and its probe is due or out
  uint64_t breaker_opened = 0;
  bool backing_off = false;
  uint64_t backoffs = 0, backoffs_started = 0;   // its own and its models'; in force, begun
  uint64_t probes_out = 0;                       // live leases that are probes
  double probes_per_minute = 0;                  // refill of the budget while others are open
  absl::Time next_probe = absl::InfinitePast();  // when its next token comes; past: it is there
};

// A breaker that is not closed.
struct BreakerView {
  std::string provider, egress;  // one of them; egress: proxy URL, may hold a password
  absl::Time open_until;
  int level = 0;  // times it opened in a row
};

// A backoff of the pool that still holds somebody back.
struct BackoffView {
  std::string provider, model, egress;  // as BackoffRecord
  absl::Time block_until, avoid_until;
  Cause cause = Cause::kNone;
};

struct PoolStats {
  uint64_t credentials = 0, leases = 0, remembered = 0, parked = 0, bindings = 0,
           binding_evictions = 0, rebinds = 0;
  uint64_t leases_expired = 0, reports_late = 0, reports_duplicate = 0, reports_stale = 0,
           reports_unknown = 0;
  uint64_t refused_unknown = 0;  // Acquire calls that named no existing group or provider
  uint64_t model_records_dropped = 0;
  uint64_t egress_breakers_open = 0, egress_backoffs = 0;
  uint64_t model_names = 0, indexes = 0;  // interned names and indexes alive (bounded)
  uint64_t sessions_open = 0, sessions_detached = 0, session_leases = 0;
  uint64_t sessions_opened = 0, sessions_lost = 0;
  uint64_t leases_freed = 0;  // of lost sessions; not in leases_expired
  uint64_t leases_adopted = 0, adoptions_refused = 0;
  uint64_t revocations = 0;  // Effects::revoked, all in all
  std::vector<GroupProviderStats> groups;
  std::vector<ProviderStats> providers;
  std::vector<BreakerView> breakers;
  std::vector<BackoffView> backoffs;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_VIEW_H_
