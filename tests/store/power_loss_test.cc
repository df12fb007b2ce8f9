// Promise: a power loss loses no acknowledged commit and leaves no half one. CREDBROKER_IMAGES sets
// the number of disk images (100 in CI).
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/store/sqlite_store.h"
#include "tests/store/numbered_commits.h"
#include "tests/store/power_loss_disk.h"
#include "tests/store/scratch_folder.h"
#include "tests/store/shim_vfs.h"

namespace credbroker::store {
namespace {

constexpr size_t kMaxValue = 6'000;
constexpr uint64_t kDataSeed = 7;
constexpr uint64_t kCommitsPerRun = 25;

int ImagesWanted() {
  const char* wanted = std::getenv("CREDBROKER_IMAGES");
  return wanted == nullptr ? 100 : std::atoi(wanted);
}

void Restore(const ScratchFolder& folder, const DiskImage& image) {
  for (const auto& [name, content] : image) {
    std::ofstream(folder / name, std::ios::binary) << content;
  }
}

struct Tally {
  int images = 0;
  int lost = 0;     // an acknowledged commit is not there
  int damaged = 0;  // unreadable, or a half commit
  uint64_t in_flight_found = 0;
  std::string first_failure;
};

struct Crash {
  DiskImage image;
  uint64_t commits = 0;  // found in it
};

class Experiment {
 public:
  explicit Experiment(bool with_sync) : with_sync_(with_sync) {}

  Tally Run(int images) {
    std::optional<Crash> start;
    for (uint64_t seed = 1; tally_.images < images; ++seed) {
      // Every other run goes on from what a crash left, as a restarted machine does.
      if (seed % 2 == 1) start = std::nullopt;
      start = RunOnce(seed, start, images);
    }
    return tally_;
  }

 private:
  // Opens a store, commits, closes; takes images on the way. Returns one that was sound.
  std::optional<Crash> RunOnce(uint64_t seed, const std::optional<Crash>& start, int images) {
    ScratchFolder folder;
    std::mt19937_64 random(seed);
    PowerLossDisk disk(seed);
    ShimVfs vfs("power-loss", disk);
    if (start.has_value()) Restore(folder, start->image);
    disk.Begin(start.has_value() ? start->image : DiskImage{{"store.db", ""}});
    const uint64_t before = start.has_value() ? start->commits : 0;
    uint64_t acknowledged = before;
    std::optional<Crash> sound;
    disk.SetOnChange([&](uint64_t) {
      if (random() % 97 != 0 || tally_.images >= images) return;
      DiskImage image = disk.Fail();
      std::optional<uint64_t> commits = Check(image, seed, acknowledged);
      if (commits.has_value()) sound = Crash{std::move(image), *commits};
    });
    SqliteOptions options{.path = folder / "store.db", .vfs = vfs.name()};
    options.unsafe_without_sync = !with_sync_;
    options.checkpoint_pages = 1 + static_cast<int>(random() % 200);
    absl::StatusOr<std::unique_ptr<Store>> store = OpenSqliteStore(options);
    if (!store.ok()) abort();
    const Fence fence = (*store)->TakeOwnership().value();
    for (uint64_t n = before + 1; n <= before + kCommitsPerRun; ++n) {
      if (!(*store)->Commit(NumberedCommit(kDataSeed, n, kMaxValue), fence).ok()) abort();
      acknowledged = n;
    }
    store->reset();  // the last checkpoint and the removal of the WAL are changes too
    return sound;
  }

  // The commits in the image if it is as promised.
  std::optional<uint64_t> Check(const DiskImage& image, uint64_t seed, uint64_t acknowledged) {
    ++tally_.images;
    ScratchFolder folder;
    Restore(folder, image);
    absl::StatusOr<uint64_t> commits = CommitsAfterReopen(folder / "store.db");
    std::string failure;
    if (!commits.ok()) {
      ++tally_.damaged;
      failure = commits.status().ToString();
    } else if (*commits < acknowledged) {
      ++tally_.lost;
      failure = absl::StrCat(acknowledged, " acknowledged, ", *commits, " found");
    } else if (*commits > acknowledged + 1) {
      ++tally_.damaged;
      failure = absl::StrCat(acknowledged, " acknowledged, yet ", *commits, " found");
    } else {
      tally_.in_flight_found += *commits - acknowledged;
      return *commits;
    }
    if (tally_.first_failure.empty()) {
      tally_.first_failure = absl::StrCat("seed ", seed, ": ", failure);
    }
    return std::nullopt;
  }

  static absl::StatusOr<uint64_t> CommitsAfterReopen(const std::string& path) {
    absl::StatusOr<std::unique_ptr<Store>> store = OpenSqliteStore({.path = path});
    if (!store.ok()) return store.status();
    absl::StatusOr<uint64_t> commits = CommitsIn(**store, kDataSeed, kMaxValue);
    if (!commits.ok()) return commits.status();
    // It must be writable too.
    absl::StatusOr<Fence> fence = (*store)->TakeOwnership();
    if (!fence.ok()) return fence.status();
    absl::Status next =
        (*store)->Commit(NumberedCommit(kDataSeed, *commits + 1, kMaxValue), *fence);
    if (!next.ok()) return next;
    return *commits;
  }

  const bool with_sync_;
  Tally tally_;
};

void Report(const char* what, const Tally& tally) {
  std::printf(
      "[ figures  ] %s: %d images, %d lost a commit, %d damaged, %d held the commit in "
      "flight\n",
      what, tally.images, tally.lost, tally.damaged, static_cast<int>(tally.in_flight_found));
}

TEST(PowerLoss, LosesNoAcknowledgedCommitAndLeavesNoHalfOne) {
  const int images = ImagesWanted();
  const Tally tally = Experiment(/*with_sync=*/true).Run(images);
  Report("synced", tally);
  EXPECT_EQ(tally.images, images);
  EXPECT_EQ(tally.lost, 0) << tally.first_failure;
  EXPECT_EQ(tally.damaged, 0) << tally.first_failure;
  // Else the images were all taken between commits and prove little.
  EXPECT_GT(tally.in_flight_found, 0u);
}

TEST(PowerLoss, FindsTheLossWhenNothingIsSynced) {
  const Tally tally = Experiment(/*with_sync=*/false).Run(60);
  Report("synchronous=OFF", tally);
  EXPECT_GT(tally.lost, 0);
  EXPECT_GT(tally.damaged, 0);
}

}  // namespace
}  // namespace credbroker::store
