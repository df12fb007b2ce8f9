// MethodSet: the methods of one service on one queue, and RpcService: how a server binds a service.
//
// gRPC ties a grpc::Service to one server, and every listener is a server of its own; hence a
// service is bound once a listener, while its handlers are shared.
#ifndef CREDBROKER_SERVER_RPC_METHOD_SET_H_
#define CREDBROKER_SERVER_RPC_METHOD_SET_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server_builder.h>

#include "absl/strings/str_cat.h"
#include "server/obs/grpc_metrics.h"
#include "server/rpc/bidi_stream.h"
#include "server/rpc/client_stream.h"
#include "server/rpc/server_stream.h"
#include "server/rpc/unary_call.h"

namespace credbroker::rpc {

// Thread-compatible; to be filled before the queue's loop runs, and to outlive it.
class MethodSet {
 public:
  MethodSet(std::string service, Guard& guard, obs::GrpcServerMetrics& metrics,
            grpc::ServerCompletionQueue& queue)
      : service_(std::move(service)), guard_(guard), metrics_(metrics), queue_(queue) {}

  // `arm(context, bytes, writer, queue, tag)` asks the generated service for the next call.
  template <typename Request, typename Reply, typename Arm>
  void Unary(const char* method, Arm arm, typename UnaryMethod<Request, Reply>::Handler handler,
             int count = 2) {
    auto pool = std::make_unique<UnaryMethod<Request, Reply>>(Site(method), std::move(arm),
                                                              std::move(handler));
    pool->Arm(count);
    unary_.push_back(std::move(pool));
  }
  template <typename Request, typename Arm>
  void ServerStreaming(
      const char* method, Arm arm,
      std::function<void(const CallInfo&, const Request&, std::shared_ptr<ServerStream>)> handler) {
    auto entry = std::make_unique<ServerStreamMethod>(
        Site(method), std::move(arm), ServerStreamMethod::Parsed<Request>(std::move(handler)));
    entry->Arm(kStreams);
    server_streams_.push_back(std::move(entry));
  }
  template <typename Arm>
  void ClientStreaming(const char* method, Arm arm, ClientStreamMethod::Handler handler) {
    auto entry =
        std::make_unique<ClientStreamMethod>(Site(method), std::move(arm), std::move(handler));
    entry->Arm(kStreams);
    client_streams_.push_back(std::move(entry));
  }
  template <typename Arm>
  void BidiStreaming(const char* method, Arm arm, BidiStreamMethod::Handler handler) {
    auto entry =
        std::make_unique<BidiStreamMethod>(Site(method), std::move(arm), std::move(handler));
    entry->Arm(kStreams);
    bidi_streams_.push_back(std::move(entry));
  }

 private:
  static constexpr int kStreams = 4;

  MethodSite Site(const char* method) const {
    return MethodSite{.rule = &RuleOf(service_, method),
                      .metrics = metrics_.Method(absl::StrCat(service_, "/", method)),
                      .guard = &guard_,
                      .queue = &queue_};
  }

  const std::string service_;
  Guard& guard_;
  obs::GrpcServerMetrics& metrics_;
  grpc::ServerCompletionQueue& queue_;
  std::vector<std::unique_ptr<UnaryPool>> unary_;
  std::vector<std::unique_ptr<ServerStreamMethod>> server_streams_;
  std::vector<std::unique_ptr<ClientStreamMethod>> client_streams_;
  std::vector<std::unique_ptr<BidiStreamMethod>> bidi_streams_;
};

// A service bound to one server.
class BoundService {
 public:
  virtual ~BoundService() = default;
  virtual grpc::Service& service() = 0;
  // Arms every method on `queue`; once a queue, after the server was built, before its loop runs.
  virtual void Serve(Guard& guard, obs::GrpcServerMetrics& metrics,
                     grpc::ServerCompletionQueue& queue) = 0;
};

// Its handlers may be called from every loop thread at once.
class RpcService {
 public:
  virtual ~RpcService() = default;
  virtual std::unique_ptr<BoundService> Bind() = 0;
  // The server stops: end streams and parked calls soon. Any thread.
  virtual void StartDraining() {}
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_METHOD_SET_H_
