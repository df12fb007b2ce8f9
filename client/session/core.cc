#include "client/session/core.h"

#include <algorithm>
#include <utility>

#include "client/session/request_check.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

// SessionRequest allows 1,024 items.
constexpr size_t kMaxItems = 1000;
// This many ends go at once, also when report_delay is not over.
constexpr size_t kBatch = 32;
// How often leases in use are looked at for renewal, and credentials for what nobody needs.
constexpr absl::Duration kRenewLook = absl::Milliseconds(250);
constexpr absl::Duration kPruneEvery = absl::Seconds(60);
// The broker's hard maximum of a lease's life.
constexpr absl::Duration kMaxLife = absl::Hours(1);

}  // namespace

SessionCore::SessionCore(std::shared_ptr<SessionShared> shared, Stream& stream)
    : shared_(std::move(shared)),
      stream_(stream),
      connection_(*shared_->parts().random),
      book_(static_cast<size_t>(shared_->options().max_leases), shared_->records()),
      ends_(book_, shared_->options().max_report_bytes),
      stock_(shared_->shards(), *shared_->parts().random) {}

bool SessionCore::Step() {
  now_ns_ = shared_->Now();
  for (SessionShared::Command& command : shared_->TakeCommands()) command(*this);
  TakeNotes();
  const bool active = !notes_.empty();
  notes_.clear();

  if (connection_.BecameLost(now_ns_)) OnLost();
  if (const absl::Status why = connection_.MustCut(now_ns_); !why.ok()) Cut(why);
  if (!open_ && !closing_ && now_ns_ >= connection_.reopen_at_ns()) Open();
  AnswerDue();
  if (ends_.TakeSettled()) shared_->shards().PutBack();
  stock_.Step(now_ns_);
  if (stock_.ReturnsDue(now_ns_)) ReturnStock();
  if (now_ns_ >= renew_look_at_ns_) RenewLeases();
  if (now_ns_ >= prune_at_ns_) {
    book_.Prune();
    prune_at_ns_ = After(now_ns_, kPruneEvery);
  }
  if (closing_) DoClose();
  Write();
  SayAnswers();
  Publish();
  return active;
}

absl::Duration SessionCore::NextWait() const {
  int64_t due = std::min({connection_.NextDue(), calls_.NextDue(), stock_.NextDue(), close_by_ns_});
  if (book_.size() > 0) due = std::min(due, renew_look_at_ns_);
  if (ends_due_) due = std::min(due, After(wrote_at_ns_, shared_->options().report_delay));
  if (due == kNever) return absl::Minutes(1);
  // What is due may have to wait for the stream, whose event ends the wait.
  const absl::Duration least =
      writing_ || half_closed_ || !cut_.ok() ? absl::Milliseconds(1) : absl::ZeroDuration();
  return std::max(absl::Nanoseconds(due - now_ns_), least);
}

// --- Callers ---

void SessionCore::Declare(TargetId id, Target target) {
  if (!closing_) stock_.Declare(id, std::move(target), now_ns_);
}

void SessionCore::Retire(TargetId id) {
  if (stock_.Find(id) == nullptr) return;
  stock_.Retire(id);
  serve_last_.Forget(id);
  calls_.LeaveTarget(id);
  // At once: the id may be another target's with the next command.
  removed_.clear();
  shared_->shards().RemoveIf([] {}, [id](const LeaseRecord& record) { return record.target == id; },
                             &removed_);
  stats_.stock_returned += removed_.size();
  for (LeaseRecord* record : removed_) Return(record);
  shared_->GiveTargetId(id);
}

