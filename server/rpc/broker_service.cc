#include "server/rpc/broker_service.h"

#include <chrono>
#include <utility>
#include <vector>

#include "credbroker/v1/broker.grpc.pb.h"
#include "server/rpc/convert.h"
#include "server/rpc/status.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

using Stub = v1::BrokerService;
using RawBroker = Stub::WithRawMethod_Acquire<Stub::WithRawMethod_Renew<Stub::WithRawMethod_Release<
    Stub::WithRawMethod_Report<Stub::WithRawMethod_Session<Stub::Service>>>>>;

// Enough that a burst finds calls waiting; a method that is called less needs fewer. Not more than
// that: the packaged gRPC is built with a check that looks for each event's tag among all that
// wait.
constexpr int kHotCalls = 64;
// A parked call is answered a little before its deadline, so that the caller sees the refusal.
constexpr absl::Duration kDeadlineMargin = absl::Milliseconds(5);

}  // namespace

class BrokerService::Bound final : public BoundService {
 public:
  explicit Bound(BrokerService& owner) : owner_(owner) {}
  grpc::Service& service() override { return raw_; }
  void Serve(Guard& guard, obs::GrpcServerMetrics& metrics,
             grpc::ServerCompletionQueue& queue) override {
    auto set = std::make_unique<MethodSet>(Stub::service_full_name(), guard, metrics, queue);
    set->Unary<v1::AcquireRequest, v1::Grant>(
        "Acquire",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestAcquire(c, b, w, q, q, t);
        },
        [this](const CallInfo& info, auto responder) { owner_.Acquire(info, responder); },
        kHotCalls);
    set->Unary<v1::RenewRequest, v1::RenewResponse>(
        "Renew",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestRenew(c, b, w, q, q, t);
        },
        [this](const CallInfo& info, auto responder) { owner_.Renew(info, responder); }, 8);
    set->Unary<v1::ReleaseRequest, v1::ReleaseResponse>(
        "Release",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestRelease(c, b, w, q, q, t);
        },
        [this](const CallInfo& info, auto responder) { owner_.Release(info, responder); }, 16);
    set->Unary<v1::ReportRequest, v1::ReportResponse>(
        "Report",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestReport(c, b, w, q, q, t);
        },
        [this](const CallInfo& info, auto responder) { owner_.Report(info, responder); },
        kHotCalls);
    set->BidiStreaming(
        "Session",
        [this](auto* c, auto* s, auto* q, void* t) { raw_.RequestSession(c, s, q, q, t); },
        [this](const CallInfo& info, const std::shared_ptr<BidiStream>& stream) {
          owner_.sessions_.Serve(info, stream);
        });
    sets_.push_back(std::move(set));
  }

 private:
  BrokerService& owner_;
  RawBroker raw_;
  std::vector<std::unique_ptr<MethodSet>> sets_;
};

std::unique_ptr<BoundService> BrokerService::Bind() { return std::make_unique<Bound>(*this); }

void BrokerService::SetBaseUrls(std::shared_ptr<const BaseUrls> urls) {
  sessions_.registry().SetBaseUrls(urls);
  engine::MutexLock lock(mutex_);
  base_urls_ = std::move(urls);
}

std::shared_ptr<const BrokerService::BaseUrls> BrokerService::base_urls() {
  engine::MutexLock lock(mutex_);
  return base_urls_;
}

void BrokerService::Acquire(const CallInfo& info, AcquireResponder responder) {
  if (!gate_.open()) return responder.Finish(gate_.Closed());
  const auto began = std::chrono::steady_clock::now();
  const v1::AcquireRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  const AcquireArguments arguments(request, info.principal, info.remaining - kDeadlineMargin);
  const engine::AcquireAnswer answer = engine_.Acquire(
      arguments.command(),
      [this, responder](const engine::AcquireAnswer& later) { Answer(responder, later); });
  metrics_.acquire_duration().ObserveNanoseconds(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - began)
          .count());
  if (answer.reply.kind == core::AcquireReply::Kind::kParked) {
    responder.OnCancel([this, waiter = answer.reply.waiter] { engine_.CancelWait(waiter); });
    return;
  }
  Answer(responder, answer);
}

