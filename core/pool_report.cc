// Report: whose lease it was, whether the news still counts, and the answer.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {
namespace {

// News about an older secret says nothing of the present one (rule 1).
bool IsAboutSecret(Outcome outcome) {
  return outcome == Outcome::kUnauthorized || outcome == Outcome::kForbidden;
}

// How long after its expiry a lease no longer in memory is still believed.
constexpr absl::Duration kLateFor = absl::Minutes(10);

}  // namespace

PoolState::Subject PoolState::SubjectOf(const SessionLease& name) {
  Subject subject;
  subject.lease = FindLease(name);
  subject.own = subject.lease != nullptr;
  if (!subject.own) return subject;
  const SessionLink& link = sessions.link(name.cell);
  const LeaseCell& lease = *subject.lease;
  subject.cell = name.cell;
  subject.uid = lease.uid;
  subject.seq = lease.seq;
  subject.material_version = lease.material_version;
  subject.granted = absl::FromUnixNanos(link.granted_ns);
  subject.expires = absl::InfiniteFuture();
  subject.model = models.Name(lease.end == LeaseEnd::kLive ? lease.model : link.model);
  return subject;
}

void PoolState::CountReport(const Record& record, const Verdict& verdict, Disposition disposition) {
  GroupProviderStats& stats = groups[record.group.number()]->stats(record.provider);
  ++stats.reports[static_cast<size_t>(disposition)][static_cast<size_t>(verdict.outcome)];
}

ReportReply PoolState::Report(const ReportCommand& command, Effects& effects) {
  Step(effects);
  // In place: it is on the way of every unary report.
  const auto of_claims = [&](const LeaseClaims& claims) {
    return Subject{claims.epoch == options.epoch ? leases.Find(claims.cell, claims.seq) : nullptr,
                   claims.cell,
                   claims.principal == command.principal || Fault("foreign_accepted"),
                   claims.uid,
                   claims.seq,
                   claims.material_version,
                   claims.granted,
                   claims.expires,
                   claims.model};
  };
  const Subject subject = command.session_lease != nullptr ? SubjectOf(*command.session_lease)
                                                           : of_claims(*command.claims);
  LeaseCell* const lease = subject.lease;
  ReportReply reply;
  // A live lease knows its credential's place; only others need the search.
  const Slot slot =
      lease != nullptr && lease->end == LeaseEnd::kLive ? lease->slot : records.Find(subject.uid);
  if (!subject.own || slot == kNoSlot) {
    ++totals.reports_unknown;
    return reply;
  }
  if (lease != nullptr && lease->end == LeaseEnd::kLive && lease->expires_ns <= now_ns) {
    ++totals.leases_expired;
    EndLease(subject.cell, LeaseEnd::kExpired, effects);
  }
  const bool live = lease != nullptr && lease->end == LeaseEnd::kLive;
  if (!live || !command.terse) reply.document = records.at(slot).document;
  if (lease != nullptr && !live && lease->reported) {
    ++totals.reports_duplicate;
    CountReport(records.at(slot), *command.verdict, Disposition::kDuplicate);
    reply.disposition = Disposition::kDuplicate;
    reply.advice = lease->answer_advice;
    reply.state = lease->answer_state;
    reply.outcome = lease->answer_outcome;
    reply.cause = lease->answer_cause;
    if (lease->answer_recover_ns != 0) {
      reply.next_recover = FromNanosOrNever(lease->answer_recover_ns);
    }
    return reply;
  }
  if (lease == nullptr && now > subject.expires + kLateFor) {
    ++totals.reports_unknown;
    return ReportReply();
  }
  // Of a lease that is no longer in memory nobody knows whether it was reported. One of this epoch
  // was most likely: those that nobody reported are forgotten last. One of before is believed once.
  // A session's lease is in memory.
  const bool counts = lease != nullptr || command.early || Fault("forgotten_counts_again") ||
                      (command.claims->epoch != options.epoch &&
                       earlier_reports.Add(command.claims->epoch, subject.seq,
                                           NanosOrNever(subject.expires + kLateFor), now_ns));
  Record& record = records.at(slot);
  Evidence evidence;
  evidence.slot = slot;
  evidence.seq = subject.seq;
  evidence.granted = subject.granted;
  evidence.happened = std::min(now, std::max(command.happened, subject.granted));
  evidence.principal = lease != nullptr ? lease->principal : principal_names.Ref(command.principal);
  // Held until the answer is made: the lease gives its own reference back before.
  evidence.model = live ? lease->model : models.Ref(subject.model);
  if (live) models.Ref(evidence.model);
  evidence.probe = live && lease->probe;
  evidence.breaker_probe = live && lease->breaker_probe;

  reply.disposition = live ? Disposition::kAccepted : Disposition::kLate;
  if (!live) ++totals.reports_late;
  reply.advice = command.verdict->advice;
  reply.outcome = command.verdict->outcome;
  const uint64_t current = record.material == nullptr ? 0 : record.material->version;
  const uint64_t used = command.material_version != 0 && command.material_version <= current
                            ? command.material_version
                            : subject.material_version;
  GroupIndex& group = *groups[record.group.number()];
  if (!counts) {
    // Its answer is the state of things, no more.
  } else if (IsAboutSecret(command.verdict->outcome) && used < current &&
             !Fault("stale_accepted")) {
    ++totals.reports_stale;
    reply.disposition = Disposition::kStale;
    reply.advice = Advice::kRetrySame;
  } else if (command.early) {
    reply.disposition = live ? Disposition::kNoted : Disposition::kLate;
    // Only good news counts early: the verdict on a failure comes with the end of the call.
    if (command.verdict->outcome == Outcome::kSuccess) {
      ApplyVerdict(evidence, *command.verdict, &reply, effects);
    }
  } else {
    ApplyVerdict(evidence, *command.verdict, &reply, effects);
  }
  CountReport(record, *command.verdict, reply.disposition);
  if (live && !command.early) EndLease(subject.cell, LeaseEnd::kReported, effects);

  const Standing* held = group.ModelStanding(slot, evidence.model);
  const Standing standing = held ? Combine(record.standing, *held) : record.standing;
  reply.state = standing.state;
  // Busy and half-open are flags of AVAILABLE, no reasons for a state.
  if (standing.state != State::kAvailable) reply.cause = standing.cause;
  if (standing.state == State::kWaiting) reply.next_recover = FromNanosOrNever(standing.returns_ns);
  if (lease != nullptr && !command.early) {
    lease->reported = true;
    lease->answer_advice = reply.advice;
    lease->answer_state = reply.state;
    lease->answer_outcome = reply.outcome;
    lease->answer_cause = reply.cause;
    lease->answer_recover_ns = standing.state == State::kWaiting ? standing.returns_ns : 0;
  }
  models.Unref(evidence.model);
  return reply;
}

}  // namespace credbroker::core