void SessionCore::Acquire(AcquireCall call) {
  if (closing_) {
    Answer(call, LocalError(LocalReason::kClosed, "the session was closed"));
    return;
  }
  if (call.target != 0) {
    const Target* target = stock_.Find(call.target);
    if (target == nullptr) {
      Answer(call, LocalError(LocalReason::kInvalidArgument, "target: not declared"));
      return;
    }
    // The whole question, so that the id may be given to another target meanwhile.
    call.request.set_group(target->group);
    call.request.mutable_providers()->Assign(target->providers.begin(), target->providers.end());
    call.request.set_model(target->model);
    call.request.set_kind(target->kind);
    call.request.mutable_labels()->insert(target->labels.begin(), target->labels.end());
    if (!call.request.has_ttl()) ToWire(target->ttl, call.request.mutable_ttl());
  }
  if (absl::Status bad = CheckRequest(call.request); !bad.ok()) {
    Answer(call, std::move(bad));
    return;
  }
  if (connection_.state() == ConnectionState::kLost && !Greeting()) {
    Answer(call, AcquireLost(call));
    return;
  }
  if (book_.size() + calls_.size() >= static_cast<size_t>(shared_->options().max_leases)) {
    Answer(call, LocalError(LocalReason::kTooManyLeases,
                            "max_leases leases are live or wait for their end to be processed"));
    return;
  }
  if (const Target* target = stock_.Find(call.target);
      target != nullptr && target->when_lost == WhenLost::kServeLast) {
    call.serve_ns = After(now_ns_, call.max_wait + target->serve_last_after);
  }
  calls_.Add(std::move(call));
}

void SessionCore::Cancel(uint64_t id) {
  AcquireCall call = calls_.Cancel(id);
  if (call.done) Answer(call, LocalError(LocalReason::kCancelled, "cancelled"));
}

void SessionCore::Answer(AcquireCall& call, absl::StatusOr<Lease> result) {
  if (!result.ok()) ++stats_.refused;
  call.done(std::move(result));
}

void SessionCore::Flush(std::function<void()> done) {
  TakeNotes();
  notes_.clear();
  if (finished_) {
    done();
    return;
  }
  flushes_.emplace_back(ends_.counts().queued, std::move(done));
}

void SessionCore::TakeNotes() {
  shared_->shards().Drain(&notes_);
  for (LeaseNote& note : notes_) {
    LeaseRecord* record = note.record;
    if (record == nullptr || record->local_id != note.local_id ||
        record->place.load(std::memory_order_relaxed) != Place::kInUse) {
      DropNote(note);  // Close ended it before
      continue;
    }
    if (note.kind == LeaseNote::Kind::kRenew) {
      if (CanRenew(*record)) {
        Renew(*record, note.ttl);
      } else {
        record->asked_ttl = note.ttl;  // the last word counts, however often it is said
      }
      continue;
    }
    if (note.kind != LeaseNote::Kind::kEarly && record->serve_count != nullptr) {
      ServeLast::Ended(*record->serve_count);
    }
    // Its caller had not heard yet that the connection broke.
    if (note.detail != nullptr && !connection_.up()) ends_.DropPassing(note.detail->doubt);
    if (note.kind == LeaseNote::Kind::kReported) {
      v1::ReportItem& item = note.detail->item;
      // It may be sent much later.
      if (!connection_.up() && !item.has_event_time()) {
        ToWire(connection_.broker_time().ToBroker(now_ns_), item.mutable_event_time());
      }
    }
    if (note.kind == LeaseNote::Kind::kReturned) ++stats_.stock_returned;
    ends_.Add(std::move(note));
  }
}

void SessionCore::DropNotes() {
  shared_->shards().Drain(&notes_);
  for (LeaseNote& note : notes_) DropNote(note);
  notes_.clear();
}

// --- Timers ---

void SessionCore::ReturnStock() {
  removed_.clear();
  stock_.BeginReturns(now_ns_);
  shared_->shards().RemoveIf(
      [] {}, [&](const LeaseRecord& record) { return stock_.ShouldReturn(record, now_ns_); },
      &removed_);
  stock_.EndReturns(now_ns_);
  stats_.stock_returned += removed_.size();
  for (LeaseRecord* record : removed_) Return(record);
}

void SessionCore::RenewLeases() {
  renew_look_at_ns_ = After(now_ns_, kRenewLook);
  if (closing_) return;
  book_.ForEach([&](LeaseRecord& record) {
    const bool asked = record.asked_ttl > absl::ZeroDuration();
    if ((record.ttl <= absl::ZeroDuration() && !asked) || record.renewing ||
        record.place.load(std::memory_order_relaxed) != Place::kInUse ||
        record.revoke_reason.load(std::memory_order_relaxed) != 0) {
      return;
    }
    if (asked && CanRenew(record)) return Renew(record, record.asked_ttl);
    if (record.ttl <= absl::ZeroDuration()) return;
    const int64_t half = absl::ToInt64Nanoseconds(record.ttl / 2);
    if (now_ns_ < record.expire_boot_ns - half) return;
    if (CanRenew(record)) {
      Renew(record, record.ttl);
    } else if (record.served_last && record.standing == Standing::kAwaiting) {
      // Nobody to ask: it is presented with this life when the broker is back.
      const absl::Time most = record.grant_time + kMaxLife;
      const absl::Time expires =
          std::min(connection_.broker_time().ToBroker(now_ns_) + record.ttl, most);
      record.expire_boot_ns = connection_.broker_time().ToBoot(expires);
      record.expire_unix_ns.store(absl::ToUnixNanos(expires), std::memory_order_relaxed);
    }
  });
}

