// AcceptLoop: accepts on a listening socket in a thread of its own and hands over the connections
// it admits. The others are closed before gRPC sees them, and counted.
//
// Thread-safety: Stop and the counts may be called from any thread; the rest belongs to the owner.
#ifndef CREDBROKER_SERVER_RPC_ACCEPT_LOOP_H_
#define CREDBROKER_SERVER_RPC_ACCEPT_LOOP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "server/rpc/connection_count.h"

namespace credbroker::rpc {

class AcceptLoop {
 public:
  struct Options {
    std::string name;  // of the listener, for the log
    size_t max_connections = 1024;
    std::function<bool(int fd)> admits;  // besides; empty: everybody
  };

  // Owns `fd`, a listening socket that does not block, and `wake`, an eventfd.
  AcceptLoop(int fd, int wake, Options options);
  ~AcceptLoop();  // Stop
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;

  // Starts accepting; `hand_over` owns the (non-blocking) descriptor it gets. Once.
  void Start(std::function<void(int fd)> hand_over);
  // Stops accepting; who connects now is refused by the kernel. Idempotent: false if it was
  // stopped.
  bool Stop();

  // Connections closed because there were max_connections already.
  uint64_t over_limit() const { return over_limit_.load(std::memory_order_relaxed); }

 private:
  void Accept();
  bool Admitted(int fd);

  const Options options_;
  const int fd_;
  const int wake_;
  ConnectionCount open_;  // the thread's
  std::atomic<uint64_t> over_limit_{0};
  std::atomic<bool> stopped_{false};
  std::function<void(int)> hand_over_;
  std::thread thread_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_ACCEPT_LOOP_H_
