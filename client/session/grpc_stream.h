// A Stream over gRPC, on a completion queue of its own that Poll serves.
//
// Thread-safety: as Stream.
#ifndef CREDBROKER_CLIENT_SESSION_GRPC_STREAM_H_
#define CREDBROKER_CLIENT_SESSION_GRPC_STREAM_H_

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>

#include "client/session/stream.h"
#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::client {

class GrpcStream final : public Stream {
 public:
  struct Options {
    // A channel to an owner; empty: the usual address. A new one each time: a channel comes back by
    // itself, and at once, when its connection breaks, and so would all of a broker's clients.
    std::function<std::shared_ptr<grpc::Channel>(const std::string& owner)> connect;
    // Adds what every call carries, e.g. authorization.
    std::function<void(grpc::ClientContext&)> prepare;
  };

  explicit GrpcStream(Options options) : options_(std::move(options)) {}
  // Aborts, and waits for the queue to drain.
  ~GrpcStream() override;

  void Open(const std::string& owner) override;
  void Write(const v1::SessionRequest& request) override;
  void CloseWrites() override;
  void Abort() override;
  StreamEvent Poll(absl::Duration timeout) override;
  void Wake() override;

 private:
  enum Tag : int { kStart, kRead, kWrite, kWritesDone, kFinish, kAlarm, kTags };
  using Rpc = grpc::ClientAsyncReaderWriter<v1::SessionRequest, v1::SessionResponse>;

  void* ToTag(Tag tag) { return &tags_[tag]; }
  void Read();
  void BeginFinish();
  // What an event of the queue means to the caller.
  StreamEvent Take(Tag tag, bool ok);

  const Options options_;
  std::array<char, kTags> tags_{};
  grpc::CompletionQueue queue_;
  grpc::Alarm alarm_;
  std::atomic<bool> alarm_set_{false};

  // One call.
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<v1::BrokerService::Stub> stub_;
  std::unique_ptr<Rpc> rpc_;
  grpc::Status status_;
  bool finishing_ = false;
  bool finished_ = false;
  int under_way_ = 0;  // operations of the call whose tags have not come
  // The message handed out and the one being read.
  std::array<v1::SessionResponse, 2> messages_;
  size_t reading_ = 0;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_GRPC_STREAM_H_
