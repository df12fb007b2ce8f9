#include "server/rpc/connection_count.h"

#include <sys/stat.h>

namespace credbroker::rpc {

bool ConnectionCount::Add(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return false;
  // Whoever had the number before has ended.
  sockets_.erase(fd);
  if (sockets_.size() >= max_) ForgetEnded();
  if (sockets_.size() >= max_) return false;
  sockets_.emplace(fd, Socket(info.st_dev, info.st_ino));
  return true;
}

void ConnectionCount::ForgetEnded() {
  absl::erase_if(sockets_, [](const auto& entry) {
    struct stat info {};
    return ::fstat(entry.first, &info) != 0 || Socket(info.st_dev, info.st_ino) != entry.second;
  });
}

}  // namespace credbroker::rpc
