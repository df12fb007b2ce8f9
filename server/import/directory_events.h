// inotify over a tree of directories. Thread-compatible, but Wake() may come from any thread.
#ifndef CREDBROKER_SERVER_IMPORT_DIRECTORY_EVENTS_H_
#define CREDBROKER_SERVER_IMPORT_DIRECTORY_EVENTS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace credbroker::import {

struct DirectoryEvents {
  std::set<std::string> touched;  // files below the root: written, renamed to, or new attributes
  bool structure = false;         // something was removed, or a directory changed: list again
  bool overflow = false;          // events were lost: list again
  bool any() const { return structure || overflow || !touched.empty(); }
};

class DirectoryWatch {
 public:
  DirectoryWatch();
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  // Watches exactly `directories` below `root` ("" is the root). False: not all of them could be
  // watched, so that only walks see all changes.
  bool Follow(const std::string& root, const std::vector<std::string>& directories);
  // Waits for events, for Wake() or until `patience` is over.
  DirectoryEvents Wait(absl::Duration patience);
  void Wake();

 private:
  void Read(DirectoryEvents& events);

  int inotify_ = -1;
  int wake_ = -1;
  absl::flat_hash_map<int, std::string> names_;  // of watch descriptors
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_DIRECTORY_EVENTS_H_
