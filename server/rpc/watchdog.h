// Watchdog: makes a real health check through each listener, over a new connection each time.
//
// A process that ran out of descriptors stops accepting for good while everything inside looks
// well; only a call from outside shows it. After three failures in a row on one listener `on_dead`
// runs, and the program ends itself so that its supervisor starts it anew.
//
// Thread-safety: construct and destroy on one thread.
#ifndef CREDBROKER_SERVER_RPC_WATCHDOG_H_
#define CREDBROKER_SERVER_RPC_WATCHDOG_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "server/engine/mutex.h"

namespace credbroker::rpc {

class Watchdog {
 public:
  struct Options {
    std::vector<std::string> targets;  // of GrpcServer::targets
    absl::Duration interval = absl::Seconds(5);
    absl::Duration patience = absl::Seconds(5);  // of one check
    int failures = 3;
    // Runs once, on the watchdog's thread; it stops looking after that.
    std::function<void(const std::string& target)> on_dead;
  };

  explicit Watchdog(Options options);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run();

  const Options options_;
  engine::Mutex mutex_;
  engine::CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_WATCHDOG_H_
