// UnixListener: a unix socket with an accept loop of its own, which asks the kernel who connects.
//
// gRPC 1.51 shows a handler no peer credentials, so who may use a socket is decided here: a
// connection of a uid that is not admitted is closed before gRPC sees it.
//
// Thread-safety: Stop may be called from any thread; the rest belongs to the owner.
#ifndef CREDBROKER_SERVER_RPC_UNIX_LISTENER_H_
#define CREDBROKER_SERVER_RPC_UNIX_LISTENER_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/rpc/accept_loop.h"

namespace credbroker::rpc {

class UnixListener {
 public:
  struct Options {
    std::string path;         // absolute, at most 107 bytes
    mode_t mode = 0660;       // of the socket file, whatever the umask
    std::vector<uid_t> uids;  // admitted besides root and our own
    size_t max_connections = 1024;
  };

  // Binds and listens. A socket file nobody answers on is replaced; anything else that stands in
  // the way (a live server, a plain file, a symbolic link) is left alone:
  //   FAILED_PRECONDITION: another server listens; INVALID_ARGUMENT: the path cannot be a socket;
  //   UNAVAILABLE: the system refused.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Open(Options options);
  ~UnixListener();  // Stop
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // Starts accepting; `hand_over` owns the (non-blocking) descriptor it gets. Once.
  void Start(std::function<void(int fd)> hand_over);
  // Stops accepting and removes the socket file, if it is still ours. Idempotent.
  void Stop();

  const std::string& path() const { return options_.path; }
  // Connections closed because of their uid, and because there were max_connections already.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  uint64_t over_limit() const { return loop_.over_limit(); }

 private:
  UnixListener(Options options, int fd, int wake, dev_t device, ino_t inode);
  bool Admitted(int fd);

  const Options options_;
  const dev_t device_;
  const ino_t inode_;
  std::atomic<uint64_t> refused_{0};
  AcceptLoop loop_;  // last: its thread uses the rest
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_UNIX_LISTENER_H_
