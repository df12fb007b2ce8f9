// The same gRPC API as the broker's data plane, answered from stock: Acquire, Renew, Release and
// Report. Lease ids are the sidecar's own. Session answers UNIMPLEMENTED.
//
// Thread-safety: handlers run on every loop thread at once.
#ifndef CREDBROKER_CLIENT_SIDECAR_GRPC_SERVICE_H_
#define CREDBROKER_CLIENT_SIDECAR_GRPC_SERVICE_H_

#include <memory>
#include <vector>

#include "client/sidecar/desk.h"
#include "client/sidecar/request_book.h"
#include "client/sidecar/route_table.h"
#include "credbroker/v1/broker.pb.h"
#include "server/rpc/method_set.h"

namespace credbroker::sidecar {

class GrpcService final : public rpc::RpcService {
 public:
  // Both outlive this. `route` says what calls get that name everything themselves.
  GrpcService(Desk& desk, const Route& route) : desk_(desk), route_(route) {}

  std::unique_ptr<rpc::BoundService> Bind() override;
  // For metrics.
  static std::vector<obs::GrpcMethod> Methods();

 private:
  class Bound;
  using AcquireResponder = rpc::Responder<api::AcquireRequest, api::Grant>;

  void Acquire(const rpc::CallInfo& info, AcquireResponder responder);
  // Answers with the lease its request_id got before. `principal` outlives the call.
  void AnswerKnown(absl::string_view principal, AcquireResponder responder,
                   const RequestBook::Known& known, uint64_t arguments);
  void Answer(absl::string_view principal, AcquireResponder responder, uint64_t arguments,
              Desk::Decision decision);
  void Renew(const rpc::CallInfo& info,
             rpc::Responder<api::RenewRequest, api::RenewResponse> responder);
  void Release(const rpc::CallInfo& info,
               rpc::Responder<api::ReleaseRequest, api::ReleaseResponse> responder);
  void Report(const rpc::CallInfo& info,
              rpc::Responder<api::ReportRequest, api::ReportResponse> responder);

  Desk& desk_;
  const Route& route_;
  RequestBook requests_;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_GRPC_SERVICE_H_
