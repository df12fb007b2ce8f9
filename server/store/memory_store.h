// The store's in-memory twin, for tests and simulation: same contract, faults on demand.
//
// Thread-safety: every function may be called from any thread.
#ifndef CREDBROKER_SERVER_STORE_MEMORY_STORE_H_
#define CREDBROKER_SERVER_STORE_MEMORY_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/store/mutex.h"
#include "server/store/store.h"

namespace credbroker::store {

// What outlives a MemoryStore, as a file outlives a process: to simulate a crash, drop the store
// and open another one on the same disk.
class MemoryDisk {
 public:
  explicit MemoryDisk(absl::string_view store_id = "00000000000000000000000000000000")
      : store_id_(store_id) {}

 private:
  friend class MemoryStore;
  struct Cell {
    uint64_t version = 0;
    std::string value;
  };
  using Rows = std::map<std::pair<RowKind, std::string>, Cell>;

  const std::string store_id_;
  Mutex mutex_;
  Rows rows_ ABSL_GUARDED_BY(mutex_);
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
};

class MemoryStore : public Store {
 public:
  using CommitHook = std::function<void(absl::Span<const Write>)>;

  MemoryStore() : MemoryStore(std::make_shared<MemoryDisk>()) {}
  explicit MemoryStore(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}

  absl::string_view id() const override { return disk_->store_id_; }
  absl::StatusOr<Fence> TakeOwnership() override;
  absl::StatusOr<LoadReport> Load(absl::FunctionRef<absl::Status(Row)> visit) override;
  absl::Status Commit(absl::Span<const Write> writes, Fence fence) override;
  absl::StatusOr<std::vector<Row>> ReadPrefix(const PrefixQuery& query) override;
  StoreStats Stats() const override;

  // Faults. The next `count` commits answer `status` and change nothing.
  void FailNextCommits(int count, absl::Status status);
  // The next commit is applied and yet answers `status`, as when a reply is lost. A single-node
  // store never does this; a clustered one may.
  void FailNextCommitAfterApply(absl::Status status);
  // The next `count` calls of Load and ReadPrefix answer `status`.
  void FailNextReads(int count, absl::Status status);
  // Called by each Commit before it takes any lock; may block (a hang, latency) or crash a test's
  // process. nullptr removes it.
  void SetCommitHook(CommitHook hook);
  // Overwrites the stored bytes behind the contract's back. False: no such row.
  bool CorruptRow(RowKind kind, absl::string_view key, std::string value);

 private:
  absl::Status Check(const MemoryDisk::Rows& rows, absl::Span<const Write> writes) const;
  absl::Status Apply(absl::Span<const Write> writes, Fence fence);
  absl::Status TakeReadFault();

  const std::shared_ptr<MemoryDisk> disk_;

  mutable Mutex mutex_;  // taken before disk_->mutex_, never after
  CommitHook hook_ ABSL_GUARDED_BY(mutex_);
  int commit_faults_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status commit_fault_ ABSL_GUARDED_BY(mutex_);
  absl::Status after_apply_fault_ ABSL_GUARDED_BY(mutex_);
  int read_faults_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status read_fault_ ABSL_GUARDED_BY(mutex_);
  StoreStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_MEMORY_STORE_H_