void BrokerService::Answer(AcquireResponder responder, const engine::AcquireAnswer& answer) {
  const core::AcquireReply& reply = answer.reply;
  if (reply.waited > absl::ZeroDuration()) metrics_.wait_duration().Observe(reply.waited);
  if (reply.kind != core::AcquireReply::Kind::kGranted) {
    // A server that stops ends parked calls as cancelled; that is not what their callers did.
    if (reply.refusal.reason == core::Refusal::kCancelled && !gate_.open()) {
      return responder.Finish(gate_.Closed());
    }
    return responder.Finish(FromRefusal(reply.refusal, engine_.Now()));
  }
  GrantExtras extras{.lease_id = answer.lease_id,
                     .epoch = epoch_.load(std::memory_order_relaxed),
                     .waited = reply.waited};
  const std::shared_ptr<const BaseUrls> urls =
      reply.grant.document->base_url.empty() ? base_urls() : nullptr;
  if (urls != nullptr) {
    const auto found = urls->find(reply.grant.document->provider);
    if (found != urls->end()) {
      extras.default_base_url = found->second[static_cast<size_t>(reply.grant.document->kind)];
    }
  }
  FillGrant(responder.request(), reply.grant, extras, &responder.reply());
  responder.Finish();
}

void BrokerService::Renew(const CallInfo& info,
                          Responder<v1::RenewRequest, v1::RenewResponse> responder) {
  if (!gate_.open()) return responder.Finish(gate_.Closed());
  const v1::RenewRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  const core::RenewReply reply =
      engine_.Renew(info.principal, request.lease_id(),
                    request.has_ttl() ? ToDuration(request.ttl()) : absl::ZeroDuration());
  switch (reply.result) {
    case core::RenewResult::kRenewed:
      if (reply.at_max) {
        return responder.Finish(
            Error(v1::ERROR_REASON_LEASE_MAX_AGE, "the lease lives to its hard maximum already"));
      }
      SetTime(reply.expires, responder.reply().mutable_expire_time());
      responder.reply().set_epoch(static_cast<int64_t>(epoch_.load(std::memory_order_relaxed)));
      return responder.Finish();
    case core::RenewResult::kNotFound:
      return responder.Finish(Error(v1::ERROR_REASON_NO_SUCH_LEASE,
                                    "no such lease: it ended, expired, or is not this caller's"));
    case core::RenewResult::kDisabled:
      return responder.Finish(Error(v1::ERROR_REASON_CREDENTIAL_DISABLED,
                                    "its credential is disabled; acquire another"));
  }
}

void BrokerService::Release(const CallInfo& info,
                            Responder<v1::ReleaseRequest, v1::ReleaseResponse> responder) {
  if (!gate_.open()) return responder.Finish(gate_.Closed());
  const v1::ReleaseRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  responder.reply().set_released(engine_.Release(info.principal, request.lease_id()));
  responder.Finish();
}

void BrokerService::Report(const CallInfo& info,
                           Responder<v1::ReportRequest, v1::ReportResponse> responder) {
  if (!gate_.open()) return responder.Finish(gate_.Closed());
  const v1::ReportRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  v1::ReportResponse& response = responder.reply();
  response.set_epoch(static_cast<int64_t>(epoch_.load(std::memory_order_relaxed)));
  if (request.items_size() == 1) {
    const v1::ReportItem& item = request.items(0);
    const HeaderList headers = ToHeaders(item.headers());
    FillResult(item, engine_.Report(info.principal, ToReportItem(item, headers)),
               response.add_results());
    return responder.Finish();
  }
  std::vector<HeaderList> headers;
  std::vector<engine::ReportItem> items;
  headers.reserve(static_cast<size_t>(request.items_size()));
  items.reserve(static_cast<size_t>(request.items_size()));
  for (const v1::ReportItem& item : request.items()) {
    headers.push_back(ToHeaders(item.headers()));
    items.push_back(ToReportItem(item, headers.back()));
  }
  const std::vector<core::ReportReply> replies = engine_.ReportBatch(info.principal, items);
  for (int i = 0; i < request.items_size(); ++i) {
    FillResult(request.items(i), replies[static_cast<size_t>(i)], response.add_results());
  }
  responder.Finish();
}

}  // namespace credbroker::rpc
