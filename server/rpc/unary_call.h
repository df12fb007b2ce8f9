// UnaryMethod: serves one unary method on one completion queue with a pool of calls.
//
//   UnaryMethod<AcquireRequest, Grant> acquire(site, arm, handler);
//   acquire.Arm(64);
//
// The handler reads top to bottom: it gets a Responder with the parsed request, and answers at once
// or later, from any thread. The call re-arms before the handler runs, is admitted by the guard,
// has a deadline, is counted, and goes back to the pool when gRPC, the handler and a pending
// deadline alarm are all done with it. Nobody but the pool frees a call.
//
// Thread-safety: everything here runs on the queue's loop thread, but Responder, whose Finish may
// be called from any thread, once. A call's answer is sent from the thread that gives it: gRPC
// allows that, and a hop through the queue would only add latency.
#ifndef CREDBROKER_SERVER_RPC_UNARY_CALL_H_
#define CREDBROKER_SERVER_RPC_UNARY_CALL_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/functional/any_invocable.h"
#include "server/rpc/call_info.h"
#include "server/rpc/tag.h"
#include "server/rpc/wire.h"

namespace credbroker::rpc {

class UnaryPool;

// One call, whatever its messages.
class UnaryCall {
 public:
  explicit UnaryCall(UnaryPool& pool);
  virtual ~UnaryCall() = default;
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  // Sends the answer, unless the deadline alarm was first. Any thread, exactly once a call.
  void FinishWith(const grpc::Status& status);
  // `cancelled` runs on the loop thread if the caller goes away or the deadline passes before the
  // answer. Loop thread only, while the handler runs.
  void OnCancel(absl::AnyInvocable<void()> cancelled) { cancelled_ = std::move(cancelled); }

 protected:
  virtual grpc::Status ParseRequest(grpc::ByteBuffer& bytes) = 0;
  virtual void RunHandler(const CallInfo& info) = 0;
  virtual grpc::ByteBuffer SerializeReply() = 0;
  virtual void ClearMessages() = 0;

 private:
  friend class UnaryPool;
  void Arm();
  void OnRequest(bool ok);
  void OnDone(bool ok);
  void OnSent(bool ok);
  void OnAlarm(bool ok);
  void Begin();
  bool Send(const grpc::Status& status, bool with_reply);
  void Drop();
  void Reset();

  UnaryPool& pool_;
  MemberTag<UnaryCall, &UnaryCall::OnRequest> request_tag_{this};
  MemberTag<UnaryCall, &UnaryCall::OnDone> done_tag_{this};
  MemberTag<UnaryCall, &UnaryCall::OnSent> sent_tag_{this};
  MemberTag<UnaryCall, &UnaryCall::OnAlarm> alarm_tag_{this};

  // A ServerContext cannot be used twice, so it is made anew for each call.
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>> writer_;
  grpc::ByteBuffer bytes_;
  Guard::Ticket ticket_;
  std::optional<grpc::Alarm> alarm_;
  absl::AnyInvocable<void()> cancelled_;
  int64_t started_ns_ = 0;
  std::atomic<int> holds_{0};      // gRPC's two tags, the handler, the alarm
  std::atomic<bool> sent_{false};  // somebody gave the answer
};

// The calls of one method on one queue.
class UnaryPool {
 public:
  using ArmFunction = std::function<void(grpc::ServerContext*, grpc::ByteBuffer*,
                                         grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>*,
                                         grpc::ServerCompletionQueue*, void*)>;

  UnaryPool(MethodSite site, ArmFunction arm) : site_(site), arm_(std::move(arm)) {}
  virtual ~UnaryPool() = default;
  UnaryPool(const UnaryPool&) = delete;
  UnaryPool& operator=(const UnaryPool&) = delete;

  // Waits for `count` calls at once, however many are being answered. Once, before the loop runs.
  void Arm(int count);
  const MethodSite& site() const { return site_; }

 protected:
  virtual std::unique_ptr<UnaryCall> Make() = 0;

 private:
  friend class UnaryCall;
  void ArmOne();
  void TakeBack(UnaryCall* call);

  const MethodSite site_;
  const ArmFunction arm_;
  size_t keep_ = 0;
  engine::Mutex mutex_;
  std::vector<std::unique_ptr<UnaryCall>> spare_ ABSL_GUARDED_BY(mutex_);
};

// A call with its messages. They are used again, so that their strings keep their memory.
template <typename Request, typename Reply>
class CallOf : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;
  const Request& request() const { return request_; }
  Reply& reply() { return reply_; }

 protected:
  grpc::Status ParseRequest(grpc::ByteBuffer& bytes) override {
    request_bytes_ = bytes.Length();
    return Parse(bytes, request_);
  }
  grpc::ByteBuffer SerializeReply() override {
    grpc::ByteBuffer bytes = Serialize(reply_);
    reply_bytes_ = bytes.Length();
    return bytes;
  }
  void ClearMessages() override {
    // What one huge request made us allocate is not kept for all later ones. Two bytes of a request
    // can stand for a whole message, and counting those takes a microsecond: few bytes need none.
    const bool small = request_bytes_ <= kSmallRequest && reply_bytes_ <= kKeepBytes;
    request_bytes_ = reply_bytes_ = 0;
    if (!small && request_.SpaceUsedLong() + reply_.SpaceUsedLong() > kKeepBytes) {
      request_ = Request();
      reply_ = Reply();
    } else {
      request_.Clear();
      reply_.Clear();
    }
  }

 private:
  static constexpr size_t kKeepBytes = 16 * 1024;
  static constexpr size_t kSmallRequest = 512;
  Request request_;
  Reply reply_;
  size_t request_bytes_ = 0, reply_bytes_ = 0;  // on the wire
};

// The right, and the duty, to answer one call: exactly one Finish. One pointer, so that a callback
// that carries it to another thread needs no allocation. The request lives until Finish.
template <typename Request, typename Reply>
class Responder {
 public:
  explicit Responder(CallOf<Request, Reply>* call) : call_(call) {}
  const Request& request() const { return call_->request(); }
  Reply& reply() const { return call_->reply(); }
  void Finish(const grpc::Status& status = grpc::Status::OK) const { call_->FinishWith(status); }
  void OnCancel(absl::AnyInvocable<void()> cancelled) const {
    call_->OnCancel(std::move(cancelled));
  }

 private:
  CallOf<Request, Reply>* call_;
};

template <typename Request, typename Reply>
class UnaryMethod final : public UnaryPool {
 public:
  using Handler = std::function<void(const CallInfo&, Responder<Request, Reply>)>;

  UnaryMethod(MethodSite site, ArmFunction arm, Handler handler)
      : UnaryPool(site, std::move(arm)), handler_(std::move(handler)) {}

 private:
  class Call final : public CallOf<Request, Reply> {
   public:
    explicit Call(UnaryMethod& method) : CallOf<Request, Reply>(method), method_(method) {}

   private:
    void RunHandler(const CallInfo& info) override {
      method_.handler_(info, Responder<Request, Reply>(this));
    }
    UnaryMethod& method_;
  };

  std::unique_ptr<UnaryCall> Make() override { return std::make_unique<Call>(*this); }

  const Handler handler_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_UNARY_CALL_H_
