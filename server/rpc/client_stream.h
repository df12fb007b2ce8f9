// ClientStream: serves one client-streaming method on one queue; one read at a time.
//
// The handler gets a shared ClientStream and says what to do with a message and at the end. The
// next message is read only when the consumer asks (Next), so a fast sender waits in the transport.
//
// Thread-safety: Next and Finish may be called from any thread; the callbacks run on the queue's
// loop thread.
#ifndef CREDBROKER_SERVER_RPC_CLIENT_STREAM_H_
#define CREDBROKER_SERVER_RPC_CLIENT_STREAM_H_

#include <functional>
#include <memory>
#include <utility>

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include "server/engine/mutex.h"
#include "server/rpc/call_info.h"
#include "server/rpc/tag.h"

namespace credbroker::rpc {

class ClientStreamMethod;

class ClientStream {
 public:
  struct Events {
    std::function<void(grpc::ByteBuffer& message)> message;
    std::function<void()> end;        // the caller sent everything, and is still there
    std::function<void()> cancelled;  // the caller went away before the answer
  };

  explicit ClientStream(ClientStreamMethod& method) : method_(method) {}
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;

  // REQUIRES: in the handler, before it returns.
  void OnEvents(Events events) { events_ = std::move(events); }
  // Reads on. REQUIRES: no read is in flight.
  void Next();
  // Answers; later calls change nothing.
  void Finish(const google::protobuf::Message& reply);
  void Fail(const grpc::Status& status);
  // Nobody waits for an answer any more.
  bool gone() const;

 private:
  friend class ClientStreamMethod;
  void Arm(std::shared_ptr<ClientStream> self);
  void OnRequest(bool ok);
  void OnRead(bool ok);
  void OnEnd(bool ok);
  void OnDone(bool ok);
  void OnSent(bool ok);
  bool Answer(const grpc::Status& status);
  void ReleaseIfOver();

  ClientStreamMethod& method_;
  MemberTag<ClientStream, &ClientStream::OnRequest> request_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnRead> read_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnEnd> end_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnDone> done_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnSent> sent_tag_{this};
  grpc::ServerContext context_;
  grpc::ServerAsyncReader<grpc::ByteBuffer, grpc::ByteBuffer> reader_{&context_};
  grpc::ByteBuffer message_;
  Guard::Ticket ticket_;
  absl::Time started_;
  Events events_;
  std::shared_ptr<ClientStream> self_;

  mutable engine::Mutex mutex_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool sent_ ABSL_GUARDED_BY(mutex_) = false;
};

class ClientStreamMethod {
 public:
  using ArmFunction = std::function<void(
      grpc::ServerContext*, grpc::ServerAsyncReader<grpc::ByteBuffer, grpc::ByteBuffer>*,
      grpc::ServerCompletionQueue*, void*)>;
  using Handler = std::function<void(const CallInfo&, std::shared_ptr<ClientStream>)>;

  ClientStreamMethod(MethodSite site, ArmFunction arm, Handler handler)
      : site_(site), arm_(std::move(arm)), handler_(std::move(handler)) {}
  ClientStreamMethod(const ClientStreamMethod&) = delete;
  ClientStreamMethod& operator=(const ClientStreamMethod&) = delete;

  void Arm(int count);

 private:
  friend class ClientStream;
  void ArmOne();

  const MethodSite site_;
  const ArmFunction arm_;
  const Handler handler_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_CLIENT_STREAM_H_
