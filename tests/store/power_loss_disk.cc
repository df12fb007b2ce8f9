#include "tests/store/power_loss_disk.h"

#include <algorithm>
#include <utility>

namespace credbroker::store {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

void PowerLossDisk::Begin(const DiskImage& image) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  files_.clear();
  for (const auto& [name, content] : image) {
    files_[name].durable = content;
    files_[name].entry_durable = true;
  }
}

void PowerLossDisk::Tick() {
  if (on_change_) on_change_(changes_);
  ++changes_;
}

void PowerLossDisk::OnOpen(const std::string& path, bool created) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  File& file = files_[NameOf(path)];
  // A file of that name that was removed without a sync of the folder is now another file; that
  // its old content might come back under a new file's first bytes is left to the next sync.
  if (created && file.deleted) file = File();
}

int PowerLossDisk::OnWrite(const std::string& path, absl::string_view data, int64_t offset) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  Tick();
  files_[NameOf(path)].pending.push_back({false, offset, std::string(data)});
  return SQLITE_OK;
}

int PowerLossDisk::OnTruncate(const std::string& path, int64_t size) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  Tick();
  files_[NameOf(path)].pending.push_back({true, size, ""});
  return SQLITE_OK;
}

int PowerLossDisk::OnSync(const std::string& path) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  Tick();  // before: the power may fail while the sync is under way
  File& file = files_[NameOf(path)];
  for (const Change& change : file.pending) Apply(change, file.durable);
  file.pending.clear();
  file.entry_durable = true;
  return SQLITE_OK;
}

void PowerLossDisk::OnDelete(const std::string& path, bool synced) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  Tick();
  if (synced) {
    files_.erase(NameOf(path));
  } else {
    files_[NameOf(path)].deleted = true;
  }
}

void PowerLossDisk::Apply(const Change& change, std::string& content) {
  const size_t offset = static_cast<size_t>(change.offset);
  if (change.truncate) {
    content.resize(std::min(content.size(), offset));
    return;
  }
  if (content.size() < offset + change.data.size()) content.resize(offset + change.data.size());
  content.replace(offset, change.data.size(), change.data);
}

DiskImage PowerLossDisk::Fail() {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  DiskImage image;
  // Some disks had written nearly everything, some nearly nothing; each piece is on its own, so a
  // later change may survive an earlier one, and a page may be half old and half new.
  const double kept_choices[] = {0.0, 0.05, 0.5, 0.95, 1.0};
  for (const auto& [name, file] : files_) {
    const double kept = kept_choices[random_() % 5];
    if (file.deleted && Chance(0.5)) continue;
    if (!file.entry_durable && Chance(0.3)) continue;
    std::string content = file.durable;
    for (const Change& change : file.pending) {
      if (change.truncate) {
        if (Chance(kept)) Apply(change, content);
        continue;
      }
      const int64_t end = change.offset + static_cast<int64_t>(change.data.size());
      for (int64_t at = change.offset; at < end;) {
        const int64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
        const size_t from = static_cast<size_t>(at - change.offset);
        if (Chance(kept)) {
          Apply({false, at, change.data.substr(from, static_cast<size_t>(next - at))}, content);
        }
        at = next;
      }
    }
    image[name] = std::move(content);
  }
  return image;
}

}  // namespace credbroker::store
