// Availability records and their two clocks (block_until, avoid_until): pure functions over one
// credential's records. A record exists per (scope, cause). Rules 2, 3 and 4 of reports live here.
// Thread-compatible.
#ifndef CREDBROKER_CORE_AVAILABILITY_H_
#define CREDBROKER_CORE_AVAILABILITY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "core/credential.h"
#include "core/ids.h"

namespace credbroker::core {

// How long a failure keeps a scope back when the upstream gave no hint: first * factor^(level - 1),
// at most max (a max below first counts as first) and never more than kMaxCooldown.
struct Ladder {
  absl::Duration first = absl::ZeroDuration();
  double factor = 2.0;
  absl::Duration max = absl::ZeroDuration();
  bool empty() const { return first <= absl::ZeroDuration(); }
  absl::Duration At(int level) const;  // level >= 1
  friend bool operator==(const Ladder&, const Ladder&) = default;
};

struct AvailabilityRecord {
  Cause cause = Cause::kNone;
  uint16_t level = 0;  // ladder step reached, from 1
  absl::Time block_until = absl::InfinitePast();
  absl::Time avoid_until = absl::InfinitePast();
  absl::Time began = absl::InfinitePast();  // latest failure
  Text raw_hint;                            // as the upstream wrote it, at most 120 bytes
};

// What a failure asks for.
struct Failure {
  Cause cause = Cause::kNone;
  std::optional<absl::Duration> hint;  // stated by upstream or policy row; else the ladder
  Ladder ladder;
  double jitter = 0.0;  // drawn by the pool, in [-0.2, 0.2]; ladder durations only
  absl::Duration cap = absl::Minutes(15);
  absl::Time lease_granted;
  absl::Time happened = absl::InfiniteFuture();  // durations count from it; in the future: from now
  bool failed_probe = false;
  std::string raw_hint;
};

enum class Phase : uint8_t { kOpen, kHalfOpen, kBlocked };

// Probe bookkeeping of one scope.
struct ProbeState {
  LeaseSeq lease = kNoLease;  // the live probe
  absl::Time started = absl::InfinitePast();
  absl::Time last = absl::InfinitePast();          // latest probe ever; InfinitePast: never
  absl::Time next_allowed = absl::InfinitePast();  // after inconclusive ones
  uint16_t inconclusive = 0;
};

// All records of one scope: the credential (kNoModel) or (credential, model).
class ScopeRecords {
 public:
  explicit ScopeRecords(ModelId model) : model_(model) {}
  ModelId model() const { return model_; }
  bool empty() const { return records_.empty(); }
  const absl::InlinedVector<AvailabilityRecord, 1>& records() const { return records_; }
  // Most scopes were never probed: the mutable one is made on first use.
  ProbeState& mutable_probe() {
    if (probe_ == nullptr) probe_ = std::make_unique<ProbeState>();
    return *probe_;
  }
  const ProbeState& probe() const { return probe_ == nullptr ? kNeverProbed : *probe_; }

  Phase PhaseAt(absl::Time now) const;
  // The latest block_until / avoid_until in scope; InfinitePast with no record.
  absl::Time block_until() const;
  absl::Time avoid_until() const;
  // Cause of the record with the latest block_until (avoid_until when none blocks); kNone if empty.
  Cause LeadingCause(absl::Time now) const;
  // The next time after `now` at which PhaseAt or the set of records changes; InfiniteFuture:
  // never.
  absl::Time NextEvent(absl::Time now) const;

  // Rule 2 (clocks only rise) and rule 4 (one step a wave). Returns whether anything changed: a
  // failure that asks for no time at all (no hint, no ladder, no failed probe) leaves no record. A
  // failed probe without a hint blocks as long as the whole scope was still avoided, up to the cap.
  // One that happened so long ago that its time is over blocks nothing, but its level counts.
  bool Fail(const Failure& failure, absl::Time now);
  // Rule 3: erases records that began before `granted`. Returns whether anything was erased.
  bool Succeed(absl::Time granted);
  // Erases records of `cause` (all with kNone) that began before `before`.
  bool Erase(Cause cause, absl::Time before);
  // Erases records 24 h after their avoid_until.
  bool Sweep(absl::Time now);
  // Puts a record as it was stored or marked before (load; breaker restore), in place of the one
  // with the same cause.
  void Put(AvailabilityRecord record);
  const AvailabilityRecord* Find(Cause cause) const;

 private:
  ModelId model_;
  absl::InlinedVector<AvailabilityRecord, 1> records_;
  std::unique_ptr<ProbeState> probe_;
  static const ProbeState kNeverProbed;
};

// No failure, whatever its hint says, is remembered for longer than this.
inline constexpr absl::Duration kMaxCooldown = absl::Hours(400 * 24);
inline constexpr size_t kMaxRawHint = 120;  // bytes

// Causes `refresh` and `expired`: waiting ends by new material, a probe with the old would prove
// nothing.
inline bool NeverHalfOpen(Cause cause) {
  return cause == Cause::kRefresh || cause == Cause::kExpired;
}

inline constexpr int kMaxModelScopes = 64;
inline constexpr absl::Duration kRecordRetention = absl::Hours(24);
inline constexpr absl::Duration kProbeVerdict = absl::Seconds(60);

// The waiting time after the n-th inconclusive probe in a row (n >= 1): 60, 120, 240 ... 900 s.
absl::Duration InconclusiveDelay(int n);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_AVAILABILITY_H_
