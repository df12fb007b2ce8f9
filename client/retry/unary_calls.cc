#include "client/retry/unary_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

template <typename Response>
int64_t EpochOf(const Response& response) {
  if constexpr (std::is_same_v<Response, v1::ReleaseResponse>) {
    return 0;
  } else {
    return response.epoch();
  }
}

}  // namespace

UnaryCalls::UnaryCalls(std::unique_ptr<UnaryStub> stub, RetryPolicy::Options options,
                       std::shared_ptr<EpochGate> epochs)
    : stub_(std::move(stub)),
      random_(options.random),
      policy_(std::move(options)),
      epochs_(std::move(epochs)) {}

template <typename Request, typename Response>
absl::StatusOr<Response> UnaryCalls::Call(
    Method method, absl::Status (UnaryStub::*attempt)(const Request&, absl::Duration, Response*),
    const Request& request, const CallOptions& options) const {
  Response response;
  const RetryPolicy::Call call{.method = method,
                               .retry_refusals = options.retry_refusals,
                               .timeout = options.timeout.value_or(absl::Seconds(10))};
  if (call.timeout <= absl::ZeroDuration()) {
    return LocalError(LocalReason::kInvalidArgument, "timeout: must be more than 0");
  }
  absl::Status status = policy_.Run(call, [&](absl::Duration left) {
    response.Clear();
    absl::Status result = (stub_.get()->*attempt)(request, left, &response);
    // An owner that was replaced: another attempt may meet the one that is.
    if (result.ok() && !epochs_->Admit(EpochOf(response))) {
      result = LocalError(LocalReason::kOldEpoch,
                          absl::StrCat("the answer's epoch ", EpochOf(response), " is older than ",
                                       epochs_->highest(), ", which was seen before"));
      if constexpr (std::is_same_v<Response, v1::Grant>) WipeSecrets(&response);
    }
    return result;
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::Grant> UnaryCalls::Acquire(v1::AcquireRequest request,
                                              const CallOptions& options) const {
  // With an id a repeat gets the lease of the first attempt, whose answer was lost.
  if (request.request_id().empty()) {
    request.set_request_id(absl::StrCat("auto-", absl::Hex(random_->Bits(), absl::kZeroPad16),
                                        absl::Hex(random_->Bits(), absl::kZeroPad16)));
  }
  return Call(Method::kAcquire, &UnaryStub::Acquire, request, options);
}

absl::StatusOr<v1::RenewResponse> UnaryCalls::Renew(const v1::RenewRequest& request,
                                                    const CallOptions& options) const {
  return Call(Method::kRenew, &UnaryStub::Renew, request, options);
}

absl::StatusOr<v1::ReleaseResponse> UnaryCalls::Release(const v1::ReleaseRequest& request,
                                                        const CallOptions& options) const {
  return Call(Method::kRelease, &UnaryStub::Release, request, options);
}

absl::StatusOr<v1::ReportResponse> UnaryCalls::Report(const v1::ReportRequest& request,
                                                      const CallOptions& options) const {
  return Call(Method::kReport, &UnaryStub::Report, request, options);
}

void WipeSecrets(v1::Grant* grant) {
  for (v1::Header& header : *grant->mutable_request_headers()) {
    WipeString(*header.mutable_value());
  }
  WipeString(*grant->mutable_proxy_url());
}

}  // namespace credbroker::client
