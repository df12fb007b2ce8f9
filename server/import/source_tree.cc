#include "server/import/source_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/secret.h"
#include "server/import/import_types.h"

namespace credbroker::import {
namespace {

constexpr int kMaxDirectoryDepth = 32;

absl::Status Errno(absl::string_view what, int error) {
  const std::string text = absl::StrCat(what, ": ", absl::ErrnoToStatus(error, "").message());
  if (error == ENOENT || error == ENOTDIR || error == ELOOP) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

uint64_t Signature(const struct stat& st) {
  return absl::HashOf(st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                      st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

std::string RealPath(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  return real == nullptr ? std::string() : std::string(real.get());
}

// Where `path` really is; empty: nowhere, or outside of the root.
std::string Inside(const Tree& tree, const std::string& path) {
  if (tree.single_file) return tree.root;
  std::string real = RealPath(absl::StrCat(tree.root, "/", path));
  const std::string prefix = tree.root == "/" ? "/" : absl::StrCat(tree.root, "/");
  return absl::StartsWith(real, prefix) ? real : std::string();
}

void ListDirectory(const std::string& below, int depth, bool key_lists, Tree& tree) {
  const std::string full = below.empty() ? tree.root : absl::StrCat(tree.root, "/", below);
  const int fd = open(full.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR* const listing = fd < 0 ? nullptr : fdopendir(fd);
  if (listing == nullptr) {
    if (fd >= 0) close(fd);
    // Gone between its entry and now is not unreadable: it is gone.
    if (errno != ENOENT) tree.unreadable.push_back(below);
    return;
  }
  tree.directories.push_back(below);
  std::vector<std::string> inner;
  errno = 0;
  while (const dirent* entry = readdir(listing)) {
    const std::string name = entry->d_name;
    if (name[0] == '.') continue;
    const std::string path = below.empty() ? name : absl::StrCat(below, "/", name);
    struct stat st;
    if (fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(st.st_mode)) {
      inner.push_back(path);
    } else if (IsSourceFileName(name, key_lists)) {
      if (S_ISLNK(st.st_mode)) {
        const std::string real = Inside(tree, path);
        if (real.empty() || stat(real.c_str(), &st) != 0) continue;
      }
      if (S_ISREG(st.st_mode)) tree.files.push_back({.path = path, .signature = Signature(st)});
    }
    errno = 0;
  }
  if (errno != 0) tree.unreadable.push_back(below);
  closedir(listing);
  for (const std::string& each : inner) {
    if (depth >= kMaxDirectoryDepth) {
      tree.unreadable.push_back(each);
    } else {
      ListDirectory(each, depth + 1, key_lists, tree);
    }
  }
}

}  // namespace

bool IsSourceFileName(absl::string_view name, bool key_lists) {
  if (name.empty() || name[0] == '.' || absl::EndsWithIgnoreCase(name, ".cds")) return false;
  return key_lists ? !absl::EndsWith(name, "~") : absl::EndsWithIgnoreCase(name, ".json");
}

absl::StatusOr<Tree> ListTree(const std::string& root, bool key_lists) {
  Tree tree;
  tree.root = RealPath(root);
  struct stat st;
  if (tree.root.empty() || stat(tree.root.c_str(), &st) != 0) return Errno(root, errno);
  if (S_ISREG(st.st_mode)) {
    tree.single_file = true;
    tree.files.push_back(
        {.path = tree.root.substr(tree.root.rfind('/') + 1), .signature = Signature(st)});
    return tree;
  }
  if (!S_ISDIR(st.st_mode)) return absl::UnavailableError(absl::StrCat(root, ": is no directory"));
  if (access(tree.root.c_str(), R_OK | X_OK) != 0) return Errno(root, errno);
  ListDirectory("", 0, key_lists, tree);
  if (tree.directories.empty()) return absl::UnavailableError(absl::StrCat(root, ": unreadable"));
  std::sort(tree.files.begin(), tree.files.end(),
            [](const TreeFile& a, const TreeFile& b) { return a.path < b.path; });
  return tree;
}

absl::StatusOr<FileText> ReadTreeFile(const Tree& tree, const std::string& path) {
  const std::string real = Inside(tree, path);
  if (real.empty()) return absl::NotFoundError("is gone, or leads out of the source's directory");
  // Without O_NONBLOCK a pipe put there in this moment would hang the reader.
  const Descriptor file(open(real.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) return Errno("cannot be read", errno);
  struct stat st;
  if (fstat(file.get(), &st) != 0) return Errno("cannot be read", errno);
  if (!S_ISREG(st.st_mode)) return absl::NotFoundError("is no regular file");
  FileText text;
  text.signature = Signature(st);
  const size_t limit = kMaxFileBytes + 1;
  text.content.reserve(std::min(static_cast<size_t>(std::max<off_t>(st.st_size, 0)) + 1, limit));
  std::string block(64 << 10, '\0');
  while (text.content.size() < limit) {
    const ssize_t got = read(file.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("cannot be read", errno);
    if (got == 0) break;
    text.content.append(block.data(), static_cast<size_t>(got));
  }
  core::WipeString(block);
  if (text.content.size() >= limit) {
    core::WipeString(text.content);
    return absl::ResourceExhaustedError("is larger than 64 MiB; split it");
  }
  return text;
}

}  // namespace credbroker::import
