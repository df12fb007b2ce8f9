#include "server/rpc/admin_service.h"

#include <utility>

#include "absl/time/clock.h"
#include "credbroker/v1/admin.grpc.pb.h"
#include "server/rpc/watch_stream.h"

namespace credbroker::rpc {
namespace {

using Stub = v1::AdminService;
// Every method raw, so that none is left synchronous: those would bring threads of gRPC's own,
// which poll for the same connections.
using Raw16 = Stub::WithRawMethod_ImportCredentials<Stub::Service>;
using Raw15 = Stub::WithRawMethod_WatchCredentials<Raw16>;
using Raw14 = Stub::WithRawMethod_ExportCredentials<Raw15>;
using Raw13 = Stub::WithRawMethod_TestPolicy<Raw14>;
using Raw12 = Stub::WithRawMethod_GetStats<Raw13>;
using Raw11 = Stub::WithRawMethod_Explain<Raw12>;
using Raw10 = Stub::WithRawMethod_ListCredentials<Raw11>;
using Raw9 = Stub::WithRawMethod_UndoBatch<Raw10>;
using Raw8 = Stub::WithRawMethod_BatchUpdate<Raw9>;
using Raw7 = Stub::WithRawMethod_ResetAvailability<Raw8>;
using Raw6 = Stub::WithRawMethod_Enable<Raw7>;
using Raw5 = Stub::WithRawMethod_Disable<Raw6>;
using Raw4 = Stub::WithRawMethod_GetCredential<Raw5>;
using Raw3 = Stub::WithRawMethod_DeleteCredential<Raw4>;
using Raw2 = Stub::WithRawMethod_UpdateCredential<Raw3>;
using Raw1 = Stub::WithRawMethod_CreateCredential<Raw2>;
using RawAdmin = Raw1;

}  // namespace

class AdminService::Bound final : public BoundService {
 public:
  explicit Bound(AdminService& owner) : owner_(owner) {}
  grpc::Service& service() override { return raw_; }
  void Serve(Guard& guard, obs::GrpcServerMetrics& metrics,
             grpc::ServerCompletionQueue& queue) override {
    auto set = std::make_unique<MethodSet>(Stub::service_full_name(), guard, metrics, queue);
    BindCredentials(*set);
    BindQueries(*set);
    BindStreams(*set);
    sets_.push_back(std::move(set));
  }

 private:
  template <typename Request, typename Reply, typename Arm>
  void Unary(MethodSet& set, const char* method, Arm arm,
             void (AdminService::*handler)(const CallInfo&, Responder<Request, Reply>)) {
    set.Unary<Request, Reply>(
        method, arm, [this, handler](const CallInfo& info, Responder<Request, Reply> responder) {
          if (!owner_.gate_.open()) return responder.Finish(owner_.gate_.Closed());
          (owner_.*handler)(info, responder);
        });
  }

  void BindCredentials(MethodSet& set) {
    Unary(
        set, "CreateCredential",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestCreateCredential(c, b, w, q, q, t);
        },
        &AdminService::Create);
    Unary(
        set, "UpdateCredential",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestUpdateCredential(c, b, w, q, q, t);
        },
        &AdminService::Update);
    Unary(
        set, "DeleteCredential",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestDeleteCredential(c, b, w, q, q, t);
        },
        &AdminService::Delete);
    Unary(
        set, "GetCredential",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestGetCredential(c, b, w, q, q, t);
        },
        &AdminService::Get);
    Unary(
        set, "Disable",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestDisable(c, b, w, q, q, t);
        },
        &AdminService::Disable);
    Unary(
        set, "Enable",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestEnable(c, b, w, q, q, t);
        },
        &AdminService::Enable);
    Unary(
        set, "ResetAvailability",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestResetAvailability(c, b, w, q, q, t);
        },
        &AdminService::Reset);
    Unary(
        set, "BatchUpdate",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestBatchUpdate(c, b, w, q, q, t);
        },
        &AdminService::BatchUpdate);
    Unary(
        set, "UndoBatch",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestUndoBatch(c, b, w, q, q, t);
        },
        &AdminService::UndoBatch);
  }
  void BindQueries(MethodSet& set) {
    Unary(
        set, "ListCredentials",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestListCredentials(c, b, w, q, q, t);
        },
        &AdminService::List);
    Unary(
        set, "Explain",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestExplain(c, b, w, q, q, t);
        },
        &AdminService::Explain);
    Unary(
        set, "GetStats",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestGetStats(c, b, w, q, q, t);
        },
        &AdminService::Stats);
    Unary(
        set, "TestPolicy",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestTestPolicy(c, b, w, q, q, t);
        },
        &AdminService::TestPolicy);
  }
  void BindStreams(MethodSet& set) {
    set.ServerStreaming<v1::ExportCredentialsRequest>(
        "ExportCredentials",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestExportCredentials(c, b, w, q, q, t);
        },
        [this](const CallInfo& info, const auto& request, const auto& stream) {
          if (!owner_.gate_.open()) return stream->Finish(owner_.gate_.Closed());
          owner_.Export(info, request, stream);
        });
    set.ServerStreaming<v1::WatchCredentialsRequest>(
        "WatchCredentials",
        [this](auto* c, auto* b, auto* w, auto* q, void* t) {
          raw_.RequestWatchCredentials(c, b, w, q, q, t);
        },
        [this](const CallInfo& info, const auto& request, const auto& stream) {
          if (!owner_.gate_.open()) return stream->Finish(owner_.gate_.Closed());
          owner_.Watch(info, request, stream);
        });
    set.ClientStreaming(
        "ImportCredentials",
        [this](auto* c, auto* r, auto* q, void* t) {
          raw_.RequestImportCredentials(c, r, q, q, t);
        },
        [this](const CallInfo& info, std::shared_ptr<ClientStream> stream) {
          if (!owner_.gate_.open()) return stream->Fail(owner_.gate_.Closed());
          if (!owner_.options_.import) {
            return stream->Fail(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no importer"));
          }
          owner_.options_.import(info, std::move(stream), owner_.worker_);
        });
  }

  AdminService& owner_;
  RawAdmin raw_;
  std::vector<std::unique_ptr<MethodSet>> sets_;
};

AdminService::AdminService(engine::Engine& engine, const ServingGate& gate, Options options)
    : engine_(engine),
      gate_(gate),
      options_(std::move(options)),
      started_(absl::Now()),
      pulse_(options_.heartbeat / 4, [this] { BeatWatches(); }) {}

AdminService::~AdminService() { worker_.Stop(); }

std::unique_ptr<BoundService> AdminService::Bind() { return std::make_unique<Bound>(*this); }

grpc::Status AdminService::TooBusy() {
  return Error(v1::ERROR_REASON_LIMIT_REACHED, "too many lists and exports wait; try again soon",
               {{"limit", "queued administration calls"}});
}

engine::Caller AdminService::CallerOf(const CallInfo& info, const std::string& request_id) const {
  return {std::string(info.principal), request_id};
}

}  // namespace credbroker::rpc
