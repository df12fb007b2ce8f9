// The parts of the engine. Private to engine*.cc.
//
// Locks, in the order they may be taken: none is taken while another one of this file is held.
//   mutex_   the pool's lock: short, never across I/O, sealing or a callback
//   config_  settings and policy snapshots: copies of shared pointers only
#ifndef CREDBROKER_SERVER_ENGINE_ENGINE_STATE_H_
#define CREDBROKER_SERVER_ENGINE_ENGINE_STATE_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "core/pool.h"
#include "server/engine/committer.h"
#include "server/engine/engine.h"
#include "server/engine/engine_sessions.h"
#include "server/engine/lease_token.h"
#include "server/engine/mutex.h"
#include "server/engine/selection.h"
#include "server/engine/work.h"

namespace credbroker::engine {

class EngineState final : public PoolAccess, public DirtySource {
 public:
  EngineState(EngineOptions given, const Clock& clock, store::Store& store);
  ~EngineState() override;

  absl::Status Start(std::shared_ptr<const store::Keyring> keyring);
  void Stop(absl::Duration patience);
  bool serving() const { return serving_.load(std::memory_order_acquire); }
  absl::Status ready() const;
  absl::Status Reconfigure(core::Settings settings,
                           std::shared_ptr<const core::PolicyTable> policy);
  // Advances in steps of 256 until nothing is due.
  void AdvanceAll();
  void Drain();

  // What effects leave to do once the lock is free.
  struct Dispatch {
    struct Ready {
      AcquireDone done;
      AcquireAnswer answer;
      std::string principal;
      bool session = false;
    };
    std::vector<Ready> woken;
    std::vector<core::Uid> refresh;
    std::vector<core::Revoked> revoked;
    std::vector<core::Uid> changed;  // their document or secret was replaced
    bool health = false;
    bool tell_ticker = false;
    bool empty() const {
      return woken.empty() && refresh.empty() && revoked.empty() && changed.empty() && !health &&
             !tell_ticker;
    }
  };

  // PoolAccess:
  void Locked(absl::FunctionRef<void(core::Pool&, absl::Time, core::Effects&)> step) override;
  absl::Time Now() const override { return clock_.Now(); }
  std::shared_ptr<const core::Settings> settings() const override;
  // As Locked, for reads: nothing is handed out.
  void Read(absl::FunctionRef<void(const core::Pool&, absl::Time)> step) const;

  // DirtySource:
  Dirty TakeDirty() override;
  void PutBackDirty(Dirty dirty) override;

  AcquireAnswer Acquire(const core::AcquireCommand& command, AcquireDone done);
  core::ReportReply ReportOne(absl::string_view principal, const ReportItem& item);
  std::optional<core::LeaseClaims> Decode(absl::string_view lease_id);
  // For sessions (engine_sessions.cc). A waiter is made known under the lock that parked it.
  void ParkForSession(core::WaiterId waiter, absl::string_view principal,
                      absl::AnyInvocable<void(core::AcquireReply)> done);
  // The verdict on a plain 2xx where it is the same for all; null: look at each.
  std::shared_ptr<const core::Verdict> PlainSuccess(
      const std::shared_ptr<const core::PolicyTable>& policy);
  void Submit(std::unique_ptr<Work> work);
  void RunInline(Work& work);  // a dry run that reads nothing from the store
  std::shared_ptr<const core::PolicyTable> policy() const;
  EngineStats Stats() const;

  EngineOptions options_;
  const Clock& clock_;
  store::Store& store_;
  WatchHub hub_;
  SelectionBook selections_;
  std::atomic<uint64_t> refused_ids_{0};
  std::atomic<SessionListener*> listener_{nullptr};
  EngineSessions sessions_{*this};

  // Made by Start, constant while serving.
  std::unique_ptr<LeaseCodec> codec_;
  std::unique_ptr<LeaseCodec> tickets_;
  bool sessions_were_live_ = false;
  std::unique_ptr<store::RecordSealer> sealer_;
  WorkContext context_;

 private:
  struct Waiter {
    AcquireDone done;
    std::string principal;
    bool session = false;  // its leases have no id
  };

  absl::Status LoadAll(store::Fence fence, const store::RecordSealer& sealer);
  absl::Status WriteMeta(store::Fence fence, const store::RecordSealer& sealer);
  void Absorb(core::Effects& effects, absl::Time now, Dispatch& out)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How late the ticker may do what is due.
  absl::Duration TickerSlack() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Deliver(Dispatch dispatch);
  std::string LeaseIdOf(const core::Grant& grant, absl::string_view principal) const;
  void Tick();  // the ticker's thread
  void EndWaiters();
  void Log(const std::string& line) const;

  std::atomic<bool> serving_{false};

  mutable Mutex mutex_;
  CondVar ticker_;
  std::unique_ptr<core::Pool> pool_ ABSL_GUARDED_BY(mutex_) ABSL_PT_GUARDED_BY(mutex_);
  absl::flat_hash_map<core::WaiterId, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::vector<core::Change> outbox_ ABSL_GUARDED_BY(mutex_);  // for watchers, in order
  Dirty dirty_ ABSL_GUARDED_BY(mutex_);
  absl::Time ticker_wakes_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool publishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ticker_ ABSL_GUARDED_BY(mutex_) = false;

  mutable Mutex config_;
  std::shared_ptr<const core::Settings> settings_ ABSL_GUARDED_BY(config_);
  std::shared_ptr<const core::PolicyTable> policy_ ABSL_GUARDED_BY(config_);
  absl::Status state_ ABSL_GUARDED_BY(config_);
  // What plain_success_ was found for.
  std::shared_ptr<const core::PolicyTable> success_of_ ABSL_GUARDED_BY(config_);
  std::shared_ptr<const core::Settings> success_settings_ ABSL_GUARDED_BY(config_);
  std::shared_ptr<const core::Verdict> plain_success_ ABSL_GUARDED_BY(config_);

  Ledger ledger_;          // committer's thread, once it runs
  uint64_t next_uid_ = 1;  // same
  absl::flat_hash_set<std::string> quarantined_;
  LoadStats load_stats_;
  store::Meta meta_;
  std::unique_ptr<Committer> committer_;
  std::thread ticker_thread_;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_ENGINE_STATE_H_
