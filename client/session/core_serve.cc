// Calls that the broker does not answer in time: what they get instead, and how the broker hears of
// it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/session/core.h"
#include "credbroker/client/error.h"

namespace credbroker::client {

void SessionCore::AnswerDue() {
  for (const uint64_t id : calls_.Due(now_ns_)) {
    const AcquireCall& due = *calls_.Find(id);
    const bool over = now_ns_ >= due.deadline_ns;
    absl::StatusOr<Lease> result =
        connection_.up()
            ? LocalError(LocalReason::kDeadline, "the broker did not answer in time")
            : LocalError(LocalReason::kNotConnected, absl::StrCat("no connection to the broker: ",
                                                                  connection_.cause().message()));
    if (MayServeLast(due)) {
      // That the broker is there, or may yet be, does not help who waited for it as long as he
      // could.
      absl::StatusOr<Lease> served = ServeLastKnown(due);
      if (served.ok() || !connection_.up()) result = std::move(served);
    }
    if (!result.ok() && !over) {
      // One of those that are in use may have ended then.
      calls_.WaitOn(id, MayServeLast(due)
                            ? After(now_ns_, stock_.Find(due.target)->serve_last_after)
                            : kNever);
      continue;
    }
    AcquireCall call = calls_.Cancel(id);
    Answer(call, std::move(result));
  }
}

absl::StatusOr<Lease> SessionCore::AcquireLost(const AcquireCall& call) {
  if (MayServeLast(call)) return ServeLastKnown(call);
  const int64_t reopen = connection_.reopen_at_ns();
  return LocalError(
      LocalReason::kSessionLost,
      absl::StrCat("the session is lost: ", connection_.cause().message()),
      absl::Nanoseconds(reopen == kNever ? 0 : std::max<int64_t>(reopen - now_ns_, 0)));
}

bool SessionCore::MayServeLast(const AcquireCall& call) const {
  const Target* target = call.target == 0 ? nullptr : stock_.Find(call.target);
  return target != nullptr && target->when_lost == WhenLost::kServeLast;
}

absl::StatusOr<Lease> SessionCore::ServeLastKnown(const AcquireCall& call) {
  const Target* target = stock_.Find(call.target);
  if (book_.full()) {
    return LocalError(LocalReason::kTooManyLeases,
                      "max_leases leases are live or wait for their end to be processed");
  }
  auto served = serve_last_.Serve(call.target, *target, call.request, now_ns_);
  if (!served.ok()) return served.status();
  LeaseRecord* record = book_.New();
  record->credential = served->known.credential;
  record->model = served->known.model;
  record->target = call.target;
  record->served_last = true;
  record->standing = Standing::kAwaiting;
  record->order = served->known.order;
  record->serve_count = std::move(served->in_use);
  const absl::Time granted = connection_.broker_time().ToBroker(now_ns_);
  SetLife(record, granted, granted + target->ttl,
          target->auto_renew ? target->ttl : absl::ZeroDuration());
  record->place.store(Place::kInUse, std::memory_order_relaxed);
  // The hello that is under way, or was, does not name it.
  if (hello_ >= Hello::kSending) {
    served_.emplace_back(record, record->local_id);
  }
  ++stats_.served_last;
  return shared_->MakeLease(record, record->credential->material);
}

size_t SessionCore::FillServed(size_t budget) {
  size_t count = 0;
  while (count < budget && !served_.empty()) {
    const auto [record, local_id] = served_.back();
    served_.pop_back();
    if (record->local_id != local_id || record->standing != Standing::kAwaiting) continue;
    book_.Present(record);
    FillResumed(*record, message_.add_served_leases());
    ++count;
  }
  // Answered before the next ping is.
  if (count > 0) settle_ping_ = 0;
  return count;
}

}  // namespace credbroker::client
