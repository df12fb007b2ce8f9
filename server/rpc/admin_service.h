// The control plane. One file a topic: admin_service.cc (binding), admin_credentials.cc,
// admin_batch.cc, admin_list.cc, admin_query.cc, admin_streams.cc; imports are in import_stream.cc.
//
// What walks the fleet (lists, exports, explanations) runs on a worker thread, in steps of at most
// 256 rows a hold of the pool's lock, so that neither loop threads nor Acquire wait for it.
//
// Thread-safety: handlers run on every loop thread and on the worker.
#ifndef CREDBROKER_SERVER_RPC_ADMIN_SERVICE_H_
#define CREDBROKER_SERVER_RPC_ADMIN_SERVICE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "credbroker/v1/admin.pb.h"
#include "server/engine/engine.h"
#include "server/rpc/method_set.h"
#include "server/rpc/pulse.h"
#include "server/rpc/serving_gate.h"
#include "server/rpc/worker.h"
#include "server/session/registry.h"

namespace credbroker::rpc {

class CredentialWatch;

// How the configuration in force came about, for GetStats.
struct ConfigStatus {
  absl::Time loaded;
  std::string error;  // of the last reload; empty: it was taken
};

// What import_stream.h makes of the importer; kept apart, so that these services link without it.
using ImportHandler = std::function<void(const CallInfo&, std::shared_ptr<ClientStream>, Worker&)>;
struct ExportedFile {
  std::string relative_path;
  std::string json;
};
using ExportFormat = std::function<ExportedFile(const core::Document&, const core::Intent&)>;

// Refresh tokens have one owner, however they came: what the importer knows of them. Also kept
// apart.
struct TokenRules {
  // FAILED_PRECONDITION (REFRESH_TOKEN_SPENT, REFRESH_TOKEN_OWNED): `id` may not have this token.
  std::function<grpc::Status(const std::string& id, const core::Secret& token)> check;
  std::function<void(const std::string& id, const core::Secret& token)> own;  // it has it now
};

class AdminService final : public RpcService {
 public:
  struct Options {
    std::string version;
    std::string store_backend;                    // "sqlite", "memory"
    ImportHandler import;                         // null: ImportCredentials is UNIMPLEMENTED
    ExportFormat export_file;                     // null: ExportCredentials is UNIMPLEMENTED
    TokenRules tokens;                            // null: every token is taken
    std::function<ConfigStatus()> config_status;  // null: not shown
    size_t max_watch_queue = 4096;                // changes a slow watcher may be behind
    // A watcher hears that nothing happened after so long.
    absl::Duration heartbeat = absl::Seconds(30);
    // Whom Disable waits for; outlives the service. Null: nobody.
    session::SessionRegistry* sessions = nullptr;
  };

  // `engine` and `gate` outlive this.
  AdminService(engine::Engine& engine, const ServingGate& gate, Options options);
  ~AdminService() override;

  std::unique_ptr<BoundService> Bind() override;
  // Ends the watches; to be called before the server waits for its calls.
  void StartDraining() override;

 private:
  class Bound;
  template <typename Request, typename Reply>
  using To = Responder<Request, Reply>;

  // Runs `work` on the worker, or answers that it has too much to do.
  template <typename Request, typename Reply>
  void Defer(Responder<Request, Reply> responder, absl::AnyInvocable<void()> work) {
    if (!worker_.Post(std::move(work))) responder.Finish(TooBusy());
  }
  static grpc::Status TooBusy();
  grpc::Status CheckToken(const std::string& id, const core::SecretMaterial& secret) const;
  void OwnToken(const std::string& id, const core::SecretMaterial* secret) const;
  engine::Caller CallerOf(const CallInfo& info, const std::string& request_id) const;

  void Create(const CallInfo&, To<v1::CreateCredentialRequest, v1::Credential>);
  void Update(const CallInfo&, To<v1::UpdateCredentialRequest, v1::Credential>);
  void Delete(const CallInfo&, To<v1::DeleteCredentialRequest, v1::DeleteCredentialResponse>);
  void Get(const CallInfo&, To<v1::GetCredentialRequest, v1::Credential>);
  void Disable(const CallInfo&, To<v1::DisableRequest, v1::DisableResponse>);
  void Enable(const CallInfo&, To<v1::EnableRequest, v1::EnableResponse>);
  void Reset(const CallInfo&, To<v1::ResetAvailabilityRequest, v1::ResetAvailabilityResponse>);
  void BatchUpdate(const CallInfo&, To<v1::BatchUpdateRequest, v1::BatchUpdateResponse>);
  void UndoBatch(const CallInfo&, To<v1::UndoBatchRequest, v1::UndoBatchResponse>);
  void List(const CallInfo&, To<v1::ListCredentialsRequest, v1::ListCredentialsResponse>);
  void Explain(const CallInfo&, To<v1::ExplainRequest, v1::ExplainResponse>);
  void Stats(const CallInfo&, To<v1::GetStatsRequest, v1::GetStatsResponse>);
  void TestPolicy(const CallInfo&, To<v1::TestPolicyRequest, v1::TestPolicyResponse>);
  void Export(const CallInfo&, const v1::ExportCredentialsRequest&,
              const std::shared_ptr<ServerStream>&);
  void Watch(const CallInfo&, const v1::WatchCredentialsRequest&,
             const std::shared_ptr<ServerStream>&);
  void BeatWatches();

  engine::Engine& engine_;
  const ServingGate& gate_;
  const Options options_;
  const absl::Time started_;
  engine::Mutex mutex_;
  std::vector<std::weak_ptr<CredentialWatch>> watches_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  Worker worker_;  // its tasks use what is above
  Pulse pulse_;    // last, as the worker
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_ADMIN_SERVICE_H_
