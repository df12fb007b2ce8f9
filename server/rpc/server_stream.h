// ServerStream: serves one server-streaming method on one queue, with at most one write in flight.
//
// The handler gets the request and a shared ServerStream. It says what to do when the stream may
// take the next message (`ready`, called first right after the handler returns) and when the caller
// went away (`closed`). Nothing is queued here: a producer writes only when asked, or when it knows
// that nothing is in flight, so a slow reader costs the memory of one message.
//
// Thread-safety: Write and Finish may be called from any thread; `ready` and `closed` run on the
// queue's loop thread, never both at once.
#ifndef CREDBROKER_SERVER_RPC_SERVER_STREAM_H_
#define CREDBROKER_SERVER_RPC_SERVER_STREAM_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include "server/engine/mutex.h"
#include "server/rpc/call_info.h"
#include "server/rpc/tag.h"
#include "server/rpc/wire.h"

namespace credbroker::rpc {

class ServerStreamMethod;

class ServerStream {
 public:
  explicit ServerStream(ServerStreamMethod& method) : method_(method) {}
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  // REQUIRES: in the handler, before it returns.
  void OnEvents(std::function<void()> ready, std::function<void()> closed);
  // False: the stream is over or a write is in flight; then nothing was sent.
  bool Write(const google::protobuf::Message& message);
  // Ends the stream after the write in flight. Later calls change nothing.
  void Finish(grpc::Status status);
  // Whether a Write would be taken now.
  bool writable() const;

 private:
  friend class ServerStreamMethod;
  void Arm(std::shared_ptr<ServerStream> self);
  void OnRequest(bool ok);
  void OnDone(bool ok);
  void OnWritten(bool ok);
  void OnSent(bool ok);
  void SendFinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop();

  ServerStreamMethod& method_;
  MemberTag<ServerStream, &ServerStream::OnRequest> request_tag_{this};
  MemberTag<ServerStream, &ServerStream::OnDone> done_tag_{this};
  MemberTag<ServerStream, &ServerStream::OnWritten> written_tag_{this};
  MemberTag<ServerStream, &ServerStream::OnSent> sent_tag_{this};
  grpc::ServerContext context_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
  grpc::ByteBuffer bytes_;
  Guard::Ticket ticket_;
  absl::Time started_;
  std::function<void()> ready_, closed_;
  std::shared_ptr<ServerStream> self_;  // while gRPC may call back
  int holds_ = 0;                       // loop thread only: done tag, sent tag

  mutable engine::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_sent_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> finish_ ABSL_GUARDED_BY(mutex_);
};

// The streams of one method on one queue. Few and long-lived: not pooled.
class ServerStreamMethod {
 public:
  using ArmFunction = std::function<void(grpc::ServerContext*, grpc::ByteBuffer*,
                                         grpc::ServerAsyncWriter<grpc::ByteBuffer>*,
                                         grpc::ServerCompletionQueue*, void*)>;
  using Handler = std::function<void(const CallInfo&, grpc::ByteBuffer& request,
                                     std::shared_ptr<ServerStream>)>;

  ServerStreamMethod(MethodSite site, ArmFunction arm, Handler handler)
      : site_(site), arm_(std::move(arm)), handler_(std::move(handler)) {}
  ServerStreamMethod(const ServerStreamMethod&) = delete;
  ServerStreamMethod& operator=(const ServerStreamMethod&) = delete;

  void Arm(int count);

  // A handler that gets its request parsed; what does not parse never reaches it.
  template <typename Request>
  static Handler Parsed(
      std::function<void(const CallInfo&, const Request&, std::shared_ptr<ServerStream>)> handler) {
    return [handler = std::move(handler)](const CallInfo& info, grpc::ByteBuffer& bytes,
                                          std::shared_ptr<ServerStream> stream) {
      Request request;
      if (grpc::Status status = Parse(bytes, request); !status.ok()) {
        stream->Finish(std::move(status));
        return;
      }
      handler(info, request, std::move(stream));
    };
  }

 private:
  friend class ServerStream;
  void ArmOne();

  const MethodSite site_;
  const ArmFunction arm_;
  const Handler handler_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_SERVER_STREAM_H_
