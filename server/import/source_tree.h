// Lists and reads the files of a source. Nothing below the root is ever written, and no link leads
// out of it: directories behind links are not entered, a link to a file counts only while its
// target is inside the root (as in mounted Kubernetes secrets).
//
// Pure functions over the file system; thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_SOURCE_TREE_H_
#define CREDBROKER_SERVER_IMPORT_SOURCE_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace credbroker::import {

struct TreeFile {
  std::string path;        // below the root
  uint64_t signature = 0;  // of inode, size and times: equal for a file nobody touched
};

struct Tree {
  std::string root;                      // without links
  bool single_file = false;              // the source is a file, not a directory
  std::vector<TreeFile> files;           // by path
  std::vector<std::string> directories;  // below the root; "" is the root
  std::vector<std::string> unreadable;   // directories that could not be listed
};

// Whether a file of that name is looked at: no dot file, no .cds file; *.json, or any name where
// files are key lists.
bool IsSourceFileName(absl::string_view name, bool key_lists);

// NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE: the root itself.
absl::StatusOr<Tree> ListTree(const std::string& root, bool key_lists);

struct FileText {
  uint64_t signature = 0;
  std::string content;
};
// NOT_FOUND: it is gone, or leads out of the root. RESOURCE_EXHAUSTED: larger than a source file
// may be. UNAVAILABLE: cannot be read.
absl::StatusOr<FileText> ReadTreeFile(const Tree& tree, const std::string& path);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_SOURCE_TREE_H_
