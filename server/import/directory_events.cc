#include "server/import/directory_events.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace credbroker::import {
namespace {

constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE |
                             IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
                             IN_ONLYDIR;

}  // namespace

DirectoryWatch::DirectoryWatch()
    : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

DirectoryWatch::~DirectoryWatch() {
  if (inotify_ >= 0) close(inotify_);
  if (wake_ >= 0) close(wake_);
}

bool DirectoryWatch::Follow(const std::string& root, const std::vector<std::string>& directories) {
  if (inotify_ < 0) return false;
  bool all = true;
  absl::flat_hash_map<int, std::string> names;
  for (const std::string& directory : directories) {
    const std::string path = directory.empty() ? root : absl::StrCat(root, "/", directory);
    const int watch = inotify_add_watch(inotify_, path.c_str(), kEvents);
    if (watch < 0) {
      all = false;
    } else {
      names[watch] = directory;
    }
  }
  for (const auto& [watch, name] : names_) {
    if (!names.contains(watch)) inotify_rm_watch(inotify_, watch);
  }
  names_ = std::move(names);
  return all;
}

DirectoryEvents DirectoryWatch::Wait(absl::Duration patience) {
  pollfd waits[2] = {{.fd = inotify_, .events = POLLIN, .revents = 0},
                     {.fd = wake_, .events = POLLIN, .revents = 0}};
  const absl::Duration whole =
      absl::Ceil(std::max(patience, absl::ZeroDuration()), absl::Milliseconds(1));
  const int64_t ms = std::min<int64_t>(absl::ToInt64Milliseconds(whole), 3'600'000);
  poll(waits, 2, static_cast<int>(ms));
  uint64_t woken = 0;
  [[maybe_unused]] const ssize_t got = read(wake_, &woken, sizeof(woken));
  DirectoryEvents events;
  if (inotify_ >= 0) Read(events);
  return events;
}

void DirectoryWatch::Read(DirectoryEvents& events) {
  alignas(inotify_event) char buffer[16 << 10];
  while (true) {
    const ssize_t got = read(inotify_, buffer, sizeof(buffer));
    if (got <= 0) return;
    for (const char* at = buffer; at < buffer + got;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof(event));
      const std::string name = event.len > 0 ? std::string(at + sizeof(event)) : std::string();
      at += sizeof(event) + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        events.overflow = true;
        continue;
      }
      const auto directory = names_.find(event.wd);
      if ((event.mask & IN_IGNORED) != 0 || directory == names_.end()) continue;
      const bool lists =
          (event.mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ISDIR)) !=
          0;
      // Names with two dots are how mounted secrets swap all files at once.
      if (lists || name.starts_with("..")) {
        events.structure = true;
      } else if (!name.empty() && name[0] != '.') {
        events.touched.insert(
            directory->second.empty() ? name : absl::StrCat(directory->second, "/", name));
      }
    }
  }
}

void DirectoryWatch::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(wake_, &one, sizeof(one));
}

}  // namespace credbroker::import
