// The seam between Client and its transport: one attempt of one call.
//
// Thread-safety: implementations must allow calls from any thread.
#ifndef CREDBROKER_CLIENT_RETRY_UNARY_STUB_H_
#define CREDBROKER_CLIENT_RETRY_UNARY_STUB_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "credbroker/v1/lease.pb.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace credbroker::client {

class UnaryStub {
 public:
  UnaryStub() = default;
  virtual ~UnaryStub() = default;
  UnaryStub(const UnaryStub&) = delete;
  UnaryStub& operator=(const UnaryStub&) = delete;

  virtual absl::Status Acquire(const v1::AcquireRequest& request, absl::Duration timeout,
                               v1::Grant* response) = 0;
  virtual absl::Status Renew(const v1::RenewRequest& request, absl::Duration timeout,
                             v1::RenewResponse* response) = 0;
  virtual absl::Status Release(const v1::ReleaseRequest& request, absl::Duration timeout,
                               v1::ReleaseResponse* response) = 0;
  virtual absl::Status Report(const v1::ReportRequest& request, absl::Duration timeout,
                              v1::ReportResponse* response) = 0;
};

// The real one. `prepare` adds what every call carries.
std::unique_ptr<UnaryStub> MakeGrpcStub(const std::shared_ptr<grpc::Channel>& channel,
                                        std::function<void(grpc::ClientContext&)> prepare);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_RETRY_UNARY_STUB_H_
