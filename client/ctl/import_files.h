// Finds the files of an import. Only reads; follows links to files, never to folders.
#ifndef CREDBROKER_CLIENT_CTL_IMPORT_FILES_H_
#define CREDBROKER_CLIENT_CTL_IMPORT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace credbroker::ctl {

// Limits of ImportFile.
inline constexpr int64_t kMaxImportFile = int64_t{64} << 20;
inline constexpr size_t kMaxImportPath = 240;

struct FoundFile {
  // Where it is here.
  std::string path;
  // Below the root, with "/".
  std::string relative;
  // Not empty: it is not sent, for this reason.
  std::string problem;
};

struct FoundFiles {
  // Sorted by relative path.
  std::vector<FoundFile> files;
  // Files that are not credential files by their name.
  int64_t ignored = 0;
};

// `path` is a file (any name) or a folder: there every `*.json`, with `key_lists` every file; never
// `.cds` files nor what is in dot-directories or begins with a dot. "-" is standard input, one
// file. INVALID_ARGUMENT if `path` does not exist or cannot be read.
absl::StatusOr<FoundFiles> FindImportFiles(const std::string& path, bool key_lists);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_IMPORT_FILES_H_
