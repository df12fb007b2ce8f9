// BidiStream: serves one bidirectional method on one queue, with at most one read and one write in
// flight.
//
// The handler gets a shared BidiStream and says what to do with a message, when a write went out,
// when the caller sent everything and when the stream is over. The next message is read only when
// the consumer asks (Read), so a fast sender waits in the transport; a write is taken only while
// none is in flight, so a slow reader costs the memory of one message.
//
// Thread-safety: Read, Write, Finish and Cancel may be called from any thread; the events run on
// the queue's loop thread, one at a time, `over` last.
#ifndef CREDBROKER_SERVER_RPC_BIDI_STREAM_H_
#define CREDBROKER_SERVER_RPC_BIDI_STREAM_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include "server/engine/mutex.h"
#include "server/rpc/call_info.h"
#include "server/rpc/tag.h"

namespace credbroker::rpc {

class BidiStreamMethod;

class BidiStream {
 public:
  struct Events {
    // `message` is the stream's: whoever wants to keep it swaps it out before the next Read.
    std::function<void(grpc::ByteBuffer& message)> message;
    std::function<void()> end;      // the caller sent everything
    std::function<void()> written;  // the write in flight went out
    std::function<void()> over;     // nothing can be read or written any more, whoever ended it
  };

  explicit BidiStream(BidiStreamMethod& method) : method_(method) {}
  BidiStream(const BidiStream&) = delete;
  BidiStream& operator=(const BidiStream&) = delete;

  // REQUIRES: in the handler, before it returns.
  void OnEvents(Events events) { events_ = std::move(events); }
  // Asks for the next message. REQUIRES: no read is in flight.
  void Read();
  // Takes `message` (empties it). False: the stream is over or a write is in flight; then nothing
  // was taken.
  bool Write(grpc::ByteBuffer& message);
  // Ends the stream after the write in flight. Later calls change nothing.
  void Finish(grpc::Status status);
  // Ends it at once, for a caller that does not read; it sees CANCELLED. Where the connection's
  // socket is full gRPC gives nothing back before the caller reads or goes, be it never: then the
  // stream is over for its consumer and the guard all the same, a second later.
  void Cancel();

 private:
  friend class BidiStreamMethod;
  void Arm(std::shared_ptr<BidiStream> self);
  void OnRequest(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnDone(bool ok);
  void OnSent(bool ok);
  void OnPatienceOver(bool ok);
  void Over(grpc::StatusCode code);
  void SendFinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseIfOver();

  BidiStreamMethod& method_;
  MemberTag<BidiStream, &BidiStream::OnRequest> request_tag_{this};
  MemberTag<BidiStream, &BidiStream::OnRead> read_tag_{this};
  MemberTag<BidiStream, &BidiStream::OnWritten> written_tag_{this};
  MemberTag<BidiStream, &BidiStream::OnDone> done_tag_{this};
  MemberTag<BidiStream, &BidiStream::OnSent> sent_tag_{this};
  MemberTag<BidiStream, &BidiStream::OnPatienceOver> patience_tag_{this};
  grpc::Alarm patience_;  // after Cancel
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
  grpc::ByteBuffer message_;
  Guard::Ticket ticket_;
  absl::Time started_;
  Events events_;
  std::shared_ptr<BidiStream> self_;  // while gRPC may call back

  engine::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_sent_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool sent_ ABSL_GUARDED_BY(mutex_) = false;
  bool patient_ ABSL_GUARDED_BY(mutex_) = false;   // the alarm is set
  bool released_ ABSL_GUARDED_BY(mutex_) = false;  // over for the consumer
  std::optional<grpc::Status> finish_ ABSL_GUARDED_BY(mutex_);
};

// The streams of one method on one queue. Long-lived: not pooled.
class BidiStreamMethod {
 public:
  using ArmFunction = std::function<void(
      grpc::ServerContext*, grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>*,
      grpc::ServerCompletionQueue*, void*)>;
  // Reads nothing by itself: the handler, or an event, asks for the first message.
  using Handler = std::function<void(const CallInfo&, std::shared_ptr<BidiStream>)>;

  BidiStreamMethod(MethodSite site, ArmFunction arm, Handler handler)
      : site_(site), arm_(std::move(arm)), handler_(std::move(handler)) {}
  BidiStreamMethod(const BidiStreamMethod&) = delete;
  BidiStreamMethod& operator=(const BidiStreamMethod&) = delete;

  void Arm(int count);

 private:
  friend class BidiStream;
  void ArmOne();

  const MethodSite site_;
  const ArmFunction arm_;
  const Handler handler_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_BIDI_STREAM_H_
