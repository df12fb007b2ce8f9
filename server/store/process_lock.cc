#include "server/store/process_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace credbroker::store {
namespace {

// What the holder wrote about itself; it may be about to write it, hence may be nothing.
std::string ReadHolder(int fd) {
  char text[256];
  const ssize_t size = pread(fd, text, sizeof text, 0);
  std::string holder(text, size > 0 ? static_cast<size_t>(size) : 0);
  for (char& c : holder) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = ' ';
  }
  absl::StripAsciiWhitespace(&holder);
  return holder.empty() ? "a process that did not say which" : holder;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessLock>> ProcessLock::Acquire(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot open the lock ", path, ": ", strerror(errno)));
  }
  std::unique_ptr<ProcessLock> lock(new ProcessLock(fd));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      return absl::FailedPreconditionError(
          absl::StrCat("the store is in use by ", ReadHolder(fd), " (lock ", path, ")"));
    }
    return absl::UnavailableError(absl::StrCat("cannot lock ", path, ": ", strerror(errno)));
  }
  const std::string holder =
      absl::StrCat("pid ", getpid(), ", started ",
                   absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone()), "\n");
  // Only for the message above: failing to write it must not stop the server.
  if (ftruncate(fd, 0) == 0) {
    const ssize_t written = pwrite(fd, holder.data(), holder.size(), 0);
    static_cast<void>(written);
  }
  return lock;
}

ProcessLock::~ProcessLock() {
  // The file stays: removing it would let two processes lock two files of one name.
  close(fd_);
}

}  // namespace credbroker::store
