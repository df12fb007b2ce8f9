#include "server/engine/committer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace credbroker::engine {
void Committer::LetOthersIn() { std::this_thread::sleep_for(std::chrono::microseconds(20)); }

Committer::Committer(Options options, WorkContext context, store::Fence fence, DirtySource& dirty)
    : options_(std::move(options)),
      context_(context),
      fence_(fence),
      dirty_(dirty),
      durable_next_uid_(*context.next_uid) {}

Committer::~Committer() {
  Stop(absl::ZeroDuration());
  if (thread_.joinable()) thread_.join();
}

void Committer::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Committer::Submit(std::unique_ptr<Work> work) {
  absl::Status refused;
  {
    MutexLock lock(mutex_);
    if (stopping_) {
      refused = absl::UnavailableError("the broker is stopping");
    } else if (unanswered_ >= options_.max_queued) {
      refused = absl::ResourceExhaustedError("too many changes are waiting for the store");
    } else {
      ++unanswered_;
      queue_.push_back({.work = std::move(work), .since = Steady::now()});
      changed_.NotifyAll();
      return;
    }
  }
  work->Finish(context_, refused);
}

void Committer::HealthDirty() {
  {
    MutexLock lock(mutex_);
    if (health_dirty_) return;
    health_dirty_ = true;
    // Half of the delay is left for the commit itself.
    flush_at_ = Steady::now() + absl::ToChronoNanoseconds(options_.health_delay / 2);
  }
  changed_.NotifyAll();
}

void Committer::Drain() {
  MutexLock lock(mutex_);
  if (exited_ || !thread_.joinable()) return;
  const uint64_t mine = ++drains_asked_;
  changed_.NotifyAll();
  while (drains_done_ < mine && !exited_) changed_.Wait(mutex_);
}

void Committer::Stop(absl::Duration patience) {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.NotifyAll();
  if (!thread_.joinable()) return;
  const auto end = Steady::now() + absl::ToChronoNanoseconds(std::min(patience, absl::Hours(1)));
  while (!exited_ && Steady::now() < end) changed_.WaitFor(mutex_, end - Steady::now());
  abandon_ = true;
  changed_.NotifyAll();
}

CommitterStats Committer::Stats() const {
  MutexLock lock(mutex_);
  CommitterStats stats = stats_;
  stats.queued = unanswered_;
  return stats;
}

// Waits for something to do. False: the end.
bool Committer::WaitForWork() {
  MutexLock lock(mutex_);
  while (true) {
    if (!queue_.empty() || !pending_.empty()) break;
    if (drains_done_ < drains_asked_) break;
    if (stopping_ && !health_dirty_) return false;
    if (abandon_) return false;
    const auto now = Steady::now();
    if (health_dirty_ && (now >= flush_at_ || stopping_)) break;
    if (health_dirty_) {
      changed_.WaitFor(mutex_, flush_at_ - now);
    } else {
      changed_.WaitFor(mutex_, std::chrono::minutes(10));  // wakes to purge
      if (queue_.empty() && !health_dirty_) break;
    }
  }
  while (!queue_.empty()) {
    pending_.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return true;
}

void Committer::Run() {
  while (WaitForWork()) {
    bool abandoned = false, flush = false;
    uint64_t drains = 0;
    {
      MutexLock lock(mutex_);
      abandoned = abandon_;
      drains = drains_asked_;
    }
    if (abandoned) break;
    ProcessPending();
    {
      MutexLock lock(mutex_);
      flush = (health_dirty_ && (Steady::now() >= flush_at_ || stopping_)) || drains_done_ < drains;
    }
    if (flush) FlushHealth();
    Purge();
    MutexLock lock(mutex_);
    if (pending_.empty() && queue_.empty()) drains_done_ = std::max(drains_done_, drains);
    changed_.NotifyAll();
  }
  // Only a stop without patience leaves something here.
  while (true) {
    {
      MutexLock lock(mutex_);
      for (Queued& queued : queue_) pending_.push_back(std::move(queued));
      queue_.clear();
    }
    if (pending_.empty()) break;
    FinishOne(pending_.front(), absl::UnavailableError("the broker is stopping"));
    pending_.pop_front();
  }
  MutexLock lock(mutex_);
  exited_ = true;
  changed_.NotifyAll();
}

void Committer::FinishOne(Queued& queued, const absl::Status& status) {
  queued.work->Finish(context_, status);
  queued.work = nullptr;
  MutexLock lock(mutex_);
  --unanswered_;
}

void Committer::ProcessPending() {
  std::vector<Queued> group = TakeGroup();
  if (!group.empty()) CommitGroup(std::move(group));
}

// In order: whatever shares a key with something before it waits for a later group.
std::vector<Committer::Queued> Committer::TakeGroup() {
  std::vector<Queued> group;
  std::deque<Queued> later;
  absl::flat_hash_set<std::string> taken;
  size_t rows = 0;
  for (Queued& queued : pending_) {
    if (!queued.opened) {
      if (absl::Status opened = queued.work->Open(context_); !opened.ok()) {
        FinishOne(queued, opened);
        continue;
      }
      queued.opened = true;
    }
    const std::vector<std::string>& keys = queued.work->keys();
    const bool apart = std::none_of(keys.begin(), keys.end(),
                                    [&](const std::string& key) { return taken.contains(key); });
    taken.insert(keys.begin(), keys.end());
    if (!apart || (!group.empty() && rows + keys.size() > options_.max_group_rows)) {
      later.push_back(std::move(queued));
      continue;
    }
    if (const std::string key = queued.work->request_key(); !key.empty()) {
      if (const auto* entry = context_.ledger->FindRequest(key, context_.pool->Now())) {
        queued.work->Replay(context_, *entry);
        queued.work = nullptr;
        MutexLock lock(mutex_);
        --unanswered_;
        continue;
      }
    }
    rows += keys.size();
    group.push_back(std::move(queued));
  }
  pending_ = std::move(later);
  return group;
}

absl::Status Committer::PrepareOne(Work& work) {
  if (absl::Status read = work.Read(context_); !read.ok()) return read;
  while (true) {
    absl::StatusOr<bool> through(false);
    context_.pool->Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
      StepBudget budget;
      through = work.Prepare(context_, pool, now, budget);
    });
    if (!through.ok()) return through.status();
    if (*through) return absl::OkStatus();
    LetOthersIn();
  }
}

