#include "server/rpc/server_stream.h"

#include "absl/time/clock.h"

namespace credbroker::rpc {

void ServerStream::OnEvents(std::function<void()> ready, std::function<void()> closed) {
  ready_ = std::move(ready);
  closed_ = std::move(closed);
}

bool ServerStream::Write(const google::protobuf::Message& message) {
  engine::MutexLock lock(mutex_);
  if (!open_ || writing_ || finish_.has_value()) return false;
  writing_ = true;
  method_.site_.metrics->sent.Increment();
  writer_.Write(Serialize(message), &written_tag_);
  return true;
}

void ServerStream::Finish(grpc::Status status) {
  engine::MutexLock lock(mutex_);
  if (finish_.has_value()) return;
  finish_ = std::move(status);
  if (!writing_) SendFinishLocked();
}

bool ServerStream::writable() const {
  engine::MutexLock lock(mutex_);
  return open_ && !writing_ && !finish_.has_value();
}

void ServerStream::Arm(std::shared_ptr<ServerStream> self) {
  self_ = std::move(self);
  context_.AsyncNotifyWhenDone(&done_tag_);
  method_.arm_(&context_, &bytes_, &writer_, method_.site_.queue, &request_tag_);
}

void ServerStream::OnRequest(bool ok) {
  if (!ok) {
    self_.reset();
    return;
  }
  method_.ArmOne();
  holds_ = 2;
  started_ = absl::Now();
  {
    engine::MutexLock lock(mutex_);
    open_ = true;
  }
  const MethodSite& site = method_.site_;
  site.metrics->started.Increment();
  site.metrics->received.Increment();
  if (grpc::Status status = site.guard->Enter(*site.rule, context_, &ticket_); !status.ok()) {
    Finish(std::move(status));
    return;
  }
  bool has_deadline = false;
  CallInfo info = ReadCallInfo(context_, *site.guard, &has_deadline);
  if (!has_deadline) info.remaining = absl::InfiniteDuration();
  obs::ScopedTrace trace(info.trace);
  method_.handler_(info, bytes_, self_);
  if (ready_ && writable()) ready_();
}

void ServerStream::OnWritten(bool ok) {
  bool again = false;
  {
    engine::MutexLock lock(mutex_);
    writing_ = false;
    if (finish_.has_value()) {
      SendFinishLocked();
    } else if (!ok) {
      // The connection is gone; the done tag follows.
      open_ = false;
    } else {
      again = true;
    }
  }
  if (again && ready_) ready_();
}

void ServerStream::OnDone(bool) {
  if (closed_) closed_();
  // Whoever produced knows now; what it did not end is ended here.
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away"));
  Drop();
}

void ServerStream::OnSent(bool) { Drop(); }

void ServerStream::SendFinishLocked() {
  if (finish_sent_) return;
  finish_sent_ = true;
  open_ = false;
  method_.site_.metrics->Handled(static_cast<int>(finish_->error_code()), absl::Now() - started_);
  writer_.Finish(*finish_, &sent_tag_);
}

void ServerStream::Drop() {
  if (--holds_ > 0) return;
  ticket_.Leave();
  // Their captures may hold this stream.
  ready_ = nullptr;
  closed_ = nullptr;
  self_.reset();
}

void ServerStreamMethod::Arm(int count) {
  for (int i = 0; i < count; ++i) ArmOne();
}

void ServerStreamMethod::ArmOne() {
  auto stream = std::make_shared<ServerStream>(*this);
  stream->Arm(stream);
}

}  // namespace credbroker::rpc
