// One process at a time: an advisory lock on a side file that says who holds it.
//
// Thread-safety: immutable after Acquire; destroy it from any one thread.
#ifndef CREDBROKER_SERVER_STORE_PROCESS_LOCK_H_
#define CREDBROKER_SERVER_STORE_PROCESS_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace credbroker::store {

class ProcessLock {
 public:
  // Locks `path` (made with mode 0600 if absent) until destruction or the end of the process,
  // however it ends. An open-file-description lock (fcntl(2), F_OFD_SETLK): unlike a POSIX lock it
  // also excludes another store in this process and is not lost when some other descriptor of the
  // file closes. kFailedPrecondition: held; the message names the holder's pid and start.
  // kUnavailable: the file cannot be made or locked.
  static absl::StatusOr<std::unique_ptr<ProcessLock>> Acquire(const std::string& path);
  ~ProcessLock();
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;

 private:
  explicit ProcessLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_PROCESS_LOCK_H_
