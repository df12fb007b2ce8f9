// The facts the naive model keeps: maps and vectors, nothing derived. See naive_pool.h.
#ifndef CREDBROKER_TESTS_MODEL_NAIVE_FACTS_H_
#define CREDBROKER_TESTS_MODEL_NAIVE_FACTS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/change.h"
#include "core/command.h"
#include "core/settings.h"

namespace credbroker::model {

inline constexpr absl::Time kPast = absl::InfinitePast();
inline constexpr absl::Time kNever = absl::InfiniteFuture();

// The pool did what the model does not permit.
class Mismatch : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Nanoseconds are the pool's grain for what it derives.
inline absl::Time Floor(absl::Time t) {
  return t == kNever || t == kPast ? t : absl::FromUnixNanos(absl::ToUnixNanos(t));
}

struct NaiveProbe {
  uint64_t lease = 0;
  absl::Time started = kPast, last = kPast, next_allowed = kPast;
  int inconclusive = 0;
};

struct NaiveScope {
  std::vector<core::AvailabilityRecord> records;  // one for each cause, oldest first
  NaiveProbe probe;
  uint64_t made = 0;  // order of creation
  core::AvailabilityRecord* Find(core::Cause cause);
  absl::Time BlockUntil() const;
  absl::Time AvoidUntil() const;
  bool Blocked(absl::Time now) const { return now < BlockUntil(); }
  bool HalfOpen(absl::Time now) const { return !Blocked(now) && now < AvoidUntil(); }
  // Erases records that began before `before`, of `cause` or all.
  void Erase(core::Cause cause, absl::Time before);
};

struct NaiveCredential {
  uint64_t uid = 0;
  std::shared_ptr<const core::Document> document;
  core::Intent intent;
  std::shared_ptr<const core::Material> material;
  core::AuthHealth auth = core::AuthHealth::kOk;
  core::Cause policy_cause = core::Cause::kNone;
  absl::Time policy_since = absl::UnixEpoch();
  std::map<std::string, NaiveScope> scopes;  // by model; empty name: the credential
  std::vector<core::RateWindow> windows;
  std::set<uint64_t> leases;  // live ones
  uint64_t egress_join = 0;   // a new number each time it changes its proxy
  uint64_t last_grant = 0;
};

struct PendingBinding {
  std::string key;
  uint64_t expected = 0;
  absl::Duration ttl;
};

struct NaiveSession {
  std::string principal;
  bool open = true;
  absl::Time deadline = kNever;  // detached: when it is lost
};

struct NaiveLease {
  uint64_t seq = 0, uid = 0, version = 0;
  std::string principal, model, request;  // request: key of its request_id, may be empty
  absl::Time granted, expires, ended;
  bool live = true, probe = false, breaker_probe = false, reported = false;
  std::optional<PendingBinding> pending;
  // Of a session's lease: may it be handed out of stock? Until a revocation covers it.
  uint64_t session = 0;
  uint32_t cell = 0;
  bool for_stock = false, usable = false;
  std::shared_ptr<const core::Document> document;  // as it was granted
  core::ReportReply answer;
};

// A parked call, with its text.
struct NaiveCall {
  uint64_t waiter = 0;
  std::string principal, group, model, session, pin, request_id;
  std::vector<std::string> providers, excluded;
  std::vector<std::pair<std::string, std::string>> labels;
  std::optional<core::Kind> kind;
  absl::Duration ttl, max_wait;
  bool allow_probe = true, for_stock = false;
  uint64_t stream = 0;  // the session its lease belongs to
  absl::Time parked, deadline;
  explicit NaiveCall(const core::AcquireCommand& command);
  std::string GroupName() const { return group.empty() ? "default" : group; }
  std::string Fingerprint() const;
};

struct NaiveRequest {
  std::string fingerprint;
  uint64_t waiter = 0, lease = 0, stream = 0;
};

struct NaiveBinding {
  uint64_t uid = 0, version = 0;
  absl::Time idle_from, idle_until;  // it surely lives until the first, surely not after the second
  absl::Duration ttl;
};

// Correlated failures of a provider or proxy.
struct NaiveBreaker {
  struct Report {
    int64_t second;
    uint64_t uid, join;
    bool bad;
  };
  struct Mark {
    absl::Time at;
    uint64_t uid;
    std::string model;
    core::Cause cause = core::Cause::kNone;
    std::optional<core::AvailabilityRecord> before;
    core::AuthHealth auth_before = core::AuthHealth::kOk;
    bool disabled = false;
  };
  std::vector<Report> reports;
  std::vector<Mark> marks;
  bool open = false;
  absl::Time probe_at = kPast;
  absl::Duration span;
  uint64_t probe = 0;
  NaiveScope backoff;  // of a proxy
  bool Due(absl::Time now) const { return open && now >= probe_at; }
};

// How many probes a provider gets.
struct NaiveBudget {
  std::map<int64_t, int64_t> calls;  // by second
  bool started = false;
  int64_t fill = kFull, filled_ns = 0, dry_rate = 3000;
  static constexpr int64_t kFull = int64_t{6'000'000'000'000};
  int64_t Rate(int64_t second, bool dry) const;
  int64_t FillAt(int64_t ns, int64_t rate) const;
  absl::Time Next(absl::Time now, bool dry) const;
  bool Has(absl::Time now, bool dry) const { return Next(now, dry) <= now; }
  void Take(absl::Time now, bool dry);
  void Good() { dry_rate = std::min<int64_t>(2 * dry_rate, 48'000); }
  void Bad() { dry_rate = 3000; }
};

struct NaiveProvider {
  NaiveBreaker breaker;
  NaiveBudget budget;
  std::map<std::string, NaiveScope> backoffs;  // by model; empty: the whole provider
};

}  // namespace credbroker::model

#endif  // CREDBROKER_TESTS_MODEL_NAIVE_FACTS_H_
