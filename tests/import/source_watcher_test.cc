#include "server/import/source_watcher.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/mutex.h"

namespace credbroker::import {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(30);

class SourceWatcherTest : public ::testing::Test {
 protected:
  SourceWatcherTest() {
    std::string form = fs::temp_directory_path() / "watch-XXXXXX";
    base_ = mkdtemp(form.data());
    root_ = base_ / "root";
    fs::create_directory(root_);
  }
  ~SourceWatcherTest() override {
    watcher_.reset();
    fs::remove_all(base_);
  }

  void Write(const fs::path& path, const std::string& text) { std::ofstream(root_ / path) << text; }

  void Start(absl::Duration broken_after = kPatience) {
    WatchOptions options;
    options.root = root_;
    options.source.name = std::string("s");
    options.debounce = absl::Milliseconds(20);
    options.broken_after = broken_after;
    options.apply = [this](Scan scan) -> absl::StatusOr<ImportReport> {
      engine::MutexLock lock(mutex_);
      if (scan.complete) present_ = {scan.present.begin(), scan.present.end()};
      for (const SourceFile& file : scan.files) {
        content_[file.path] = file.content;
        ++applied_[file.path];
      }
      return ImportReport();
    };
    watcher_ = std::make_unique<SourceWatcher>(std::move(options));
    watcher_->Start();
    ASSERT_TRUE(Wait([](const WatchStatus& s) { return s.scans > 0 || !s.error.empty(); }));
  }
  bool Wait(const std::function<bool(const WatchStatus&)>& done) {
    return watcher_->WaitUntil(done, kPatience);
  }
  bool WaitContent(const std::string& path, const std::string& text) {
    return Wait([&](const WatchStatus&) { return Content(path) == text; });
  }
  std::string Content(const std::string& path) {
    engine::MutexLock lock(mutex_);
    const auto at = content_.find(path);
    return at == content_.end() ? "" : at->second;
  }
  std::set<std::string> Present() {
    engine::MutexLock lock(mutex_);
    return present_;
  }
  int Applied(const std::string& path) {
    engine::MutexLock lock(mutex_);
    return applied_[path];
  }

