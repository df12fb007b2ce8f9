// A disk that is full, broken or slow on demand.
//
// Thread-safety: every function may be called from any thread.
#ifndef CREDBROKER_TESTS_STORE_FAULTY_DISK_H_
#define CREDBROKER_TESTS_STORE_FAULTY_DISK_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "tests/store/shim_vfs.h"

namespace credbroker::store {

class FaultyDisk : public DiskObserver {
 public:
  // From the `after`-th write on, every write fails with `code` until Heal.
  void FailWrites(int code, int after = 0) {
    writes_left_ = after;
    write_error_ = code;
  }
  // The next `count` syncs fail with `code`; the data was written, as with a real fsync that fails.
  void FailSyncs(int code, int count) {
    sync_error_ = code;
    syncs_to_fail_ = count;
  }
  void Heal() {
    write_error_ = SQLITE_OK;
    syncs_to_fail_ = 0;
  }
  // Writes refused so far.
  int refused_writes() const { return refused_writes_; }

  // Every sync hangs until Release.
  void Hang() {
    std::lock_guard<std::mutex> lock(mutex_);
    hanging_ = true;
  }
  void AwaitHungSync() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return hung_; });
  }
  void Release() {
    std::lock_guard<std::mutex> lock(mutex_);
    hanging_ = false;
    changed_.notify_all();
  }

  int OnWrite(const std::string&, absl::string_view, int64_t) override { return WriteError(); }
  int OnTruncate(const std::string&, int64_t) override { return SQLITE_OK; }
  int OnSync(const std::string&) override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (hanging_) {
      hung_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !hanging_; });
    }
    if (syncs_to_fail_ == 0) return SQLITE_OK;
    --syncs_to_fail_;
    return sync_error_;
  }

 private:
  int WriteError() {
    if (write_error_ == SQLITE_OK) return SQLITE_OK;
    if (writes_left_ > 0) {
      --writes_left_;
      return SQLITE_OK;
    }
    ++refused_writes_;
    return write_error_;
  }

  std::atomic<int> write_error_ = SQLITE_OK;
  std::atomic<int> writes_left_ = 0;
  std::atomic<int> refused_writes_ = 0;
  std::atomic<int> sync_error_ = SQLITE_OK;
  std::atomic<int> syncs_to_fail_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool hanging_ = false;  // guarded by mutex_
  bool hung_ = false;     // guarded by mutex_
};

}  // namespace credbroker::store

#endif  // CREDBROKER_TESTS_STORE_FAULTY_DISK_H_
