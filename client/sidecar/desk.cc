#include "client/sidecar/desk.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "client/sidecar/report_result.h"
#include "credbroker/client/error.h"

namespace credbroker::sidecar {
namespace {

constexpr size_t kExpiredPerTick = 4'096;
// Behind the source's own timeout.
constexpr absl::Duration kSourceMargin = absl::Seconds(2);

// Where a waiting caller finds its decision.
struct Waiter {
  client::Mutex mutex;
  client::CondVar changed;
  std::optional<Desk::Decision> decision ABSL_GUARDED_BY(mutex);
};

Granting RefusalOf(const absl::Status& status) {
  if (IsAway(status)) return Granting::kAway;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return Granting::kInvalid;
    case absl::StatusCode::kResourceExhausted:
      return Granting::kBusy;
    default:
      return Granting::kDisabled;
  }
}

}  // namespace

bool IsAway(const absl::Status& refusal) {
  switch (client::LocalReasonOf(refusal)) {
    case client::LocalReason::kServeLastBusy:
    case client::LocalReason::kClosed:
      return true;
    default:
      return absl::IsUnavailable(refusal) || absl::IsDeadlineExceeded(refusal) ||
             absl::IsInternal(refusal) || absl::IsUnknown(refusal);
  }
}

// The results of one call of Report, while some of them are on their way.
struct Desk::Batch {
  client::Mutex mutex;
  api::ReportResponse response ABSL_GUARDED_BY(mutex);
  size_t missing ABSL_GUARDED_BY(mutex) = 0;
  std::function<void(api::ReportResponse)> done ABSL_GUARDED_BY(mutex);
  int64_t deadline = 0;

  // A missing result came.
  void Set(size_t index, api::ReportResult result) {
    {
      client::MutexLock lock(mutex);
      if (!done) return;
      *response.mutable_results(static_cast<int>(index)) = std::move(result);
      if (--missing > 0) return;
    }
    Finish();
  }
  // Answers with what there is.
  void Finish() {
    std::function<void(api::ReportResponse)> answer;
    api::ReportResponse out;
    {
      client::MutexLock lock(mutex);
      answer = std::exchange(done, nullptr);
      out.Swap(&response);
    }
    if (answer) answer(std::move(out));
  }
};

Desk::Desk(LeaseSource& source, Metrics& metrics, Options options)
    : source_(source), metrics_(metrics), options_(std::move(options)), leases_(options_.leases) {}

Desk::Decision Desk::Judge(Face face, const Route& route, LeaseOr lease) {
  Decision decision;
  if (lease.ok()) {
    decision.kind = Decision::Kind::kLease;
    decision.lease = *std::move(lease);
    return decision;
  }
  decision.refusal = lease.status();
  if (face == Face::kHttp && IsAway(decision.refusal) &&
      route.rules.when_away() == pb::WHEN_AWAY_BYPASS) {
    decision.kind = Decision::Kind::kBypass;
    Count(face, route, Granting::kBypass);
    return decision;
  }
  Count(face, route, RefusalOf(decision.refusal));
  return decision;
}

void Desk::Decide(Face face, const Route& route, const api::AcquireRequest& request,
                  absl::Duration timeout, std::function<void(Decision)> done) {
  if (draining_.load(std::memory_order_relaxed)) {
    return done(Judge(face, route,
                      client::LocalError(client::LocalReason::kClosed, "the sidecar is stopping")));
  }
  source_.Acquire(route, request, timeout,
                  [this, face, &route, done = std::move(done)](LeaseOr lease) {
                    done(Judge(face, route, std::move(lease)));
                  });
}

Desk::Decision Desk::DecideNow(Face face, const Route& route, const api::AcquireRequest& request,
                               absl::Duration timeout) {
  auto waiter = std::make_shared<Waiter>();
  Decide(face, route, request, timeout, [waiter](Decision decision) {
    client::MutexLock lock(waiter->mutex);
    waiter->decision = std::move(decision);
    waiter->changed.NotifyAll();
  });
  const auto deadline =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout + kSourceMargin);
  client::MutexLock lock(waiter->mutex);
  while (!waiter->decision.has_value()) {
    if (!waiter->changed.WaitUntil(waiter->mutex, deadline) && !waiter->decision.has_value()) {
      return Judge(face, route,
                   client::LocalError(client::LocalReason::kDeadline, "no answer in time"));
    }
  }
  return *std::exchange(waiter->decision, std::nullopt);
}

