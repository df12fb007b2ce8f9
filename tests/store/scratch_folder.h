// A folder that dies with its owner. In memory where the machine has such a file system: tests
// that reopen thousands of files measure nothing of a disk.
#ifndef CREDBROKER_TESTS_STORE_SCRATCH_FOLDER_H_
#define CREDBROKER_TESTS_STORE_SCRATCH_FOLDER_H_

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace credbroker::store {

class ScratchFolder {
 public:
  ScratchFolder() {
    const std::filesystem::path root =
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path();
    std::string folder = root / "credbroker-test.XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) abort();
    path_ = folder;
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_TESTS_STORE_SCRATCH_FOLDER_H_
