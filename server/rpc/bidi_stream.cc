#include "server/rpc/bidi_stream.h"

#include "absl/time/clock.h"
#include "core/check.h"

namespace credbroker::rpc {
namespace {

// After a cancel, for gRPC to give back what it has of ours.
constexpr absl::Duration kCancelPatience = absl::Seconds(1);

}  // namespace

void BidiStream::Read() {
  engine::MutexLock lock(mutex_);
  if (!open_ || done_ || finish_.has_value()) return;
  CB_CHECK(!reading_);
  reading_ = true;
  stream_.Read(&message_, &read_tag_);
}

bool BidiStream::Write(grpc::ByteBuffer& message) {
  engine::MutexLock lock(mutex_);
  if (!open_ || writing_ || finish_.has_value()) return false;
  writing_ = true;
  method_.site_.metrics->sent.Increment();
  stream_.Write(message, &written_tag_);
  message.Clear();  // gRPC holds its own reference to the slices
  return true;
}

void BidiStream::Finish(grpc::Status status) {
  engine::MutexLock lock(mutex_);
  if (finish_.has_value()) return;
  finish_ = std::move(status);
  if (!writing_) SendFinishLocked();
}

void BidiStream::Cancel() {
  {
    engine::MutexLock lock(mutex_);
    if (done_ || patient_ || released_) return;
    patient_ = true;
    open_ = false;
    patience_.Set(method_.site_.queue, absl::ToChronoTime(absl::Now() + kCancelPatience),
                  &patience_tag_);
  }
  context_.TryCancel();
}

void BidiStream::Arm(std::shared_ptr<BidiStream> self) {
  self_ = std::move(self);
  context_.AsyncNotifyWhenDone(&done_tag_);
  method_.arm_(&context_, &stream_, method_.site_.queue, &request_tag_);
}

void BidiStream::OnRequest(bool ok) {
  if (!ok) {
    self_.reset();
    return;
  }
  method_.ArmOne();
  started_ = absl::Now();
  {
    engine::MutexLock lock(mutex_);
    open_ = true;
  }
  const MethodSite& site = method_.site_;
  site.metrics->started.Increment();
  if (grpc::Status status = site.guard->Enter(*site.rule, context_, &ticket_); !status.ok()) {
    Finish(std::move(status));
    return;
  }
  bool has_deadline = false;
  CallInfo info = ReadCallInfo(context_, *site.guard, &has_deadline);
  if (!has_deadline) info.remaining = absl::InfiniteDuration();
  obs::ScopedTrace trace(info.trace);
  method_.handler_(info, self_);
}

void BidiStream::OnRead(bool ok) {
  bool gone = false;
  {
    engine::MutexLock lock(mutex_);
    reading_ = false;
    gone = done_ || released_ || finish_.has_value();
  }
  if (!gone && ok) {
    method_.site_.metrics->received.Increment();
    if (events_.message) events_.message(message_);
  } else if (!gone && events_.end) {
    events_.end();
  }
  ReleaseIfOver();
}

void BidiStream::OnWritten(bool ok) {
  bool again = false;
  {
    engine::MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) open_ = false;  // the connection is gone; the done tag follows
    if (finish_.has_value()) {
      SendFinishLocked();
    } else {
      again = ok;
    }
  }
  if (again && events_.written) events_.written();  // none once it is over
  ReleaseIfOver();
}

void BidiStream::OnDone(bool) {
  {
    engine::MutexLock lock(mutex_);
    done_ = true;
    open_ = false;
  }
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away"));
  ReleaseIfOver();
}

void BidiStream::OnSent(bool) {
  {
    engine::MutexLock lock(mutex_);
    sent_ = true;
  }
  ReleaseIfOver();
}

void BidiStream::SendFinishLocked() {
  if (finish_sent_) return;
  finish_sent_ = true;
  open_ = false;
  stream_.Finish(*finish_, &sent_tag_);
}

void BidiStream::OnPatienceOver(bool ok) {
  bool over = false;
  {
    engine::MutexLock lock(mutex_);
    patient_ = false;
    over = ok && !released_;
    released_ = released_ || over;
  }
  if (over) Over(grpc::StatusCode::CANCELLED);
  ReleaseIfOver();
}

void BidiStream::ReleaseIfOver() {
  grpc::StatusCode code = grpc::StatusCode::OK;
  bool over = false;
  {
    // Over when gRPC has nothing of ours any more: no read, no write, the call done, the end sent.
    engine::MutexLock lock(mutex_);
    if (reading_ || writing_ || !done_ || !sent_) return;
    over = !released_;
    released_ = true;
    code = finish_->error_code();
    if (patient_) patience_.Cancel();
  }
  if (over) {
    // A message that gRPC refuses for its size looks like the caller's orderly end when it is read.
    if (code == grpc::StatusCode::OK && context_.IsCancelled()) code = grpc::StatusCode::CANCELLED;
    Over(code);
  }
  bool free = false;
  {
    engine::MutexLock lock(mutex_);
    free = !patient_;
  }
  if (free) self_.reset();
}

void BidiStream::Over(grpc::StatusCode code) {
  method_.site_.metrics->Handled(static_cast<int>(code), absl::Now() - started_);
  if (events_.over) events_.over();
  ticket_.Leave();
  events_ = Events();  // their captures may hold this stream
}

void BidiStreamMethod::Arm(int count) {
  for (int i = 0; i < count; ++i) ArmOne();
}

void BidiStreamMethod::ArmOne() {
  auto stream = std::make_shared<BidiStream>(*this);
  stream->Arm(stream);
}

}  // namespace credbroker::rpc
