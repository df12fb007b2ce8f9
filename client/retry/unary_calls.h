// The unary half of Client: timeouts, request ids, repeats and epochs, over any UnaryStub.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_CLIENT_RETRY_UNARY_CALLS_H_
#define CREDBROKER_CLIENT_RETRY_UNARY_CALLS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "client/retry/epoch_gate.h"
#include "client/retry/retry_policy.h"
#include "client/retry/unary_stub.h"
#include "credbroker/client/client.h"

namespace credbroker::client {

class UnaryCalls {
 public:
  // Nothing is null.
  UnaryCalls(std::unique_ptr<UnaryStub> stub, RetryPolicy::Options options,
             std::shared_ptr<EpochGate> epochs);

  // As Client's; the timeout is set.
  absl::StatusOr<v1::Grant> Acquire(v1::AcquireRequest request, const CallOptions& options) const;
  absl::StatusOr<v1::RenewResponse> Renew(const v1::RenewRequest& request,
                                          const CallOptions& options) const;
  absl::StatusOr<v1::ReleaseResponse> Release(const v1::ReleaseRequest& request,
                                              const CallOptions& options) const;
  absl::StatusOr<v1::ReportResponse> Report(const v1::ReportRequest& request,
                                            const CallOptions& options) const;

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method method,
                                absl::Status (UnaryStub::*attempt)(const Request&, absl::Duration,
                                                                   Response*),
                                const Request& request, const CallOptions& options) const;

  const std::unique_ptr<UnaryStub> stub_;
  const std::shared_ptr<Random> random_;
  const RetryPolicy policy_;
  const std::shared_ptr<EpochGate> epochs_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_RETRY_UNARY_CALLS_H_
