#include "server/import/source_watcher.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "core/secret.h"
#include "server/engine/clock.h"
#include "server/engine/mutex.h"
#include "server/import/directory_events.h"
#include "server/import/source_tree.h"
#include "server/import/strict_json.h"

namespace credbroker::import {
namespace {

// A wall clock that is set back must not stop the looking for as long.
absl::Time Now() {
  static const engine::BootClock clock;
  return clock.Now();
}

constexpr absl::Duration kFirstRetry = absl::Milliseconds(50);
constexpr absl::Duration kLastRetry = absl::Seconds(1);
constexpr absl::Duration kAfterFailure = absl::Seconds(5);

}  // namespace

// Members without a guard belong to the thread.
class SourceWatcher::Thread {
 public:
  explicit Thread(WatchOptions options) : options_(std::move(options)) {}
  ~Thread() { Stop(); }

  void Start() {
    engine::MutexLock lock(mutex_);
    if (thread_.joinable() || stop_) return;
    thread_ = std::thread([this] { Run(); });
  }
  void Stop() {
    std::thread thread;
    {
      engine::MutexLock lock(mutex_);
      stop_ = true;
      std::swap(thread, thread_);
    }
    events_.Wake();
    changed_.NotifyAll();
    if (thread.joinable()) thread.join();
  }
  void Rescan() {
    {
      engine::MutexLock lock(mutex_);
      rescan_ = true;
    }
    events_.Wake();
  }
  WatchStatus status() const {
    engine::MutexLock lock(mutex_);
    return status_;
  }
  bool WaitUntil(const std::function<bool(const WatchStatus&)>& done, absl::Duration patience) {
    const absl::Time end = Now() + patience;
    engine::MutexLock lock(mutex_);
    while (!done(status_)) {
      const absl::Duration left = end - Now();
      if (left <= absl::ZeroDuration() || stop_) return false;
      changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(left));
    }
    return true;
  }

 private:
  // A file that is no whole text yet.
  struct Pending {
    uint64_t signature = 0;
    absl::Time since, next;
    absl::Duration pause = kFirstRetry;
  };

  void Run();
  bool stopping() const {
    engine::MutexLock lock(mutex_);
    return stop_;
  }
  bool TakeRescan() {
    engine::MutexLock lock(mutex_);
    return std::exchange(rescan_, false);
  }
  absl::Duration UntilNext() const;
  void FullScan();
  absl::Status ScanTree();
  // Reads and applies `paths` in chunks.
  absl::Status Update(const std::set<std::string>& paths);
  enum class Content { kReady, kPending, kGone };
  Content ReadOne(const std::string& path, Scan& scan,
                  std::vector<std::pair<size_t, uint64_t>>& read);
  absl::Status ApplyScan(Scan scan);
  void Publish(const absl::Status& status, bool full);
  void Describe(const absl::Status& status, bool full) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static size_t KeyOf(absl::string_view path) { return absl::HashOf(path); }

  const WatchOptions options_;
  DirectoryWatch events_;
  Tree tree_;
  // Path -> signature of what was applied, both as hashes: a large fleet has many paths.
  absl::flat_hash_map<size_t, uint64_t> applied_;
  std::map<std::string, Pending> pending_;
  std::set<std::string> dirty_;
  bool list_ = true;         // a full scan is due
  bool incomplete_ = false;  // not every directory can be followed
  bool held_back_ = false;
  absl::Time quiet_, latest_ = absl::InfiniteFuture();  // when changes are looked at
  absl::Time next_scan_ = absl::InfinitePast();