absl::Status Desk::Keep(Face face, const Route& route, const LeaseId& id,
                        std::unique_ptr<HeldLease> lease, absl::Duration ttl, Owner owner) {
  const Granting what = lease->served_last()  ? Granting::kServedLast
                        : lease->from_stock() ? Granting::kStock
                                              : Granting::kDirect;
  if (draining_.load(std::memory_order_relaxed)) {
    lease->Release();
    Count(face, route, Granting::kAway);
    return client::LocalError(client::LocalReason::kClosed, "the sidecar is stopping");
  }
  const int64_t now = Now();
  if (!leases_.Put(id, lease,
                   {.owner = std::string(owner),
                    .granted = now,
                    .deadline = now + absl::ToInt64Nanoseconds(ttl)})) {
    lease->Release();
    Count(face, route, Granting::kBusy);
    return client::LocalError(client::LocalReason::kTooManyLeases,
                              "too many leases of this sidecar are live", absl::Seconds(1));
  }
  Count(face, route, what);
  return absl::OkStatus();
}

std::optional<absl::Duration> Desk::Left(std::optional<int64_t> deadline) const {
  if (!deadline.has_value()) return std::nullopt;
  const int64_t left = *deadline - Now();
  // It is over, though no tick has seen it yet.
  if (left <= 0) return std::nullopt;
  return absl::Nanoseconds(left);
}

std::optional<absl::Duration> Desk::CopyGrant(const LeaseId& id, api::Grant* grant, Owner owner) {
  bool revoked = false;
  const auto left = Left(leases_.Use(id, owner, [&](HeldLease& lease) {
    revoked = lease.revoked();
    if (!revoked) lease.CopyTo(grant);
  }));
  if (revoked) return std::nullopt;
  return left;
}

void Desk::Report(Face face, std::vector<api::ReportItem> items,
                  std::function<void(api::ReportResponse)> done, Owner owner) {
  auto batch = std::make_shared<Batch>();
  batch->deadline = Now() + absl::ToInt64Nanoseconds(options_.advice_patience);
  {
    client::MutexLock lock(batch->mutex);
    batch->done = std::move(done);
    // One more, so that nothing is answered before every item was looked at.
    batch->missing = items.size() + 1;
    for (const api::ReportItem& item : items) {
      *batch->response.add_results() = ResultByStatus(item);
    }
  }
  api::ReportResult unused;
  for (size_t i = 0; i < items.size(); ++i) {
    std::string lease_id = items[i].lease_id();
    if (auto result = ReportOne(face, owner, std::move(items[i]), i, batch); result.has_value()) {
      result->set_lease_id(std::move(lease_id));
      batch->Set(i, *std::move(result));
    }
  }
  bool finished = false;
  {
    client::MutexLock lock(batch->mutex);
    finished = --batch->missing == 0;
  }
  // Nobody to ask: what is known by the status alone has to do.
  if (finished || !source_.connected()) return batch->Finish();
  client::MutexLock lock(mutex_);
  waiting_.push_back(batch);
}

std::optional<api::ReportResult> Desk::ReportEarly(Face face, Owner owner, const LeaseId& id,
                                                   api::ReportItem item, size_t index,
                                                   const std::shared_ptr<Batch>& batch) {
  const std::string lease_id = item.lease_id();
  const auto live = leases_.Use(id, owner, [&](HeldLease& lease) {
    lease.Report(std::move(item), [batch, index, lease_id](const client::ReportAnswer& answer) {
      batch->Set(index, ToResult(lease_id, answer));
    });
  });
  if (live.has_value()) {
    metrics_.reported(face, Reported::kEarly).Increment();
    return std::nullopt;
  }
  metrics_.reported(face, Reported::kUnknown).Increment();
  return UnknownResult();
}

