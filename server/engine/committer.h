// The one thread that makes things durable. It groups queued commands that touch distinct rows into
// one transaction, and writes health behind. It never holds the pool's lock across I/O.
//
// A group: Read (no lock) -> Prepare (lock, in steps) -> Build: render and seal (no lock) -> Commit
// (no lock) -> Install (lock, in steps) -> answers. A failed commit answers UNAVAILABLE and changed
// nothing.
//
// Thread-safety: Submit, HealthDirty, Drain, Stop and Stats may be called from any thread.
#ifndef CREDBROKER_SERVER_ENGINE_COMMITTER_H_
#define CREDBROKER_SERVER_ENGINE_COMMITTER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/engine/dirty.h"
#include "server/engine/engine.h"
#include "server/engine/mutex.h"
#include "server/engine/work.h"

namespace credbroker::engine {

// Where the committer takes what is dirty from, and puts it back.
class DirtySource {
 public:
  virtual ~DirtySource() = default;
  virtual Dirty TakeDirty() = 0;
  virtual void PutBackDirty(Dirty dirty) = 0;
};

class Committer {
 public:
  struct Options {
    absl::Duration health_delay = absl::Milliseconds(100);
    size_t max_queued = 4096;
    size_t max_group_rows = 32'768;  // a single larger command still goes, alone
    std::function<void(absl::Duration)> commit_delay;
    std::string server_version;
    absl::Time store_created;
  };

  // `context.pool`, store, sealer, ledger and next_uid outlive the committer.
  Committer(Options options, WorkContext context, store::Fence fence, DirtySource& dirty);
  ~Committer();  // stops at once, waits for a commit under way

  void Start();
  // Refuses at once with RESOURCE_EXHAUSTED (queue full) or UNAVAILABLE (stopped).
  void Submit(std::unique_ptr<Work> work);
  // Something became dirty: a flush will follow within the delay.
  void HealthDirty();
  // Until all that was submitted is answered and one flush was tried.
  void Drain();
  // Takes nothing more; finishes for at most `patience`, then refuses the rest.
  void Stop(absl::Duration patience);

  CommitterStats Stats() const;

 private:
  using Steady = std::chrono::steady_clock;
  struct Queued {
    std::unique_ptr<Work> work;
    Steady::time_point since;
    bool opened = false;
  };

  // Lets others at the pool's lock between two steps: std::mutex is not fair, and a thread that
  // unlocks and locks again at once usually wins.
  static void LetOthersIn();
  void Run();
  bool WaitForWork();
  void ProcessPending();
  std::vector<Queued> TakeGroup();
  void CommitGroup(std::vector<Queued> group);
  absl::Status PrepareOne(Work& work);
  void InstallAll(std::vector<Queued>& group);
  void FinishOne(Queued& queued, const absl::Status& status);
  absl::Status Commit(std::vector<store::Write>& writes);
  store::Write MetaWrite() const;
  void FlushHealth();
  void BuildHealth(Dirty& dirty, std::vector<store::Write>& writes);
  void Purge();

  const Options options_;
  const WorkContext context_;
  const store::Fence fence_;
  DirtySource& dirty_;
  // The committer's thread only: works in order, taken from the queue.
  std::deque<Queued> pending_;
  uint64_t durable_next_uid_ = 0;
  absl::Time next_purge_ = absl::InfinitePast();

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandon_ ABSL_GUARDED_BY(mutex_) = false;
  bool exited_ ABSL_GUARDED_BY(mutex_) = false;
  bool health_dirty_ ABSL_GUARDED_BY(mutex_) = false;
  Steady::time_point flush_at_ ABSL_GUARDED_BY(mutex_);
  uint64_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t drains_asked_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t drains_done_ ABSL_GUARDED_BY(mutex_) = 0;
  CommitterStats stats_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_COMMITTER_H_
