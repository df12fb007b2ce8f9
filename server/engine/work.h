// A durable command on its way through the committer, and what the committer lends it.
//
// Thread-safety: a Work is used by one thread at a time: first its maker, then the committer.
#ifndef CREDBROKER_SERVER_ENGINE_WORK_H_
#define CREDBROKER_SERVER_ENGINE_WORK_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/pool.h"
#include "server/engine/ledger.h"
#include "server/store/record.h"
#include "server/store/store.h"

namespace credbroker::engine {

// Bounds how long one step holds the pool's lock: 256 rows or 500 us, whichever comes first.
class StepBudget {
 public:
  StepBudget() : end_(std::chrono::steady_clock::now() + std::chrono::microseconds(500)) {}
  bool Spend() {
    if (rows_ >= 256) return false;
    ++rows_;
    return (rows_ & 7) != 0 || std::chrono::steady_clock::now() < end_;
  }

 private:
  const std::chrono::steady_clock::time_point end_;
  int rows_ = 0;
};

// The way to the pool for everything that is not on the data plane.
class PoolAccess {
 public:
  virtual ~PoolAccess() = default;
  // Runs `step` under the pool's lock, then hands out the effects without it.
  virtual void Locked(absl::FunctionRef<void(core::Pool&, absl::Time, core::Effects&)> step) = 0;
  virtual absl::Time Now() const = 0;
  virtual std::shared_ptr<const core::Settings> settings() const = 0;
};

// What a work may use. Lives as long as the committer.
struct WorkContext {
  PoolAccess* pool = nullptr;
  store::Store* store = nullptr;
  const store::RecordSealer* sealer = nullptr;
  Ledger* ledger = nullptr;      // committer's thread only
  uint64_t* next_uid = nullptr;  // committer's thread only; of the next created credential
  uint64_t epoch = 0;
  // Ids whose document is in the store but could not be read: never overwritten.
  const absl::flat_hash_set<std::string>* quarantined = nullptr;
};

// Reads one row. kNotFound: no such row. Blocks on I/O.
absl::StatusOr<store::Row> ReadRow(store::Store& store, store::RowKind kind, absl::string_view key);
// Reads and unseals the secret of a credential. kNotFound: it has none. kDataLoss: not authentic.
// kFailedPrecondition: sealed with a key that the keyring lacks. kUnavailable.
absl::StatusOr<store::SecretEntry> ReadSecret(store::Store& store,
                                              const store::RecordSealer& sealer,
                                              const core::Document& document);

class Work {
 public:
  virtual ~Work() = default;

  // Runs before anything else, once, without the lock; may block on reads of the store. An error
  // ends the work.
  virtual absl::Status Open(const WorkContext&) { return absl::OkStatus(); }
  // What it changes: credential ids, and other keys under prefixes that no id has. Two works with a
  // key in common never share a group and keep their order. Constant after Open.
  virtual const std::vector<std::string>& keys() const = 0;
  // Empty: none. Otherwise repeats are answered from the ledger by Replay.
  virtual std::string request_key() const { return ""; }
  // Answers a repeated request; nothing else runs afterwards.
  virtual void Replay(const WorkContext&, const store::RequestEntry&) {}
  // Whether nothing shall be written: after Prepare comes Finish.
  virtual bool dry_run() const { return false; }

  // Reads what it needs of its rows. Alone with them from here to Finish. No lock.
  virtual absl::Status Read(const WorkContext&) { return absl::OkStatus(); }
  // One step under the lock, touching nothing. Returns whether it is through. Errors end it.
  virtual absl::StatusOr<bool> Prepare(const WorkContext&, const core::Pool& pool, absl::Time now,
                                       StepBudget& budget) = 0;
  // Renders, seals and adds what is to be committed. No lock. Nothing added: nothing to commit.
  virtual absl::Status Build(const WorkContext&, std::vector<store::Write>& writes) = 0;
  // One step under the lock after the commit. Returns whether it is through.
  virtual bool Install(const WorkContext&, core::Pool& pool, absl::Time now, core::Effects& effects,
                       StepBudget& budget) = 0;
  // Whether health must be on disk before the answer (resets, new secrets).
  virtual bool flush_health() const { return false; }
  // Answers. No lock. Not OK: nothing changed.
  virtual void Finish(const WorkContext&, const absl::Status& status) = 0;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_WORK_H_