void Committer::CommitGroup(std::vector<Queued> group) {
  std::vector<store::Write> writes;
  std::vector<Queued> ready;
  const uint64_t uid_before = *context_.next_uid;
  for (Queued& queued : group) {
    absl::Status status = PrepareOne(*queued.work);
    if (status.ok() && queued.work->dry_run()) {
      FinishOne(queued, status);
      continue;
    }
    const size_t before = writes.size();
    if (status.ok()) status = queued.work->Build(context_, writes);
    if (status.ok()) {
      ready.push_back(std::move(queued));
    } else {
      writes.resize(before);
      FinishOne(queued, status);
    }
  }
  if (*context_.next_uid != uid_before || durable_next_uid_ != *context_.next_uid) {
    if (!writes.empty()) writes.push_back(MetaWrite());
  }
  absl::Status committed;
  if (!writes.empty()) committed = Commit(writes);
  if (!committed.ok()) {
    const absl::Status refused =
        absl::UnavailableError(absl::StrCat("not stored: ", committed.message()));
    for (Queued& queued : ready) FinishOne(queued, refused);
    return;
  }
  if (!writes.empty()) durable_next_uid_ = *context_.next_uid;
  InstallAll(ready);
  const auto now = Steady::now();
  for (Queued& queued : ready) {
    const auto delay = now - queued.since;
    FinishOne(queued, absl::OkStatus());
    if (options_.commit_delay) options_.commit_delay(absl::FromChrono(delay));
  }
}

void Committer::InstallAll(std::vector<Queued>& group) {
  bool flush = false;
  for (Queued& queued : group) {
    bool through = false;
    while (true) {
      context_.pool->Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
        StepBudget budget;
        through = queued.work->Install(context_, pool, now, effects, budget);
      });
      if (through) break;
      LetOthersIn();
    }
    flush |= queued.work->flush_health();
  }
  // Else a crash could bring back what a reset or a new secret had cleared, after the answer.
  if (flush) FlushHealth();
}

store::Write Committer::MetaWrite() const {
  const store::Meta meta{.schema_version = store::kSchemaVersion,
                         .created = options_.store_created,
                         .server_version = options_.server_version,
                         .last_uid = core::Uid(*context_.next_uid - 1)};
  return context_.sealer->Put(store::RowKind::kMeta, store::kMetaKey, store::EncodeMeta(meta));
}

absl::Status Committer::Commit(std::vector<store::Write>& writes) {
  const absl::Status status = context_.store->Commit(writes, fence_);
  MutexLock lock(mutex_);
  stats_.healthy = status.ok();
  if (status.ok()) {
    ++stats_.commits;
    stats_.rows += writes.size();
  } else {
    ++stats_.failures;
    if (absl::IsFailedPrecondition(status)) ++stats_.fenced;
    stats_.last_error = std::string(status.message());
  }
  return status;
}

}  // namespace credbroker::engine