// The result, if it is known at once.
std::optional<api::ReportResult> Desk::ReportOne(Face face, Owner owner, api::ReportItem item,
                                                 size_t index,
                                                 const std::shared_ptr<Batch>& batch) {
  const std::optional<LeaseId> id = ParseLeaseId(item.lease_id());
  if (!id.has_value()) {
    metrics_.reported(face, Reported::kUnknown).Increment();
    return UnknownResult();
  }
  if (item.early()) return ReportEarly(face, owner, *id, std::move(item), index, batch);
  LeaseTable::Taken taken = leases_.Take(*id, owner, LeaseEnd::kReported, Now());
  if (taken.lease == nullptr) {
    if (!taken.ended.has_value()) {
      metrics_.reported(face, Reported::kUnknown).Increment();
      return UnknownResult();
    }
    const bool duplicate = *taken.ended == LeaseEnd::kReported;
    metrics_.reported(face, duplicate ? Reported::kDuplicate : Reported::kLate).Increment();
    taken.answer.set_disposition(duplicate ? api::REPORT_DISPOSITION_DUPLICATE
                                           : api::REPORT_DISPOSITION_LATE);
    return std::move(taken.answer);
  }
  metrics_.reported(face, Reported::kAccepted).Increment();
  metrics_.ended(Ending::kReported).Increment();
  api::ReportResult by_status = ResultByStatus(item);
  by_status.set_credential_id(taken.lease->credential_id());
  leases_.SetAnswer(*id, by_status);
  if (IsSuccess(item)) {
    taken.lease->Report(std::move(item), nullptr);
    return by_status;
  }
  const std::string lease_id = item.lease_id();
  // The table outlives the session's callbacks: whoever wires them closes the session first.
  taken.lease->Report(std::move(item),
                      [this, id = *id, lease_id, batch, index](const client::ReportAnswer& answer) {
                        const api::ReportResult result = ToResult(lease_id, answer);
                        leases_.SetAnswer(id, result);
                        batch->Set(index, result);
                      });
  return std::nullopt;
}

bool Desk::Release(const std::string& id, Owner owner) {
  const std::optional<LeaseId> parsed = ParseLeaseId(id);
  if (!parsed.has_value()) return false;
  LeaseTable::Taken taken = leases_.Take(*parsed, owner, LeaseEnd::kReleased, Now());
  if (taken.lease == nullptr) return false;
  taken.lease->Release();
  metrics_.ended(Ending::kReleased).Increment();
  return true;
}

std::optional<absl::Duration> Desk::Renew(const std::string& id, absl::Duration ttl, Owner owner) {
  const std::optional<LeaseId> parsed = ParseLeaseId(id);
  if (!parsed.has_value()) return std::nullopt;
  bool revoked = false;
  const auto left = Left(leases_.Use(*parsed, owner, [&](HeldLease& lease) {
    revoked = lease.revoked();
    if (!revoked) lease.Renew(ttl);
  }));
  if (!left.has_value() || revoked) return std::nullopt;
  return Left(leases_.Prolong(*parsed, owner, Now() + absl::ToInt64Nanoseconds(ttl)));
}

void Desk::Tick() {
  const int64_t now = Now();
  for (std::unique_ptr<HeldLease>& lease : leases_.TakeExpired(now, kExpiredPerTick)) {
    lease->Expire();
    metrics_.ended(Ending::kExpired).Increment();
  }
  std::vector<std::shared_ptr<Batch>> overdue;
  {
    client::MutexLock lock(mutex_);
    std::erase_if(waiting_, [&](const std::weak_ptr<Batch>& weak) {
      std::shared_ptr<Batch> batch = weak.lock();
      if (batch == nullptr) return true;
      if (batch->deadline > now && source_.connected()) return false;
      overdue.push_back(std::move(batch));
      return true;
    });
  }
  for (const auto& batch : overdue) batch->Finish();
}

void Desk::ReturnAll() {
  for (std::unique_ptr<HeldLease>& lease : leases_.TakeAll(Now())) {
    lease->Release();
    metrics_.ended(Ending::kStopped).Increment();
  }
  std::vector<std::weak_ptr<Batch>> waiting;
  {
    client::MutexLock lock(mutex_);
    waiting.swap(waiting_);
  }
  for (const auto& weak : waiting) {
    if (const auto batch = weak.lock(); batch != nullptr) batch->Finish();
  }
}

}  // namespace credbroker::sidecar
