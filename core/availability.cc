#include "core/availability.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "core/fault.h"

namespace credbroker::core {
namespace {

// Whole microseconds: a deadline must survive the timer's and the store's resolution unchanged.
absl::Duration Clamp(absl::Duration d) {
  return absl::Floor(std::min(std::max(d, absl::ZeroDuration()), kMaxCooldown),
                     absl::Microseconds(1));
}

bool Finite(absl::Time t) { return t > absl::InfinitePast() && t < absl::InfiniteFuture(); }

// With the jitter the pool drew. A ladder of zero stays zero.
absl::Duration LadderDuration(const Failure& failure, int level) {
  if (failure.ladder.empty()) return absl::ZeroDuration();
  // Beyond +-20 % would be a mistake of the caller; it must not turn a wait into none.
  const double jitter = std::isfinite(failure.jitter) ? std::clamp(failure.jitter, -0.2, 0.2) : 0.0;
  return Clamp(failure.ladder.At(level) * (1.0 + jitter));
}

// Rule 4: failures of calls that were already under way when the block began are one step.
uint16_t NextLevel(const AvailabilityRecord* record, absl::Time lease_granted) {
  if (record == nullptr || record->level == 0) return 1;
  const bool same_wave = lease_granted < record->block_until && !SeededFault("level_per_report");
  if (same_wave || record->level == UINT16_MAX) return record->level;
  return static_cast<uint16_t>(record->level + 1);
}

}  // namespace

absl::Duration Ladder::At(int level) const {
  CB_CHECK(level >= 1);
  if (empty()) return absl::ZeroDuration();
  const absl::Duration top = std::min(std::max(max, first), kMaxCooldown);
  absl::Duration d = std::min(first, top);
  if (!(factor > 1.0)) return d;  // NaN too
  for (int i = 1; i < level && d < top; ++i) {
    const absl::Duration next = std::min(d * factor, top);
    if (next <= d) break;  // a factor so near 1 that the clock's resolution swallows it
    d = next;
  }
  return d;
}

absl::Duration InconclusiveDelay(int n) {
  CB_CHECK(n >= 1);
  constexpr absl::Duration kTop = absl::Seconds(900);
  absl::Duration d = kProbeVerdict;
  for (int i = 1; i < n && d < kTop; ++i) d *= 2;
  return std::min(d, kTop);
}

const ProbeState ScopeRecords::kNeverProbed;

Phase ScopeRecords::PhaseAt(absl::Time now) const {
  Phase phase = Phase::kOpen;
  for (const AvailabilityRecord& r : records_) {
    if (now < r.block_until) return Phase::kBlocked;
    if (now < r.avoid_until) phase = Phase::kHalfOpen;
  }
  return phase;
}

absl::Time ScopeRecords::block_until() const {
  absl::Time latest = absl::InfinitePast();
  for (const AvailabilityRecord& r : records_) latest = std::max(latest, r.block_until);
  return latest;
}

absl::Time ScopeRecords::avoid_until() const {
  absl::Time latest = absl::InfinitePast();
  for (const AvailabilityRecord& r : records_) latest = std::max(latest, r.avoid_until);
  return latest;
}

Cause ScopeRecords::LeadingCause(absl::Time now) const {
  const bool blocked = now < block_until();
  const AvailabilityRecord* leading = nullptr;
  for (const AvailabilityRecord& r : records_) {
    if (leading == nullptr ||
        (blocked ? r.block_until > leading->block_until : r.avoid_until > leading->avoid_until)) {
      leading = &r;
    }
  }
  return leading == nullptr ? Cause::kNone : leading->cause;
}

absl::Time ScopeRecords::NextEvent(absl::Time now) const {
  absl::Time next = absl::InfiniteFuture();
  for (const AvailabilityRecord& r : records_) {
    for (const absl::Time t : {r.block_until, r.avoid_until, r.avoid_until + kRecordRetention}) {
      if (t > now) next = std::min(next, t);
    }
  }
  return next;
}

bool ScopeRecords::Fail(const Failure& failure, absl::Time now) {
  CB_CHECK(failure.cause != Cause::kNone);
  CB_CHECK(Finite(now));
  AvailabilityRecord* record = nullptr;
  for (AvailabilityRecord& r : records_) {
    if (r.cause == failure.cause) record = &r;
  }
  const uint16_t level = NextLevel(record, failure.lease_granted);
  const absl::Time from = std::min(failure.happened, now);
  absl::Duration duration;
  absl::Duration block;
  if (failure.hint.has_value()) {
    duration = Clamp(*failure.hint);
    block = duration;
  } else {
    duration = LadderDuration(failure, level);
    block = duration;
    // The upstream said nothing new, so what it said before still holds: it was avoided, and the
    // probe showed rightly so. Only the block is prolonged; how long another cause asked is that
    // record's.
    if (failure.failed_probe) block = std::max(block, Clamp(avoid_until() - from));
  }
  if (NeverHalfOpen(failure.cause)) {
    block = duration;
  } else {
    block = std::min(block, std::max(failure.cap, absl::ZeroDuration()));
  }
  if (duration <= absl::ZeroDuration() && block <= absl::ZeroDuration()) return false;

  if (record == nullptr) {
    records_.emplace_back();
    record = &records_.back();
    record->cause = failure.cause;
  }
  const absl::Time old_block = record->block_until;
  const absl::Time old_avoid = record->avoid_until;
  record->level = level;
  record->block_until =
      SeededFault("shortens_deadline") ? from + block : std::max(record->block_until, from + block);
  record->avoid_until = std::max({record->avoid_until, from + duration, record->block_until});
  record->began = std::max(record->began, from);
  // The hint shown is the one that decided how long.
  if (record->avoid_until > old_avoid) record->raw_hint = failure.raw_hint.substr(0, kMaxRawHint);
  CB_CHECK(record->block_until >= old_block && record->avoid_until >= old_avoid);  // rule 2
  CB_CHECK(record->block_until <= record->avoid_until);
  CB_CHECK(Finite(record->avoid_until));  // WAITING always ends
  CB_CHECK(!NeverHalfOpen(record->cause) || record->block_until == record->avoid_until);
  return true;
}

bool ScopeRecords::Succeed(absl::Time granted) { return Erase(Cause::kNone, granted); }

bool ScopeRecords::Erase(Cause cause, absl::Time before) {
  const auto* end = std::remove_if(records_.begin(), records_.end(), [&](const auto& r) {
    return (cause == Cause::kNone || r.cause == cause) && r.began < before;
  });
  if (end == records_.end()) return false;
  records_.erase(end, records_.end());
  return true;
}

bool ScopeRecords::Sweep(absl::Time now) {
  const auto* end = std::remove_if(records_.begin(), records_.end(), [&](const auto& r) {
    return r.avoid_until + kRecordRetention <= now;
  });
  if (end == records_.end()) return false;
  records_.erase(end, records_.end());
  return true;
}

void ScopeRecords::Put(AvailabilityRecord record) {
  CB_CHECK(record.cause != Cause::kNone);
  // What was stored may be older than these rules: make it hold them, never shorter.
  record.avoid_until = std::max(record.avoid_until, record.block_until);
  if (NeverHalfOpen(record.cause)) record.block_until = record.avoid_until;
  if (record.raw_hint.size() > kMaxRawHint) {
    record.raw_hint = Text(record.raw_hint.view().substr(0, kMaxRawHint));
  }
  for (AvailabilityRecord& r : records_) {
    if (r.cause == record.cause) {
      r = std::move(record);
      return;
    }
  }
  records_.push_back(std::move(record));
}

const AvailabilityRecord* ScopeRecords::Find(Cause cause) const {
  for (const AvailabilityRecord& r : records_) {
    if (r.cause == cause) return &r;
  }
  return nullptr;
}

}  // namespace credbroker::core
