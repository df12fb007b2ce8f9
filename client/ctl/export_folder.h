// Writes exported files below one folder, whatever names the server sends.
#ifndef CREDBROKER_CLIENT_CTL_EXPORT_FOLDER_H_
#define CREDBROKER_CLIENT_CTL_EXPORT_FOLDER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace credbroker::ctl {

// OK for a path below a folder: parts joined by "/", none empty, ".", ".." or beginning with a dot,
// printable, at most 512 bytes. INVALID_ARGUMENT else.
absl::Status CheckExportPath(absl::string_view relative);

// Not thread-safe.
class ExportFolder {
 public:
  // Makes the folder (0700) if it is not there.
  static absl::StatusOr<ExportFolder> Open(const std::string& path);
  ExportFolder(ExportFolder&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  ExportFolder& operator=(ExportFolder&&) = delete;
  ~ExportFolder();

  // Writes a file (0600) at once or not at all: a temporary file, synced, then renamed. Links are
  // never followed below the folder. ALREADY_EXISTS unless `force`.
  absl::Status Write(const std::string& relative, absl::string_view bytes, bool force);

 private:
  explicit ExportFolder(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_EXPORT_FOLDER_H_
