#include "client/ctl/export_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/ctl/display.h"

namespace credbroker::ctl {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

absl::Status Failed(const std::string& what) {
  return absl::UnknownError(absl::StrCat(what, ": ", std::strerror(errno)));
}

bool WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return fsync(fd) == 0;
}

// Makes `name` from `temporary`, both in `folder`.
absl::Status Publish(int folder, const std::string& temporary, const std::string& name,
                     bool force) {
  if (force) {
    if (renameat(folder, temporary.c_str(), folder, name.c_str()) != 0) return Failed(name);
    return absl::OkStatus();
  }
  // A link, unlike a rename, does not replace.
  if (linkat(folder, temporary.c_str(), folder, name.c_str(), 0) != 0) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError("it exists; --force replaces it");
    }
    return Failed(name);
  }
  unlinkat(folder, temporary.c_str(), 0);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckExportPath(absl::string_view relative) {
  if (relative.empty() || relative.size() > 512) {
    return absl::InvalidArgumentError("the name is empty or too long");
  }
  if (Printable(relative) != relative) {
    return absl::InvalidArgumentError("the name has characters that are not printable");
  }
  for (absl::string_view part : absl::StrSplit(relative, '/')) {
    if (part.empty() || absl::StartsWith(part, ".") || part.size() > 255) {
      return absl::InvalidArgumentError("the name would leave the folder or hide in it");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ExportFolder> ExportFolder::Open(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Failed(path);
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed(path);
  return ExportFolder(fd);
}

ExportFolder::~ExportFolder() {
  if (fd_ >= 0) close(fd_);
}

absl::Status ExportFolder::Write(const std::string& relative, absl::string_view bytes, bool force) {
  if (absl::Status status = CheckExportPath(relative); !status.ok()) return status;
  std::vector<std::string> parts = absl::StrSplit(relative, '/');
  const std::string name = parts.back();
  parts.pop_back();
  Descriptor folder(fcntl(fd_, F_DUPFD_CLOEXEC, 0));
  for (const std::string& part : parts) {
    if (mkdirat(folder.get(), part.c_str(), 0700) != 0 && errno != EEXIST) return Failed(part);
    const int next =
        openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) return Failed(part);
    folder.Reset(next);
  }
  const std::string temporary = absl::StrCat(".credbrokerctl-", getpid(), ".tmp");
  Descriptor file(openat(folder.get(), temporary.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0) return Failed(temporary);
  absl::Status status =
      WriteAll(file.get(), bytes) ? Publish(folder.get(), temporary, name, force) : Failed(name);
  if (!status.ok()) unlinkat(folder.get(), temporary.c_str(), 0);
  return status;
}

}  // namespace credbroker::ctl