  fs::path base_, root_;
  engine::Mutex mutex_;
  std::map<std::string, std::string> content_;
  std::map<std::string, int> applied_;
  std::set<std::string> present_;
  std::unique_ptr<SourceWatcher> watcher_;
};

TEST_F(SourceWatcherTest, ReadsWhatIsThereAndNothingElse) {
  fs::create_directories(root_ / "d/e");
  fs::create_directories(root_ / ".git");
  Write("a.json", "{}");
  Write("d/e/b.json", "[]");
  for (const char* other : {".hidden.json", "c.cds", "c.txt", ".git/x.json"}) Write(other, "{}");
  Start();
  EXPECT_THAT(Present(), ElementsAre("a.json", "d/e/b.json"));
  EXPECT_EQ(Content("d/e/b.json"), "[]");
}

TEST_F(SourceWatcherTest, FollowsWritesRenamesAndNewDirectories) {
  Start();
  Write("a.json", "{\"n\":1}");
  EXPECT_TRUE(WaitContent("a.json", "{\"n\":1}"));
  Write("a.json.tmp", "{\"n\":2}");
  fs::rename(root_ / "a.json.tmp", root_ / "a.json");
  EXPECT_TRUE(WaitContent("a.json", "{\"n\":2}"));
  fs::create_directories(root_ / "x/y");
  Write("x/y/b.json", "{\"n\":3}");
  EXPECT_TRUE(WaitContent("x/y/b.json", "{\"n\":3}"));
  Write("x/y/b.json", "{\"n\":4}");
  EXPECT_TRUE(WaitContent("x/y/b.json", "{\"n\":4}"));
}

TEST_F(SourceWatcherTest, SeesRemovalsInAFullScan) {
  Write("a.json", "{}");
  Write("b.json", "{}");
  Start();
  fs::remove(root_ / "a.json");
  EXPECT_TRUE(
      Wait([&](const WatchStatus&) { return Present() == std::set<std::string>{"b.json"}; }));
}

TEST_F(SourceWatcherTest, AHalfWrittenFileIsPendingUntilItIsWhole) {
  Write("a.json", "{\"n\":");
  Start();
  EXPECT_THAT(watcher_->status().pending, ElementsAre("a.json"));
  EXPECT_EQ(Applied("a.json"), 0);
  EXPECT_THAT(Present(), ElementsAre("a.json"));  // it is not gone
  Write("a.json", "{\"n\":1}");
  EXPECT_TRUE(WaitContent("a.json", "{\"n\":1}"));
  EXPECT_TRUE(Wait([](const WatchStatus& s) { return s.pending.empty(); }));
}

TEST_F(SourceWatcherTest, AFileThatStaysBrokenIsHandedOnOnce) {
  Write("a.json", "{\"n\":");
  Start(absl::Milliseconds(200));
  EXPECT_TRUE(WaitContent("a.json", "{\"n\":"));
  const uint64_t scans = watcher_->status().scans;
  watcher_->Rescan();
  EXPECT_TRUE(Wait([&](const WatchStatus& s) { return s.scans > scans; }));
  EXPECT_EQ(Applied("a.json"), 1);
}

TEST_F(SourceWatcherTest, ARescanReadsNothingThatWasNotTouched) {
  Write("a.json", "{}");
  Start();
  watcher_->Rescan();
  EXPECT_TRUE(Wait([](const WatchStatus& s) { return s.scans >= 2; }));
  EXPECT_EQ(Applied("a.json"), 1);
}

TEST_F(SourceWatcherTest, NoLinkLeadsOutOfTheRoot) {
  std::ofstream(base_ / "outside.json") << "{}";
  fs::create_directory(base_ / "dir");
  std::ofstream(base_ / "dir/x.json") << "{}";
  fs::create_symlink(base_ / "outside.json", root_ / "link.json");
  fs::create_directory_symlink(base_ / "dir", root_ / "linked");
  Start();
  EXPECT_THAT(Present(), IsEmpty());
}

TEST_F(SourceWatcherTest, FollowsAMountedSecret) {
  fs::create_directory(root_ / "..v1");
  Write("..v1/a.json", "{\"n\":1}");
  fs::create_directory_symlink("..v1", root_ / "..data");
  fs::create_symlink("..data/a.json", root_ / "a.json");
  Start();
  EXPECT_EQ(Content("a.json"), "{\"n\":1}");
  fs::create_directory(root_ / "..v2");
  Write("..v2/a.json", "{\"n\":2}");
  fs::create_directory_symlink("..v2", root_ / "..new");
  fs::rename(root_ / "..new", root_ / "..data");
  EXPECT_TRUE(WaitContent("a.json", "{\"n\":2}"));
}

TEST_F(SourceWatcherTest, AMissingRootIsAnErrorAndNoScan) {
  fs::remove(root_);
  Start();
  EXPECT_FALSE(watcher_->status().error.empty());
  EXPECT_EQ(watcher_->status().scans, 0u);
}

TEST_F(SourceWatcherTest, ASingleFileIsASource) {
  Write("a.json", "{}");
  Write("b.json", "{}");
  root_ = root_ / "a.json";
  Start();
  EXPECT_THAT(Present(), ElementsAre("a.json"));
  std::ofstream(root_) << "{\"n\":1}";
  EXPECT_TRUE(WaitContent("a.json", "{\"n\":1}"));
  EXPECT_EQ(Applied("b.json"), 0);
}

TEST_F(SourceWatcherTest, StopsAtOnceAndTwice) {
  Start();
  watcher_->Stop();
  watcher_->Stop();
}

}  // namespace
}  // namespace credbroker::import
