#include "client/sidecar/grpc_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/sidecar/check_request.h"
#include "client/sidecar/settings.h"
#include "credbroker/client/client.h"
#include "credbroker/client/error.h"
#include "credbroker/v1/broker.grpc.pb.h"
#include "server/rpc/status.h"

namespace credbroker::sidecar {
namespace {

using Stub = api::BrokerService;
using RawBroker = Stub::WithRawMethod_Acquire<Stub::WithRawMethod_Renew<
    Stub::WithRawMethod_Release<Stub::WithRawMethod_Report<Stub::Service>>>>;

constexpr int kHotCalls = 256;
constexpr int kMaxItems = 256;
constexpr absl::Duration kDefaultTtl = absl::Seconds(120);
constexpr absl::Duration kDeadlineMargin = absl::Milliseconds(5);
constexpr absl::Duration kRequestRetention = absl::Minutes(10);

class Raw final : public RawBroker {
 public:
  grpc::Status Session(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<api::SessionResponse, api::SessionRequest>*) override {
    return {grpc::StatusCode::UNIMPLEMENTED,
            "a sidecar keeps the session itself; call Acquire and Report, or the broker"};
  }
};

grpc::Status ToGrpc(const absl::Status& status) {
  const google::rpc::Status details = client::ToRpcStatus(status);
  return {static_cast<grpc::StatusCode>(details.code()), details.message(),
          details.details().empty() ? "" : details.SerializeAsString()};
}

grpc::Status ToGrpc(const BadField& bad, absl::string_view prefix = "") {
  return rpc::BadField(absl::StrCat(prefix, bad.field), bad.description);
}

absl::Duration TtlOf(const api::AcquireRequest& request) {
  return request.has_ttl() ? ToDuration(request.ttl()) : kDefaultTtl;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

}  // namespace

class GrpcService::Bound final : public rpc::BoundService {
 public:
  explicit Bound(GrpcService& owner) : owner_(owner) {}
  grpc::Service& service() override { return raw_; }
  void Serve(rpc::Guard& guard, obs::GrpcServerMetrics& metrics,
             grpc::ServerCompletionQueue& queue) override {
    auto set = std::make_unique<rpc::MethodSet>(Stub::service_full_name(), guard, metrics, queue);
    set->Unary<api::AcquireRequest, api::Grant>(
        "Acquire",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestAcquire(c, b, w, q, q, t);
        },
        [this](const rpc::CallInfo& info, auto responder) { owner_.Acquire(info, responder); },
        kHotCalls);
    set->Unary<api::RenewRequest, api::RenewResponse>(
        "Renew",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestRenew(c, b, w, q, q, t);
        },
        [this](const rpc::CallInfo& info, auto responder) { owner_.Renew(info, responder); }, 32);
    set->Unary<api::ReleaseRequest, api::ReleaseResponse>(
        "Release",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestRelease(c, b, w, q, q, t);
        },
        [this](const rpc::CallInfo& info, auto responder) { owner_.Release(info, responder); }, 64);
    set->Unary<api::ReportRequest, api::ReportResponse>(
        "Report",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestReport(c, b, w, q, q, t);
        },
        [this](const rpc::CallInfo& info, auto responder) { owner_.Report(info, responder); },
        kHotCalls);
    sets_.push_back(std::move(set));
  }

 private:
  GrpcService& owner_;
  Raw raw_;
  std::vector<std::unique_ptr<rpc::MethodSet>> sets_;
};

std::unique_ptr<rpc::BoundService> GrpcService::Bind() { return std::make_unique<Bound>(*this); }

std::vector<obs::GrpcMethod> GrpcService::Methods() {
  std::vector<obs::GrpcMethod> methods;
  for (const char* method : {"Acquire", "Renew", "Release", "Report"}) {
    methods.push_back({Stub::service_full_name(), method, obs::GrpcType::kUnary});
  }
  return methods;
}

void GrpcService::Acquire(const rpc::CallInfo& info, AcquireResponder responder) {
  const api::AcquireRequest& request = responder.request();
  if (const auto bad = Check(request)) return responder.Finish(ToGrpc(*bad));
  uint64_t arguments = 0;
  if (!request.request_id().empty()) {
    arguments = RequestBook::HashOf(request);
    const auto known =
        requests_.Find(RequestBook::KeyOf(info.principal, request.request_id()), desk_.Now());
    if (known.has_value()) return AnswerKnown(info.principal, responder, *known, arguments);
  }
  absl::Duration timeout = info.remaining - kDeadlineMargin;
  const absl::Duration most =
      route_.timeout + (request.has_max_wait() ? ToDuration(request.max_wait()) : route_.max_wait);
  timeout = std::clamp(timeout, absl::Milliseconds(1), most);
  desk_.Decide(Face::kGrpc, route_, request, timeout,
               [this, principal = info.principal, responder, arguments](Desk::Decision decision) {
                 Answer(principal, responder, arguments, std::move(decision));
               });
}