  mutable engine::Mutex mutex_;
  engine::CondVar changed_;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
  WatchStatus status_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool rescan_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::Duration SourceWatcher::Thread::UntilNext() const {
  absl::Time next = next_scan_;
  if (!dirty_.empty() || list_) next = std::min({next, quiet_, latest_});
  for (const auto& [path, pending] : pending_) next = std::min(next, pending.next);
  return next - Now();
}

void SourceWatcher::Thread::Run() {
  FullScan();
  while (!stopping() && (options_.follow || !pending_.empty())) {
    DirectoryEvents events = events_.Wait(UntilNext());
    if (stopping()) return;
    const absl::Time now = Now();
    if (TakeRescan()) next_scan_ = absl::InfinitePast();
    if (events.any()) {
      // A directory that never rests is looked at all the same.
      if (dirty_.empty() && !list_) latest_ = now + 10 * options_.debounce;
      quiet_ = now + options_.debounce;
      dirty_.merge(events.touched);
      list_ |= events.structure || events.overflow;
      if (events.overflow) {
        engine::MutexLock lock(mutex_);
        ++status_.overflows;
      }
    }
    const bool due = (!dirty_.empty() || list_) && (now >= quiet_ || now >= latest_);
    if (now >= next_scan_ || (due && list_)) {
      FullScan();
      continue;
    }
    std::set<std::string> paths;
    if (due) paths = std::exchange(dirty_, {});
    for (const auto& [path, pending] : pending_) {
      if (now >= pending.next) paths.insert(path);
    }
    if (paths.empty()) continue;
    const absl::Status status = Update(paths);
    if (!status.ok()) next_scan_ = std::min(next_scan_, Now() + kAfterFailure);
    Publish(status, /*full=*/false);
  }
}

void SourceWatcher::Thread::FullScan() {
  // What changes from here on is an event for the next look.
  list_ = false;
  dirty_.clear();
  const absl::Status status = ScanTree();
  const absl::Duration pause = status.ok() ? options_.rescan_interval : kAfterFailure;
  next_scan_ = Now() + std::min(pause, options_.rescan_interval);
  Publish(status, /*full=*/true);
}

absl::Status SourceWatcher::Thread::ScanTree() {
  absl::StatusOr<Tree> tree = ListTree(options_.root, options_.source.key_per_line);
  if (!tree.ok()) return tree.status();
  std::vector<std::string> directories = tree->directories;
  std::string root = tree->root;
  if (tree->single_file) {
    root = root.substr(0, root.rfind('/') + 1);
    directories = {""};
  }
  incomplete_ = options_.follow && !events_.Follow(root, directories);
  if (tree->directories != tree_.directories) {
    // What was written before its directory was followed made no event.
    tree = ListTree(options_.root, options_.source.key_per_line);
    if (!tree.ok()) return tree.status();
  }
  tree_ = *std::move(tree);

  Scan whole;
  whole.complete = true;
  whole.unreadable = tree_.unreadable;
  std::set<std::string> changed;
  absl::flat_hash_map<size_t, uint64_t> seen;
  seen.reserve(tree_.files.size());
  for (const TreeFile& file : tree_.files) {
    whole.present.push_back(file.path);
    const auto old = applied_.find(KeyOf(file.path));
    if (old != applied_.end()) seen.insert(*old);
    if (old == applied_.end() || old->second != file.signature) changed.insert(file.path);
  }
  applied_ = std::move(seen);
  std::erase_if(pending_, [&](const auto& each) { return !changed.contains(each.first); });
  {
    engine::MutexLock lock(mutex_);
    status_.files = tree_.files.size();
  }
  // Removals first: a file under a new name finds its login retired, not owned.
  if (absl::Status status = ApplyScan(std::move(whole)); !status.ok()) return status;
  return Update(changed);
}

SourceWatcher::Thread::Content SourceWatcher::Thread::ReadOne(
    const std::string& path, Scan& scan, std::vector<std::pair<size_t, uint64_t>>& read) {
  absl::StatusOr<FileText> text = ReadTreeFile(tree_, path);
  if (absl::IsNotFound(text.status())) {
    pending_.erase(path);
    return Content::kGone;
  }
  if (!text.ok()) {
    scan.failures.push_back({.path = path, .problem = std::string(text.status().message())});
    pending_.erase(path);
    return Content::kReady;
  }
  const bool whole = options_.source.key_per_line || Json::accept(text->content);
  if (!whole) {
    const absl::Time now = Now();
    Pending& pending = pending_[path];
    if (pending.signature != text->signature) {
      pending = {.signature = text->signature, .since = now, .next = now + kFirstRetry};
    } else {
      pending.pause = std::min(pending.pause * 2, kLastRetry);
      pending.next = std::min(now + pending.pause, pending.since + options_.broken_after);
    }
    if (now < pending.since + options_.broken_after) {
      core::WipeString(text->content);
      return Content::kPending;
    }
  }
  pending_.erase(path);
  read.emplace_back(KeyOf(path), text->signature);
  scan.files.push_back({.path = path, .content = std::move(text->content)});
  return Content::kReady;
}

absl::Status SourceWatcher::Thread::Update(const std::set<std::string>& paths) {
  auto next = paths.begin();
  while (next != paths.end()) {
    if (stopping()) return absl::CancelledError("stopping");
    Scan scan;
    std::vector<std::pair<size_t, uint64_t>> read;
    for (; next != paths.end() && scan.files.size() < options_.chunk_files; ++next) {
      if (!IsSourceFileName(next->substr(next->rfind('/') + 1), options_.source.key_per_line)) {
        continue;
      }
      if (tree_.single_file && *next != tree_.files.front().path) continue;
      if (ReadOne(*next, scan, read) == Content::kGone) {
        list_ = true;  // whether it is retired needs the whole directory
        quiet_ = Now() + options_.debounce;
      }
    }
    if (scan.files.empty() && scan.failures.empty()) continue;
    if (absl::Status status = ApplyScan(std::move(scan)); !status.ok()) return status;
    for (const auto& [key, signature] : read) applied_[key] = signature;
  }
  return absl::OkStatus();
}

absl::Status SourceWatcher::Thread::ApplyScan(Scan scan) {
  scan.source = options_.source;
  const bool complete = scan.complete;
  absl::StatusOr<ImportReport> report = options_.apply(std::move(scan));
  if (!report.ok()) return report.status();
  if (complete || report->removals_held_back) held_back_ = report->removals_held_back;
  return absl::OkStatus();
}

void SourceWatcher::Thread::Publish(const absl::Status& status, bool full) {
  std::string news;
  {
    engine::MutexLock lock(mutex_);
    const std::string before = status_.error;
    Describe(status, full);
    if (status_.error != before) news = status_.error.empty() ? "is read again" : status_.error;
    changed_.NotifyAll();
  }
  if (!news.empty() && options_.on_problem) options_.on_problem(news);
}

void SourceWatcher::Thread::Describe(const absl::Status& status, bool full) {
  if (full && status.ok()) ++status_.scans;
  if (!full) ++status_.updates;
  status_.removals_held_back = held_back_;
  status_.pending.clear();
  for (const auto& [path, pending] : pending_) {
    if (status_.pending.size() < 16) status_.pending.push_back(path);
  }
  if (!status.ok()) {
    status_.error = std::string(status.message());
  } else if (!tree_.unreadable.empty()) {
    status_.error = absl::StrCat(tree_.unreadable.size(),
                                 " directories cannot be read, first: ", tree_.unreadable.front());
  } else if (incomplete_) {
    status_.error =
        "not every directory can be followed (fs.inotify.max_user_watches); changes "
        "are seen at the next full scan";
  } else {
    status_.error.clear();
  }
}

SourceWatcher::SourceWatcher(WatchOptions options)
    : thread_(std::make_unique<Thread>(std::move(options))) {}
SourceWatcher::~SourceWatcher() { thread_->Stop(); }

void SourceWatcher::Start() { thread_->Start(); }
void SourceWatcher::Stop() { thread_->Stop(); }
void SourceWatcher::Rescan() { thread_->Rescan(); }
WatchStatus SourceWatcher::status() const { return thread_->status(); }
bool SourceWatcher::WaitUntil(const std::function<bool(const WatchStatus&)>& done,
                              absl::Duration patience) {
  return thread_->WaitUntil(done, patience);
}

}  // namespace credbroker::import
