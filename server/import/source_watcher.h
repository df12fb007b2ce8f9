// Follows a directory of credential files: inotify where it works, a periodic walk where it does
// not. Never writes into the directory.
//
// A change is looked at when the directory was quiet for `debounce`. A file that is no whole JSON
// text is taken for half-written and read again; only when it stays broken and untouched for
// `broken_after` it is handed on, to be rejected with its reason.
//
// Thread-safe. The watcher runs one thread from Start to Stop; `apply` is called on it.
#ifndef CREDBROKER_SERVER_IMPORT_SOURCE_WATCHER_H_
#define CREDBROKER_SERVER_IMPORT_SOURCE_WATCHER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/import/import_types.h"
#include "server/import/importer.h"

namespace credbroker::import {

struct WatchOptions {
  std::string root;  // a directory or one file
  SourceOptions source;
  bool follow = true;  // false: read once, then end
  absl::Duration debounce = absl::Milliseconds(500);
  absl::Duration rescan_interval = absl::Minutes(10);
  absl::Duration broken_after = absl::Seconds(5);
  size_t chunk_files = 1000;  // read and applied at once: bounds the secrets in memory
  // Importer::Apply, as a rule.
  std::function<absl::StatusOr<ImportReport>(Scan)> apply;
  // WatchStatus.error is another one now, or gone: for the log. On the watcher's thread; may be
  // empty.
  std::function<void(absl::string_view)> on_problem;
};

struct WatchStatus {
  uint64_t scans = 0;                // full ones that ended
  uint64_t updates = 0;              // looks at single files
  uint64_t overflows = 0;            // of the kernel's queue; each makes a full scan
  size_t files = 0;                  // there at the last full scan
  std::vector<std::string> pending;  // half-written files, at most 16 named
  std::string error;                 // why the last scan failed or is incomplete; empty: fine
  bool removals_held_back = false;   // too much is missing: nothing is retired
};

class SourceWatcher {
 public:
  explicit SourceWatcher(WatchOptions options);
  ~SourceWatcher();  // Stop()
  SourceWatcher(const SourceWatcher&) = delete;
  SourceWatcher& operator=(const SourceWatcher&) = delete;

  // Once. Returns before the first scan.
  void Start();
  // Waits for an apply that is under way. May be called again.
  void Stop();
  // A full scan now, whatever the timers say.
  void Rescan();
  WatchStatus status() const;
  // Waits until `done` holds for the status, looking after each step of the watcher. False: not
  // within `patience`.
  bool WaitUntil(const std::function<bool(const WatchStatus&)>& done, absl::Duration patience);

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_SOURCE_WATCHER_H_