void GrpcService::AnswerKnown(absl::string_view principal, AcquireResponder responder,
                              const RequestBook::Known& known, uint64_t arguments) {
  if (known.arguments != arguments) {
    return responder.Finish(rpc::BadField("request_id",
                                          "was used before with other arguments; use a new one",
                                          api::ERROR_REASON_REQUEST_ID_MISMATCH));
  }
  api::Grant& grant = responder.reply();
  const auto left = desk_.CopyGrant(known.lease, &grant, principal);
  if (!left.has_value()) {
    client::WipeSecrets(&grant);
    return responder.Finish(
        rpc::Error(api::ERROR_REASON_REQUEST_ENDED, "the lease of this request_id has ended"));
  }
  grant.set_lease_id(ToText(known.lease));
  grant.set_request_id(responder.request().request_id());
  SetTime(absl::Now() + *left, grant.mutable_expire_time());
  responder.Finish();
}

void GrpcService::Answer(absl::string_view principal, AcquireResponder responder,
                         uint64_t arguments, Desk::Decision decision) {
  if (decision.kind != Desk::Decision::Kind::kLease) {
    return responder.Finish(ToGrpc(decision.refusal));
  }
  const api::AcquireRequest& request = responder.request();
  const absl::Duration ttl = TtlOf(request);
  const LeaseId id = desk_.NewId();
  api::Grant& grant = responder.reply();
  decision.lease->CopyTo(&grant);
  grant.set_lease_id(ToText(id));
  grant.set_request_id(request.request_id());
  SetTime(absl::Now() + ttl, grant.mutable_expire_time());
  const absl::Status kept =
      desk_.Keep(Face::kGrpc, route_, id, std::move(decision.lease), ttl, principal);
  if (!kept.ok()) {
    client::WipeSecrets(&grant);
    return responder.Finish(ToGrpc(kept));
  }
  if (!request.request_id().empty()) {
    // Once it is live: a refusal is not remembered, and nobody is told that it has ended before it
    // began.
    const int64_t now = desk_.Now();
    const auto first =
        requests_.Add(RequestBook::KeyOf(principal, request.request_id()), {arguments, id}, now,
                      now + absl::ToInt64Nanoseconds(LeaseTable::kMaxLife + kRequestRetention));
    if (first.has_value()) {
      // The same call came twice at once: both get what the first one got.
      client::WipeSecrets(&grant);
      desk_.Release(ToText(id), principal);
      return AnswerKnown(principal, responder, *first, arguments);
    }
  }
  responder.Finish();
}

void GrpcService::Renew(const rpc::CallInfo& info,
                        rpc::Responder<api::RenewRequest, api::RenewResponse> responder) {
  const api::RenewRequest& request = responder.request();
  if (request.has_ttl()) {
    if (const auto bad = CheckTtl(request.ttl())) return responder.Finish(ToGrpc(*bad));
  }
  const absl::Duration ttl = request.has_ttl() ? ToDuration(request.ttl()) : kDefaultTtl;
  const auto renewed = desk_.Renew(request.lease_id(), ttl, info.principal);
  if (!renewed.has_value()) {
    return responder.Finish(rpc::Error(api::ERROR_REASON_NO_SUCH_LEASE,
                                       "no such lease: it ended, expired, or is not of here"));
  }
  SetTime(absl::Now() + *renewed, responder.reply().mutable_expire_time());
  responder.Finish();
}

void GrpcService::Release(const rpc::CallInfo& info,
                          rpc::Responder<api::ReleaseRequest, api::ReleaseResponse> responder) {
  if (responder.request().lease_id().empty()) {
    return responder.Finish(rpc::BadField("lease_id", "is required"));
  }
  responder.reply().set_released(desk_.Release(responder.request().lease_id(), info.principal));
  responder.Finish();
}

void GrpcService::Report(const rpc::CallInfo& info,
                         rpc::Responder<api::ReportRequest, api::ReportResponse> responder) {
  const api::ReportRequest& request = responder.request();
  if (request.items().empty() || request.items_size() > kMaxItems) {
    return responder.Finish(rpc::BadField("items", "needs 1 to 256 entries"));
  }
  for (int i = 0; i < request.items_size(); ++i) {
    if (const auto bad = Check(request.items(i))) {
      return responder.Finish(ToGrpc(*bad, absl::StrCat("items[", i, "].")));
    }
  }
  desk_.Report(
      Face::kGrpc, {request.items().begin(), request.items().end()},
      [responder](api::ReportResponse response) {
        responder.reply().Swap(&response);
        responder.Finish();
      },
      info.principal);
}

}  // namespace credbroker::sidecar
