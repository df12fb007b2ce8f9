// ServingGate: whether the services take calls, and if not, why. The server turns it; services
// look.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_SERVER_RPC_SERVING_GATE_H_
#define CREDBROKER_SERVER_RPC_SERVING_GATE_H_

#include <atomic>
#include <cstdint>

#include <grpcpp/support/status.h>

#include "server/rpc/status.h"

namespace credbroker::rpc {

class ServingGate {
 public:
  enum class State : uint8_t { kStarting, kSealed, kServing, kStopping };

  void Set(State state) { state_.store(state, std::memory_order_release); }
  State state() const { return state_.load(std::memory_order_acquire); }
  bool open() const { return state() == State::kServing; }
  // REQUIRES: !open() a moment ago.
  grpc::Status Closed() const {
    switch (state()) {
      case State::kSealed:
        return Error(v1::ERROR_REASON_SEALED,
                     "the broker is sealed: its keyring is missing or does not open the store");
      case State::kStopping:
        return Error(v1::ERROR_REASON_SHUTTING_DOWN, "the server is stopping");
      case State::kStarting:
      case State::kServing:
        break;
    }
    return Error(v1::ERROR_REASON_STORE_UNAVAILABLE, "the server is starting");
  }

 private:
  std::atomic<State> state_{State::kStarting};
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_SERVING_GATE_H_
