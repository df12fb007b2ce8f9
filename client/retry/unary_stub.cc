#include "client/retry/unary_stub.h"

#include <chrono>
#include <utility>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "client/retry/grpc_status.h"
#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::client {
namespace {

class GrpcStub final : public UnaryStub {
 public:
  GrpcStub(const std::shared_ptr<grpc::Channel>& channel,
           std::function<void(grpc::ClientContext&)> prepare)
      : stub_(v1::BrokerService::NewStub(channel)), prepare_(std::move(prepare)) {}

  absl::Status Acquire(const v1::AcquireRequest& request, absl::Duration timeout,
                       v1::Grant* response) override {
    return Call(&v1::BrokerService::Stub::Acquire, request, timeout, response);
  }
  absl::Status Renew(const v1::RenewRequest& request, absl::Duration timeout,
                     v1::RenewResponse* response) override {
    return Call(&v1::BrokerService::Stub::Renew, request, timeout, response);
  }
  absl::Status Release(const v1::ReleaseRequest& request, absl::Duration timeout,
                       v1::ReleaseResponse* response) override {
    return Call(&v1::BrokerService::Stub::Release, request, timeout, response);
  }
  absl::Status Report(const v1::ReportRequest& request, absl::Duration timeout,
                      v1::ReportResponse* response) override {
    return Call(&v1::BrokerService::Stub::Report, request, timeout, response);
  }

 private:
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::BrokerService::Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                    const Request& request, absl::Duration timeout, Response* response) {
    grpc::ClientContext context;
    // The real clock, whatever the client was given: gRPC compares with it.
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout));
    if (prepare_) prepare_(context);
    return FromGrpc((stub_.get()->*method)(&context, request, response));
  }

  const std::unique_ptr<v1::BrokerService::Stub> stub_;
  const std::function<void(grpc::ClientContext&)> prepare_;
};

}  // namespace

std::unique_ptr<UnaryStub> MakeGrpcStub(const std::shared_ptr<grpc::Channel>& channel,
                                        std::function<void(grpc::ClientContext&)> prepare) {
  return std::make_unique<GrpcStub>(channel, std::move(prepare));
}

}  // namespace credbroker::client
