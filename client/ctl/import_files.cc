#include "client/ctl/import_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/display.h"

namespace credbroker::ctl {
namespace {

namespace fs = std::filesystem;

std::string ProblemOf(const fs::path& path, const std::string& relative) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return "cannot be read";
  if (!fs::is_regular_file(status)) return "is not a regular file";
  const uintmax_t size = fs::file_size(path, error);
  if (error) return "cannot be read";
  if (size > static_cast<uintmax_t>(kMaxImportFile)) return "is larger than 64 MiB";
  if (relative.size() > kMaxImportPath) return "its path is longer than 240 bytes";
  // Control characters and bytes that are not UTF-8 cannot be part of an id.
  if (Printable(relative) != relative) return "its path has characters an id may not have";
  return "";
}

void Add(const fs::path& path, const std::string& relative, FoundFiles* found) {
  found->files.push_back({path.string(), relative, ProblemOf(path, relative)});
}

absl::Status Scan(const fs::path& folder, const std::string& below, bool key_lists,
                  FoundFiles* found) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) {
    if (below.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", folder.string(), "' cannot be read: ", error.message()));
    }
    found->files.push_back({folder.string(), below, "the folder cannot be read"});
    return absl::OkStatus();
  }
  for (; entries != fs::directory_iterator(); entries.increment(error)) {
    if (error) break;
    const std::string name = entries->path().filename().string();
    const std::string relative = below.empty() ? name : absl::StrCat(below, "/", name);
    std::error_code ignored;
    if (entries->is_symlink(ignored) && fs::is_directory(entries->path(), ignored)) continue;
    const bool skipped = absl::StartsWith(name, ".") || absl::EndsWith(name, ".cds");
    if (!skipped && entries->is_directory(ignored)) {
      if (absl::Status s = Scan(entries->path(), relative, key_lists, found); !s.ok()) return s;
    } else if (!skipped && (key_lists || absl::EndsWith(name, ".json"))) {
      Add(entries->path(), relative, found);
    } else {
      ++found->ignored;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FoundFiles> FindImportFiles(const std::string& path, bool key_lists) {
  FoundFiles found;
  if (path == "-") {
    found.files.push_back({"-", key_lists ? "stdin" : "stdin.json", ""});
    return found;
  }
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return absl::InvalidArgumentError(absl::StrCat("PATH: '", path, "' does not exist"));
  }
  if (fs::is_directory(status)) {
    if (absl::Status s = Scan(path, "", key_lists, &found); !s.ok()) return s;
  } else {
    Add(path, fs::path(path).filename().string(), &found);
  }
  std::sort(found.files.begin(), found.files.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.relative < b.relative; });
  return found;
}

}  // namespace credbroker::ctl
