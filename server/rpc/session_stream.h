// BrokerService.Session over gRPC: one SessionStream a stream, and the SessionService that keeps
// the registry and sweeps it.
//
// Thread-safety: SessionService may be used from any thread; handlers run on the loop threads.
#ifndef CREDBROKER_SERVER_RPC_SESSION_STREAM_H_
#define CREDBROKER_SERVER_RPC_SESSION_STREAM_H_

#include <memory>
#include <mutex>
#include <thread>

#include "server/rpc/bidi_stream.h"
#include "server/rpc/serving_gate.h"
#include "server/session/registry.h"

namespace credbroker::rpc {

class SessionService {
 public:
  // Both outlive this.
  SessionService(engine::Engine& engine, const ServingGate& gate, session::Terms terms = {});
  ~SessionService();
  SessionService(const SessionService&) = delete;
  SessionService& operator=(const SessionService&) = delete;

  // Begins to listen and to sweep; the engine has started. The first stream does it too.
  void Start();
  // For a server that stops: asks the clients to go, waits up to `patience` until they have, then
  // ends their streams. Idempotent.
  void Drain(absl::Duration patience);

  void Serve(const CallInfo& info, const std::shared_ptr<BidiStream>& stream);
  session::SessionRegistry& registry() { return registry_; }

 private:
  void Run();

  engine::Engine& engine_;
  const ServingGate& gate_;
  session::SessionRegistry registry_;
  std::once_flag started_;
  engine::Mutex mutex_;
  engine::CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread sweeper_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_SESSION_STREAM_H_
