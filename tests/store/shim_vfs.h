// A SQLite VFS between SQLite and the real files, for tests: an observer sees every change before
// it happens and may refuse it.
#ifndef CREDBROKER_TESTS_STORE_SHIM_VFS_H_
#define CREDBROKER_TESTS_STORE_SHIM_VFS_H_

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::store {

// Called on whatever thread SQLite runs on. Every function returns SQLITE_OK to let the change
// happen, or the error SQLite shall see instead. Shared-memory files are not observed.
class DiskObserver {
 public:
  virtual ~DiskObserver() = default;
  // `created`: the file was not there before.
  virtual void OnOpen(const std::string& /*path*/, bool /*created*/) {}
  virtual int OnWrite(const std::string& /*path*/, absl::string_view /*data*/, int64_t /*offset*/) {
    return SQLITE_OK;
  }
  virtual int OnTruncate(const std::string& /*path*/, int64_t /*size*/) { return SQLITE_OK; }
  virtual int OnSync(const std::string& /*path*/) { return SQLITE_OK; }
  // `synced`: the folder is synced afterwards, the deletion survives a power loss.
  virtual void OnDelete(const std::string& /*path*/, bool /*synced*/) {}
};

// Registers the VFS `name` while it lives. The observer must outlive every connection that uses it.
class ShimVfs {
 public:
  ShimVfs(std::string name, DiskObserver& observer);
  ~ShimVfs();
  ShimVfs(const ShimVfs&) = delete;
  ShimVfs& operator=(const ShimVfs&) = delete;

  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  sqlite3_vfs vfs_ = {};
};

}  // namespace credbroker::store

#endif  // CREDBROKER_TESTS_STORE_SHIM_VFS_H_
