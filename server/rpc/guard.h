// Guard: what every call passes first, and the table of what each method is for.
//
// gRPC's own limits can be walked around (a client that never acknowledges SETTINGS is not held to
// max_concurrent_streams), so calls in flight are counted here, per principal and per connection.
// One Guard a listener; a listener is one principal.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_SERVER_RPC_GUARD_H_
#define CREDBROKER_SERVER_RPC_GUARD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <string>

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/engine/mutex.h"
#include "server/obs/grpc_metrics.h"

namespace credbroker::rpc {

// What a call may do; roles will be sets of these.
enum class Access { kHealth, kLease, kRead, kOperate, kImport };

struct MethodRule {
  const char* service;  // "credbroker.v1.BrokerService"
  const char* method;   // "Acquire"
  obs::GrpcType type;
  Access access;
};

// Every method served. A method without a rule is not registered: RuleOf aborts at start.
absl::Span<const MethodRule> MethodRules();
const MethodRule& RuleOf(absl::string_view service, absl::string_view method);

// Calls are counted by what they hold: a unary call for as long as it is answered (or parked), a
// stream for as long as somebody listens. Sessions are counted apart, since one is a whole proxy,
// and health checks, so that a flood of other calls cannot make the server look dead.
enum class CallClass { kUnary, kStream, kHealth, kSession };
CallClass ClassOf(const MethodRule& rule);

class Guard {
 public:
  struct Options {
    std::string principal;                                // "unix:<path>" or "loopback"
    absl::Duration default_deadline = absl::Seconds(10);  // of a call that came without one
    bool count_peers = false;  // by connection; unix peers have no name to tell them apart by
    int max_unary = 4096;      // in flight, of this principal
    int max_streams = 64;
    int max_health = 256;
    int max_sessions = 2048;  // streams: one that resumes may overlap with the one before
    int max_per_peer = 1024;  // of one connection, all classes
  };

  explicit Guard(Options options);
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // One admitted call; leaves when destroyed or reset.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { Leave(); }
    void Leave();
    bool admitted() const { return guard_ != nullptr; }

   private:
    friend class Guard;
    Guard* guard_ = nullptr;
    CallClass kind_ = CallClass::kUnary;
    std::string peer_;  // empty where peers are not counted
  };

  // OK and *ticket holds a place; else RESOURCE_EXHAUSTED (LIMIT_REACHED) naming the limit.
  grpc::Status Enter(const MethodRule& rule, const grpc::ServerContext& context, Ticket* ticket);

  const std::string& principal() const { return options_.principal; }
  absl::Duration default_deadline() const { return options_.default_deadline; }
  // All classes together.
  int in_flight() const {
    int sum = 0;
    for (const std::atomic<int>& count : counts_) sum += count.load(std::memory_order_relaxed);
    return sum;
  }
  int in_flight(CallClass kind) const {
    return counts_[static_cast<size_t>(kind)].load(std::memory_order_relaxed);
  }

 private:
  bool EnterPeer(const std::string& peer);
  void LeavePeer(const std::string& peer);

  const Options options_;
  std::array<std::atomic<int>, 4> counts_{};
  engine::Mutex mutex_;
  absl::flat_hash_map<std::string, int> peers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_GUARD_H_
