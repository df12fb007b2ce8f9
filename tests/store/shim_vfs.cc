#include "tests/store/shim_vfs.h"

#include <unistd.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace credbroker::store {
namespace {

sqlite3_vfs* Real() { return sqlite3_vfs_find("unix"); }

DiskObserver& ObserverOf(sqlite3_vfs* vfs) { return *static_cast<DiskObserver*>(vfs->pAppData); }

// SQLite allocates szOsFile bytes for it; the real file follows it in memory.
struct ShimFile {
  sqlite3_file base;
  DiskObserver* observer;
  std::string* path;

  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

ShimFile* Shim(sqlite3_file* file) { return reinterpret_cast<ShimFile*>(file); }

sqlite3_file* RealOf(sqlite3_file* file) { return Shim(file)->real(); }

int Close(sqlite3_file* file) {
  const int code = RealOf(file)->pMethods->xClose(RealOf(file));
  delete std::exchange(Shim(file)->path, nullptr);
  return code;
}

int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  const absl::string_view bytes(static_cast<const char*>(data), static_cast<size_t>(size));
  const int code = Shim(file)->observer->OnWrite(*Shim(file)->path, bytes, offset);
  if (code != SQLITE_OK) return code;
  return RealOf(file)->pMethods->xWrite(RealOf(file), data, size, offset);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  const int code = Shim(file)->observer->OnTruncate(*Shim(file)->path, size);
  if (code != SQLITE_OK) return code;
  return RealOf(file)->pMethods->xTruncate(RealOf(file), size);
}

// The real fsync is left out: what survives is the observer's business, and tests run faster.
int Sync(sqlite3_file* file, int /*flags*/) {
  return Shim(file)->observer->OnSync(*Shim(file)->path);
}

const sqlite3_io_methods* Methods() {
  static const sqlite3_io_methods methods = {
      .iVersion = 2,  // shared memory, no memory mapping
      .xClose = Close,
      .xRead =
          [](sqlite3_file* f, void* data, int size, sqlite3_int64 at) {
            return RealOf(f)->pMethods->xRead(RealOf(f), data, size, at);
          },
      .xWrite = Write,
      .xTruncate = Truncate,
      .xSync = Sync,
      .xFileSize =
          [](sqlite3_file* f, sqlite3_int64* size) {
            return RealOf(f)->pMethods->xFileSize(RealOf(f), size);
          },
      .xLock = [](sqlite3_file* f,
                  int lock) { return RealOf(f)->pMethods->xLock(RealOf(f), lock); },
      .xUnlock = [](sqlite3_file* f,
                    int lock) { return RealOf(f)->pMethods->xUnlock(RealOf(f), lock); },
      .xCheckReservedLock =
          [](sqlite3_file* f, int* out) {
            return RealOf(f)->pMethods->xCheckReservedLock(RealOf(f), out);
          },
      .xFileControl =
          [](sqlite3_file* f, int op, void* argument) {
            return RealOf(f)->pMethods->xFileControl(RealOf(f), op, argument);
          },
      .xSectorSize = [](sqlite3_file* f) { return RealOf(f)->pMethods->xSectorSize(RealOf(f)); },
      .xDeviceCharacteristics =
          [](sqlite3_file* f) { return RealOf(f)->pMethods->xDeviceCharacteristics(RealOf(f)); },
      .xShmMap =
          [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
            return RealOf(f)->pMethods->xShmMap(RealOf(f), page, size, extend, out);
          },
      .xShmLock =
          [](sqlite3_file* f, int offset, int n, int flags) {
            return RealOf(f)->pMethods->xShmLock(RealOf(f), offset, n, flags);
          },
      .xShmBarrier = [](sqlite3_file* f) { RealOf(f)->pMethods->xShmBarrier(RealOf(f)); },
      .xShmUnmap = [](sqlite3_file* f,
                      int remove) { return RealOf(f)->pMethods->xShmUnmap(RealOf(f), remove); },
      .xFetch = nullptr,
      .xUnfetch = nullptr,
  };
  return &methods;
}

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  ShimFile* shim = Shim(file);
  shim->base.pMethods = nullptr;
  shim->observer = &ObserverOf(vfs);
  const bool created = name != nullptr && access(name, F_OK) != 0;
  const int code = Real()->xOpen(Real(), name, shim->real(), flags, out_flags);
  if (code != SQLITE_OK) return code;
  shim->path = new std::string(name == nullptr ? "" : name);
  shim->base.pMethods = Methods();
  shim->observer->OnOpen(*shim->path, created);
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  if (access(name, F_OK) == 0) ObserverOf(vfs).OnDelete(name, sync_folder != 0);
  return Real()->xDelete(Real(), name, 0);
}

}  // namespace

ShimVfs::ShimVfs(std::string name, DiskObserver& observer) : name_(std::move(name)) {
  vfs_ = *Real();  // everything that concerns no file of ours stays the real one's
  vfs_.szOsFile = static_cast<int>(sizeof(ShimFile)) + Real()->szOsFile;
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = &observer;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  // The real VFS finds its own data through the pointer it is given, which must be its own.
  vfs_.xAccess = [](sqlite3_vfs*, const char* path, int flags, int* out) {
    return Real()->xAccess(Real(), path, flags, out);
  };
  vfs_.xFullPathname = [](sqlite3_vfs*, const char* path, int size, char* out) {
    return Real()->xFullPathname(Real(), path, size, out);
  };
  if (sqlite3_vfs_register(&vfs_, 0) != SQLITE_OK) abort();
}

ShimVfs::~ShimVfs() { sqlite3_vfs_unregister(&vfs_); }

}  // namespace credbroker::store
