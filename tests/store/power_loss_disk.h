// What a disk may hold after the power failed: every synced byte, and of the rest whatever the
// disk had got round to, in any order, sector by sector.
#ifndef CREDBROKER_TESTS_STORE_POWER_LOSS_DISK_H_
#define CREDBROKER_TESTS_STORE_POWER_LOSS_DISK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/store/shim_vfs.h"

namespace credbroker::store {

// Contents by file name, without the folder.
using DiskImage = std::map<std::string, std::string>;

class PowerLossDisk : public DiskObserver {
 public:
  static constexpr int64_t kSectorBytes = 512;

  explicit PowerLossDisk(uint64_t seed) : random_(seed) {}

  // The files as they are before the run, all durable.
  void Begin(const DiskImage& image);
  // Called before each change with the number of changes so far; takes images if it wishes.
  void SetOnChange(std::function<void(uint64_t)> on_change) { on_change_ = std::move(on_change); }
  // What the disk might hold if the power failed now.
  DiskImage Fail();

  void OnOpen(const std::string& path, bool created) override;
  int OnWrite(const std::string& path, absl::string_view data, int64_t offset) override;
  int OnTruncate(const std::string& path, int64_t size) override;
  int OnSync(const std::string& path) override;
  void OnDelete(const std::string& path, bool synced) override;

 private:
  struct Change {
    bool truncate = false;
    int64_t offset = 0;  // of the data, or the new size
    std::string data;
  };
  struct File {
    std::string durable;
    bool entry_durable = false;  // its name is safe on the disk
    bool deleted = false;        // but not durably
    std::vector<Change> pending;
  };
  static void Apply(const Change& change, std::string& content);
  void Tick();
  bool Chance(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }

  std::recursive_mutex mutex_;  // on_change_ calls Fail from inside a change
  std::mt19937_64 random_;
  std::function<void(uint64_t)> on_change_;
  uint64_t changes_ = 0;
  std::map<std::string, File> files_;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_TESTS_STORE_POWER_LOSS_DISK_H_
