#include "server/rpc/unary_call.h"

#include <grpc/support/time.h>

#include <chrono>

#include "core/check.h"
#include "server/rpc/status.h"

namespace credbroker::rpc {
namespace {

int64_t MonotonicNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

UnaryCall::UnaryCall(UnaryPool& pool) : pool_(pool) {}

void UnaryCall::Arm() {
  context_.emplace();
  writer_.emplace(&*context_);
  context_->AsyncNotifyWhenDone(&done_tag_);
  holds_.store(1, std::memory_order_relaxed);
  sent_.store(false, std::memory_order_relaxed);
  pool_.arm_(&*context_, &bytes_, &*writer_, pool_.site_.queue, &request_tag_);
}

void UnaryCall::OnRequest(bool ok) {
  if (!ok) {
    // The server stops: no call came, and of a call that never was there is no done tag.
    Drop();
    return;
  }
  pool_.ArmOne();
  holds_.store(3, std::memory_order_relaxed);  // done tag, sent tag, handler
  started_ns_ = MonotonicNanos();
  pool_.site_.metrics->started.Increment();
  pool_.site_.metrics->received.Increment();
  Begin();
}

void UnaryCall::Begin() {
  const MethodSite& site = pool_.site_;
  if (grpc::Status status = site.guard->Enter(*site.rule, *context_, &ticket_); !status.ok()) {
    FinishWith(status);
    return;
  }
  if (grpc::Status status = ParseRequest(bytes_); !status.ok()) {
    FinishWith(status);
    return;
  }
  bool has_deadline = false;
  const CallInfo info = ReadCallInfo(*context_, *site.guard, &has_deadline);
  // The handler may answer, and another thread end the call, before RunHandler returns: this hold
  // keeps the call ours until we have looked.
  holds_.fetch_add(1, std::memory_order_relaxed);
  if (info.trace.valid()) {
    obs::ScopedTrace trace(info.trace);
    RunHandler(info);
  } else {
    RunHandler(info);
  }
  if (has_deadline || sent_.load(std::memory_order_acquire)) {
    // With a deadline gRPC itself cancels the call in time.
    Drop();
    return;
  }
  // The hold passes to the alarm.
  alarm_.emplace();
  const gpr_timespec wait =
      gpr_time_from_nanos(absl::ToInt64Nanoseconds(site.guard->default_deadline()), GPR_TIMESPAN);
  alarm_->Set(site.queue, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), wait), &alarm_tag_);
  if (sent_.load(std::memory_order_acquire)) alarm_->Cancel();
}

void UnaryCall::FinishWith(const grpc::Status& status) {
  Send(status, status.ok());
  Drop();
}

bool UnaryCall::Send(const grpc::Status& status, bool with_reply) {
  if (sent_.exchange(true, std::memory_order_acq_rel)) return false;
  obs::GrpcMethodMetrics& metrics = *pool_.site_.metrics;
  // Counted before it is sent: once gRPC has it, the call may be over.
  if (with_reply) metrics.sent.Increment();
  metrics.Handled(static_cast<int>(status.error_code()),
                  absl::Nanoseconds(MonotonicNanos() - started_ns_));
  if (with_reply) {
    writer_->Finish(SerializeReply(), status, &sent_tag_);
  } else {
    writer_->FinishWithError(status, &sent_tag_);
  }
  return true;
}

void UnaryCall::OnSent(bool) {
  if (alarm_.has_value()) alarm_->Cancel();
  Drop();
}

void UnaryCall::OnDone(bool) {
  if (context_->IsCancelled() && !sent_.load(std::memory_order_acquire) && cancelled_) {
    std::exchange(cancelled_, nullptr)();
  }
  Drop();
}

void UnaryCall::OnAlarm(bool ok) {
  if (ok && !sent_.load(std::memory_order_acquire)) {
    Send(Error(v1::ERROR_REASON_DEADLINE,
               "the call took longer than the 10 s a call without a deadline gets"),
         false);
    if (cancelled_) std::exchange(cancelled_, nullptr)();
  }
  Drop();
}

void UnaryCall::Drop() {
  const int before = holds_.fetch_sub(1, std::memory_order_acq_rel);
  CB_CHECK(before > 0);
  if (before == 1) {
    Reset();
    pool_.TakeBack(this);
  }
}

void UnaryCall::Reset() {
  ticket_.Leave();
  alarm_.reset();
  cancelled_ = nullptr;
  writer_.reset();
  context_.reset();
  bytes_.Clear();
  ClearMessages();
}

void UnaryPool::Arm(int count) {
  keep_ = 4 * static_cast<size_t>(count);
  for (int i = 0; i < count; ++i) ArmOne();
}

void UnaryPool::ArmOne() {
  std::unique_ptr<UnaryCall> call;
  {
    engine::MutexLock lock(mutex_);
    if (!spare_.empty()) {
      call = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (call == nullptr) call = Make();
  // From here the call belongs to gRPC until TakeBack.
  call.release()->Arm();
}

void UnaryPool::TakeBack(UnaryCall* call) {
  std::unique_ptr<UnaryCall> owned(call);
  engine::MutexLock lock(mutex_);
  // A burst's calls are freed, not kept for ever.
  if (spare_.size() < keep_) spare_.push_back(std::move(owned));
}

}  // namespace credbroker::rpc
