#include "server/rpc/client_stream.h"

#include "absl/time/clock.h"
#include "core/check.h"
#include "server/rpc/wire.h"

namespace credbroker::rpc {

void ClientStream::Next() {
  engine::MutexLock lock(mutex_);
  if (answered_ || done_) return;
  CB_CHECK(!reading_);
  reading_ = true;
  reader_.Read(&message_, &read_tag_);
}

void ClientStream::Finish(const google::protobuf::Message& reply) {
  if (!Answer(grpc::Status::OK)) return;
  method_.site_.metrics->sent.Increment();
  reader_.Finish(Serialize(reply), grpc::Status::OK, &sent_tag_);
}

void ClientStream::Fail(const grpc::Status& status) {
  if (!Answer(status)) return;
  reader_.FinishWithError(status, &sent_tag_);
}

bool ClientStream::Answer(const grpc::Status& status) {
  {
    engine::MutexLock lock(mutex_);
    if (answered_) return false;
    answered_ = true;
  }
  method_.site_.metrics->Handled(static_cast<int>(status.error_code()), absl::Now() - started_);
  return true;
}

void ClientStream::Arm(std::shared_ptr<ClientStream> self) {
  self_ = std::move(self);
  context_.AsyncNotifyWhenDone(&done_tag_);
  method_.arm_(&context_, &reader_, method_.site_.queue, &request_tag_);
}

void ClientStream::OnRequest(bool ok) {
  if (!ok) {
    self_.reset();
    return;
  }
  method_.ArmOne();
  started_ = absl::Now();
  const MethodSite& site = method_.site_;
  site.metrics->started.Increment();
  if (grpc::Status status = site.guard->Enter(*site.rule, context_, &ticket_); !status.ok()) {
    Fail(status);
    return;
  }
  bool has_deadline = false;
  CallInfo info = ReadCallInfo(context_, *site.guard, &has_deadline);
  if (!has_deadline) info.remaining = absl::InfiniteDuration();
  obs::ScopedTrace trace(info.trace);
  method_.handler_(info, self_);
  Next();
}

void ClientStream::OnRead(bool ok) {
  bool gone = false;
  {
    engine::MutexLock lock(mutex_);
    gone = answered_ || done_;
    if (ok || gone) {
      reading_ = false;
    } else {
      // A read fails alike when the caller sent everything and when it went away. Only in the first
      // case can anything still be sent to it.
      reader_.SendInitialMetadata(&end_tag_);
      return;
    }
  }
  if (!gone) {
    method_.site_.metrics->received.Increment();
    if (events_.message) events_.message(message_);
  }
  ReleaseIfOver();
}

void ClientStream::OnEnd(bool ok) {
  bool gone = false;
  {
    engine::MutexLock lock(mutex_);
    reading_ = false;
    gone = answered_ || done_;
  }
  // Not ok: OnDone comes, or came, and says so.
  if (ok && !gone && events_.end) events_.end();
  ReleaseIfOver();
}

bool ClientStream::gone() const {
  engine::MutexLock lock(mutex_);
  return answered_ || done_;
}

void ClientStream::OnDone(bool) {
  bool open = false;
  {
    engine::MutexLock lock(mutex_);
    done_ = true;
    open = !answered_;
  }
  if (open && events_.cancelled) events_.cancelled();
  if (open) Fail(grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away"));
  ReleaseIfOver();
}

void ClientStream::OnSent(bool) {
  {
    engine::MutexLock lock(mutex_);
    sent_ = true;
  }
  ReleaseIfOver();
}

void ClientStream::ReleaseIfOver() {
  {
    // Over when gRPC has nothing of ours any more: no read, the call done, the answer sent.
    engine::MutexLock lock(mutex_);
    if (reading_ || !done_ || !sent_) return;
  }
  ticket_.Leave();
  events_ = Events();
  self_.reset();
}

void ClientStreamMethod::Arm(int count) {
  for (int i = 0; i < count; ++i) ArmOne();
}

void ClientStreamMethod::ArmOne() {
  auto stream = std::make_shared<ClientStream>(*this);
  stream->Arm(stream);
}

}  // namespace credbroker::rpc
