#include "client/session/grpc_stream.h"

#include <utility>

#include <grpc/support/time.h>

#include "client/retry/grpc_status.h"

namespace credbroker::client {
namespace {

gpr_timespec In(absl::Duration span) {
  // Rounded up: a wait that ends a little early is followed by another one.
  const int64_t ns = absl::ToInt64Nanoseconds(span);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(ns, GPR_TIMESPAN));
}

}  // namespace

GrpcStream::~GrpcStream() {
  Abort();
  if (alarm_set_.load()) alarm_.Cancel();
  while (rpc_ != nullptr) Poll(absl::Minutes(1));
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

void GrpcStream::Open(const std::string& owner) {
  stub_ = v1::BrokerService::NewStub(options_.connect(owner));
  context_ = std::make_unique<grpc::ClientContext>();
  if (options_.prepare) options_.prepare(*context_);
  finishing_ = finished_ = false;
  rpc_ = stub_->PrepareAsyncSession(context_.get(), &queue_);
  under_way_ = 1;
  rpc_->StartCall(ToTag(kStart));
}

void GrpcStream::Write(const v1::SessionRequest& request) {
  if (finishing_) return;
  ++under_way_;
  rpc_->Write(request, ToTag(kWrite));
}

void GrpcStream::CloseWrites() {
  if (finishing_) return;
  ++under_way_;
  rpc_->WritesDone(ToTag(kWritesDone));
}

void GrpcStream::Abort() {
  if (context_ != nullptr) context_->TryCancel();
}

void GrpcStream::Read() {
  ++under_way_;
  rpc_->Read(&messages_[reading_], ToTag(kRead));
}

void GrpcStream::BeginFinish() {
  if (finishing_) return;
  finishing_ = true;
  ++under_way_;
  rpc_->Finish(&status_, ToTag(kFinish));
}

StreamEvent GrpcStream::Take(Tag tag, bool ok) {
  StreamEvent event;
  switch (tag) {
    case kAlarm:
      alarm_set_.store(false);
      return event;
    case kStart:
      if (ok) {
        Read();
        event.kind = StreamEvent::Kind::kOpened;
      } else {
        BeginFinish();
      }
      break;
    case kRead:
      if (ok) {
        event.kind = StreamEvent::Kind::kMessage;
        event.message = &messages_[reading_];
        reading_ = 1 - reading_;
        Read();
      } else {
        BeginFinish();
      }
      break;
    case kWrite:
      // A failed write is followed by the failure of the read.
      if (ok) event.kind = StreamEvent::Kind::kWritten;
      break;
    case kFinish:
      finished_ = true;
      break;
    case kWritesDone:
    case kTags:
      break;
  }
  if (--under_way_ == 0 && finished_) {
    event.kind = StreamEvent::Kind::kClosed;
    event.status = FromGrpc(status_);
    rpc_ = nullptr;
    context_ = nullptr;
    stub_ = nullptr;  // and with it the channel
  }
  return event;
}

StreamEvent GrpcStream::Poll(absl::Duration timeout) {
  void* tag = nullptr;
  bool ok = false;
  if (queue_.AsyncNext(&tag, &ok, In(timeout)) != grpc::CompletionQueue::GOT_EVENT) return {};
  return Take(static_cast<Tag>(static_cast<char*>(tag) - tags_.data()), ok);
}

void GrpcStream::Wake() {
  if (alarm_set_.exchange(true)) return;
  alarm_.Set(&queue_, In(absl::ZeroDuration()), ToTag(kAlarm));
}

}  // namespace credbroker::client