bool SessionCore::CanRenew(const LeaseRecord& record) const {
  return connection_.up() && record.standing == Standing::kKnown && !record.renewing;
}

void SessionCore::Renew(LeaseRecord& record, absl::Duration ttl) {
  record.renewing = true;
  record.asked_ttl = absl::ZeroDuration();
  renewals_.push_back({&record, record.local_id, ttl});
}

void SessionCore::SayAnswers() {
  for (auto& [done, answer] : ends_.TakeAnswers()) done(answer);
  if (flushes_.empty()) return;
  std::vector<std::function<void()>> due;
  std::erase_if(flushes_, [&](auto& flush) {
    if (ends_.counts().done() < flush.first) return false;
    due.push_back(std::move(flush.second));
    return true;
  });
  for (auto& done : due) done();
}

void SessionCore::Publish() {
  const EndQueue::Counts& counts = ends_.counts();
  stats_.ends_processed = counts.processed;
  stats_.ends_dropped = counts.dropped;
  stats_.reports_trimmed = counts.trimmed;
  stats_.early_dropped = counts.early_dropped;
  stats_.live_leases = book_.size();
  Extend();
  shared_->Publish(stats_);
}

// --- What is sent ---

size_t SessionCore::FillRenewals(size_t budget) {
  size_t count = 0;
  while (count < budget && !renewals_.empty()) {
    const Renewal renewal = renewals_.back();
    renewals_.pop_back();
    if (renewal.record->local_id != renewal.local_id ||
        renewal.record->place.load(std::memory_order_relaxed) != Place::kInUse ||
        renewal.record->standing != Standing::kKnown) {
      continue;
    }
    v1::SessionRenew* wire = message_.add_renewals();
    wire->set_lease(renewal.record->number);
    ToWire(renewal.ttl, wire->mutable_ttl());
    ++count;
  }
  return count;
}

bool SessionCore::FillMessage() {
  message_.Clear();
  message_.set_number(number_ + 1);
  if (to_acknowledge_ > acknowledged_) message_.set_acknowledged_revocation(to_acknowledge_);
  // What is returned on the way out is not to be asked for again.
  size_t count = closing_ ? 0 : stock_.Fill(&message_, kMaxItems, now_ns_);
  count += FillServed(kMaxItems - count);
  count += calls_.Fill(&message_, kMaxItems - count, now_ns_);
  while (count < kMaxItems && !returned_numbers_.empty()) {
    message_.add_released_leases(returned_numbers_.back());
    returned_numbers_.pop_back();
    ++count;
  }
  if (connection_.PingDue(now_ns_)) {
    message_.set_ping(connection_.Ping(now_ns_));
    if (settle_ping_ == 0) settle_ping_ = message_.ping();
    ++count;
  }
  count += FillRenewals(kMaxItems - count);
  // Ends wait a little for each other.
  ends_due_ = ends_.has_pending();
  if (ends_due_ && (count > 0 || closing_ || ends_.pending() >= kBatch ||
                    now_ns_ >= After(wrote_at_ns_, shared_->options().report_delay))) {
    count += ends_.Fill(&message_, kMaxItems - count);
    ends_due_ = false;
  }
  return count > 0 || to_acknowledge_ > acknowledged_;
}

void SessionCore::Write() {
  if (finished_ || !open_ || !cut_.ok() || writing_ || half_closed_) return;
  if (hello_ == Hello::kSending) {
    FillHello();
  } else if (!connection_.up() || !FillMessage()) {
    return;
  }
  ++number_;
  acknowledged_ = std::max(acknowledged_, message_.acknowledged_revocation());
  writing_ = true;
  wrote_at_ns_ = now_ns_;
  stream_.Write(message_);
}

}  // namespace credbroker::client
