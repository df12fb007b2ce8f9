// The data plane: Acquire, Renew, Release, Report on the pool, without a thread hop; Session is
// served by session_stream.h.
//
// Thread-safety: handlers run on every loop thread at once; SetBaseUrls from any thread.
#ifndef CREDBROKER_SERVER_RPC_BROKER_SERVICE_H_
#define CREDBROKER_SERVER_RPC_BROKER_SERVICE_H_

#include <array>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "core/provider_builtin.h"
#include "credbroker/v1/broker.pb.h"
#include "server/engine/engine.h"
#include "server/obs/metrics.h"
#include "server/rpc/method_set.h"
#include "server/rpc/serving_gate.h"
#include "server/rpc/session_stream.h"

namespace credbroker::rpc {

class BrokerService final : public RpcService {
 public:
  // All outlive this.
  BrokerService(engine::Engine& engine, obs::Metrics& metrics, const ServingGate& gate)
      : engine_(engine), metrics_(metrics), gate_(gate), sessions_(engine, gate) {}

  std::unique_ptr<BoundService> Bind() override;

  // Ownership epoch shown in replies; before the gate opens.
  void SetEpoch(uint64_t epoch) { epoch_.store(epoch, std::memory_order_relaxed); }
  // Provider -> its upstream address, for credentials that have none of their own.
  // By provider and, in it, by core::Kind; empty: none.
  using BaseUrls = absl::flat_hash_map<std::string, std::array<std::string, core::kKindCount>>;
  void SetBaseUrls(std::shared_ptr<const BaseUrls> urls);
  SessionService& sessions() { return sessions_; }
  // What is left of the sessions is ended; a server that stops drains them before.
  void StartDraining() override { sessions_.Drain(absl::ZeroDuration()); }

 private:
  class Bound;
  using AcquireResponder = Responder<v1::AcquireRequest, v1::Grant>;

  void Acquire(const CallInfo& info, AcquireResponder responder);
  void Answer(AcquireResponder responder, const engine::AcquireAnswer& answer);
  void Renew(const CallInfo& info, Responder<v1::RenewRequest, v1::RenewResponse> responder);
  void Release(const CallInfo& info, Responder<v1::ReleaseRequest, v1::ReleaseResponse> responder);
  void Report(const CallInfo& info, Responder<v1::ReportRequest, v1::ReportResponse> responder);
  std::shared_ptr<const BaseUrls> base_urls();

  engine::Engine& engine_;
  obs::Metrics& metrics_;
  const ServingGate& gate_;
  SessionService sessions_;
  std::atomic<uint64_t> epoch_{0};
  engine::Mutex mutex_;
  std::shared_ptr<const BaseUrls> base_urls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_BROKER_SERVICE_H_
