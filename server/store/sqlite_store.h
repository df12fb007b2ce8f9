// The embedded store: one SQLite file in WAL mode, one process, one writer connection.
//
// Files, all 0600: PATH, PATH-wal, PATH-shm, PATH.lock, which names the process that holds the
// store, and PATH.id, a second copy of the store's id. A damaged file is kept as PATH.damaged-TIME
// (sqlite_salvage.h). PATH must be on a local file system. Do not open PATH with another program
// while the server runs: SQLite 3.40 may corrupt a WAL that two connections reset.
//
// Thread-safety: as Store states.
#ifndef CREDBROKER_SERVER_STORE_SQLITE_STORE_H_
#define CREDBROKER_SERVER_STORE_SQLITE_STORE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/store/store.h"

namespace credbroker::store {

// Places inside Commit where a crash test may end the process.
enum class CommitPoint { kBeforeBegin, kAfterBegin, kBeforeCommit, kAfterCommit };

struct SqliteOptions {
  std::string path;
  // How long a call waits for a lock somebody else's program holds on the file.
  absl::Duration busy_timeout = absl::Seconds(2);
  // The WAL is copied back into the file by the commit that makes it longer than this many pages
  // of 4 KiB.
  int checkpoint_pages = 1000;

  // For tests. A SQLite VFS by name, empty: the default one.
  std::string vfs;
  // For tests. Called on the committing thread.
  std::function<void(CommitPoint)> at_point;
  // For tests and benchmarks: PRAGMA synchronous=OFF. Loses acknowledged commits on power loss.
  bool unsafe_without_sync = false;
};

// Opens the store, creating it if there is no file, migrating it if it is older.
//   kFailedPrecondition  another process holds it (the message says which), it was last used by a
//                        newer version, or the file is not a credbroker store
//   kDataLoss            so damaged that no row of it can be read, or nothing says which store it
//   was kUnavailable, kResourceExhausted  as Store::Commit
// Damage that leaves rows readable does not stop it: they are saved into a new file, the damaged
// one is kept beside it, and Load reports it.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(SqliteOptions options);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_SQLITE_STORE_H_
