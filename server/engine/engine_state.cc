#include "server/engine/engine_state.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "server/engine/loader.h"
#include "server/engine/rerender.h"

namespace credbroker::engine {
namespace {

constexpr int kAdvanceStep = 256;
// Leases that run out one by one share a wake. Somebody who waits is served within a millisecond;
// otherwise what is due may lie a little, as every call does some of it first.
constexpr absl::Duration kSlackForWaiters = absl::Milliseconds(1);
constexpr absl::Duration kSlack = absl::Milliseconds(10);
constexpr absl::Duration kLongestSleep = absl::Seconds(1);  // the machine may have slept meanwhile

}  // namespace

EngineState::EngineState(EngineOptions given, const Clock& clock, store::Store& store)
    : options_(std::move(given)), clock_(clock), store_(store) {
  settings_ = std::make_shared<const core::Settings>(std::move(options_.settings));
  policy_ =
      options_.policy != nullptr ? options_.policy : std::make_shared<const core::PolicyTable>();
  state_ = absl::UnavailableError("the broker is starting");
}

EngineState::~EngineState() {
  Stop(absl::ZeroDuration());
  committer_ = nullptr;  // waits for a commit under way
}

void EngineState::Log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

// --- start and stop ---

absl::Status EngineState::Start(std::shared_ptr<const store::Keyring> keyring) {
  if (committer_ != nullptr) return absl::FailedPreconditionError("the broker was started before");
  const auto go = [&]() -> absl::Status {
    if (keyring == nullptr) return absl::FailedPreconditionError("sealed: there is no keyring");
    absl::StatusOr<store::Fence> fence = store_.TakeOwnership();
    if (!fence.ok()) return fence.status();
    auto sealer =
        std::make_unique<store::RecordSealer>(keyring, store_.id(), (fence->epoch << 40) + 1);
    if (absl::Status loaded = LoadAll(*fence, *sealer); !loaded.ok()) return loaded;
    codec_ = std::make_unique<LeaseCodec>(keyring->DeriveKey("lease-mac"));
    tickets_ = std::make_unique<LeaseCodec>(keyring->DeriveKey("session-ticket"));
    sealer_ = std::move(sealer);
    context_ = WorkContext{.pool = this,
                           .store = &store_,
                           .sealer = sealer_.get(),
                           .ledger = &ledger_,
                           .next_uid = &next_uid_,
                           .epoch = fence->epoch,
                           .quarantined = &quarantined_};
    committer_ =
        std::make_unique<Committer>(Committer::Options{.health_delay = options_.health_delay,
                                                       .max_queued = options_.max_queued_commands,
                                                       .commit_delay = options_.commit_delay,
                                                       .server_version = options_.server_version,
                                                       .store_created = meta_.created},
                                    context_, *fence, *this);
    return absl::OkStatus();
  };
  absl::Status started = go();
  {
    MutexLock lock(config_);
    state_ = started;
  }
  if (!started.ok()) return started;
  committer_->Start();
  ticker_thread_ = std::thread([this] { Tick(); });
  serving_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status EngineState::LoadAll(store::Fence fence, const store::RecordSealer& sealer) {
  const std::shared_ptr<const core::Settings> now_settings = settings();
  absl::StatusOr<Loaded> loaded = LoadStore(store_, sealer, *now_settings);
  if (!loaded.ok()) return loaded.status();
  for (const std::string& line : loaded->stats.quarantine) Log("set aside: " + line);
  next_uid_ = loaded->first_free_uid.number();
  if (loaded->meta) {
    meta_ = *loaded->meta;
  } else {
    meta_.created = clock_.Now();
    meta_.last_uid = core::Uid(next_uid_ - 1);
    meta_.server_version = options_.server_version;
    if (absl::Status written = WriteMeta(fence, sealer); !written.ok()) return written;
  }
  core::PoolOptions pool_options{.settings = *now_settings,
                                 .epoch = fence.epoch,
                                 .seed = options_.seed,
                                 .first_uid = loaded->first_free_uid};
  const absl::Time now = clock_.Now();
  sessions_were_live_ = loaded->marker.live;
  if (sessions_were_live_) pool_options.resume_only_until = now + options_.session_hold;
  auto pool = std::make_unique<core::Pool>(std::move(pool_options));
  for (core::StoredCredential& credential : loaded->credentials) {
    const std::string id = credential.document->id;
    if (absl::Status status = pool->Load(std::move(credential), now); !status.ok()) {
      ++loaded->stats.quarantined;
      loaded->quarantined.insert(id);
      Log(absl::StrCat("set aside: credential '", id, "': ", status.message()));
    }
  }
  ledger_ = std::move(loaded->ledger);
  for (const core::BackoffRecord& backoff : loaded->backoffs) {
    if (pool->LoadBackoff(backoff, now)) continue;
    ledger_.AddStaleBackoff(store::BackoffKey(backoff, sealer.Blind(backoff.egress)));
  }
  quarantined_ = std::move(loaded->quarantined);
  load_stats_ = std::move(loaded->stats);
  MutexLock lock(mutex_);
  pool_ = std::move(pool);
  return absl::OkStatus();
}

absl::Status EngineState::WriteMeta(store::Fence fence, const store::RecordSealer& sealer) {
  const store::Write write =
      sealer.Put(store::RowKind::kMeta, store::kMetaKey, store::EncodeMeta(meta_));
  return store_.Commit({&write, 1}, fence);
}

absl::Status EngineState::ready() const {
  MutexLock lock(config_);
  return state_;
}

void EngineState::Stop(absl::Duration patience) {
  if (committer_ == nullptr) return;
  committer_->Stop(patience);
  if (serving_.exchange(false)) {
    MutexLock lock(config_);
    state_ = absl::UnavailableError("the broker is stopping");
  }
  EndWaiters();
  {
    MutexLock lock(mutex_);
    stop_ticker_ = true;
  }
  ticker_.NotifyAll();
  if (ticker_thread_.joinable()) ticker_thread_.join();
}

void EngineState::EndWaiters() {
  bool more = true;
  while (more) {
    Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
      mutex_.AssertHeld();
      std::vector<core::WaiterId> some;
      for (const auto& [waiter, entry] : waiters_) {
        if (some.size() == kAdvanceStep) break;
        some.push_back(waiter);
      }
      for (const core::WaiterId waiter : some) pool.CancelWait(waiter, now, effects);
      more = some.size() == kAdvanceStep;
    });
  }
}

// --- the lock ---

void EngineState::Locked(absl::FunctionRef<void(core::Pool&, absl::Time, core::Effects&)> step) {
  const absl::Time now = clock_.Now();
  core::Effects effects;
  Dispatch dispatch;
  {
    MutexLock lock(mutex_);
    step(*pool_, now, effects);
    Absorb(effects, now, dispatch);
  }
  Deliver(std::move(dispatch));
}

void EngineState::Read(absl::FunctionRef<void(const core::Pool&, absl::Time)> step) const {
  const absl::Time now = clock_.Now();
  MutexLock lock(mutex_);
  step(*pool_, now);
}

// Takes over what a step did; what may block or call back is left to Deliver.
void EngineState::Absorb(core::Effects& effects, absl::Time now, Dispatch& out) {
  if (!effects.empty()) {
    for (core::Woken& woken : effects.woken) {
      const auto found = waiters_.find(woken.waiter);
      if (found == waiters_.end()) continue;
      out.woken.push_back({.done = std::move(found->second.done),
                           .answer = {.reply = std::move(woken.reply), .lease_id = ""},
                           .principal = std::move(found->second.principal),
                           .session = found->second.session});
      waiters_.erase(found);
    }
    out.refresh = std::move(effects.refresh_wanted);
    const bool was_clean = dirty_.empty();
    out.revoked = std::move(effects.revoked);
    for (const core::Change& change : effects.changes) {
      dirty_.Add(change, now);
      if (change.kind == core::RecordKind::kDocument || change.kind == core::RecordKind::kSecret) {
        out.changed.push_back(change.uid);
      }
    }
    out.health = was_clean && !dirty_.empty();
    if (!effects.changes.empty()) {
      out.tell_ticker = outbox_.empty();
      std::move(effects.changes.begin(), effects.changes.end(), std::back_inserter(outbox_));
    }
  }
  // A late wakeup is fine; waking the ticker for each lease is not.
  if (clock_.runs() && pool_->NextEvent() + TickerSlack() < ticker_wakes_) {
    ticker_wakes_ = absl::InfinitePast();  // told once
    out.tell_ticker = true;
  }
}

absl::Duration EngineState::TickerSlack() const {
  return waiters_.empty() ? kSlack : kSlackForWaiters;
}

void EngineState::Deliver(Dispatch dispatch) {
  if (dispatch.empty()) return;
  if (dispatch.tell_ticker) ticker_.NotifyAll();
  if (dispatch.health) committer_->HealthDirty();
  if (SessionListener* listener = listener_.load(std::memory_order_acquire)) {
    if (!dispatch.revoked.empty()) listener->OnRevoked(dispatch.revoked);
    if (!dispatch.changed.empty()) listener->OnChanged(dispatch.changed);
  }
  for (Dispatch::Ready& ready : dispatch.woken) {
    if (ready.answer.reply.kind == core::AcquireReply::Kind::kGranted && !ready.session) {
      ready.answer.lease_id = LeaseIdOf(ready.answer.reply.grant, ready.principal);
    }
    std::move(ready.done)(std::move(ready.answer));
  }
  if (!options_.refresh_wanted) return;
  for (const core::Uid uid : dispatch.refresh) options_.refresh_wanted(uid);
}

void EngineState::Tick() {
  std::vector<core::Change> changes;
  while (true) {
    Dispatch dispatch;
    {
      MutexLock lock(mutex_);
      publishing_ = false;
      while (true) {
        if (stop_ticker_ && outbox_.empty()) return;
        const absl::Time now = clock_.Now();
        core::Effects effects;
        bool more = false;
        if (clock_.runs() && !stop_ticker_) {
          more = pool_->Advance(now, kAdvanceStep, effects);
          ticker_wakes_ = absl::InfinitePast();  // awake: it looks itself before it sleeps
          Absorb(effects, now, dispatch);
          dispatch.tell_ticker = false;
        }
        if (more || !outbox_.empty() || !dispatch.empty()) break;
        absl::Duration sleep = kLongestSleep;
        if (clock_.runs()) {
          sleep = std::clamp(pool_->NextEvent() - now, TickerSlack(), kLongestSleep);
          ticker_wakes_ = now + sleep;
        }
        ticker_.WaitFor(mutex_, absl::ToChronoNanoseconds(sleep));
      }
      changes.swap(outbox_);
      publishing_ = !changes.empty();
    }
    Deliver(std::move(dispatch));
    if (!changes.empty()) hub_.Publish(std::move(changes));
    changes.clear();
  }
}

void EngineState::AdvanceAll() {
  bool more = true;
  while (more) {
    Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
      more = pool.Advance(now, kAdvanceStep, effects);
    });
  }
}

void EngineState::Drain() {
  if (committer_ == nullptr) return;
  committer_->Drain();
  while (true) {
    {
      MutexLock lock(mutex_);
      if ((outbox_.empty() && !publishing_) || stop_ticker_) return;
    }
    std::this_thread::yield();
  }
}

Dirty EngineState::TakeDirty() {
  MutexLock lock(mutex_);
  return std::exchange(dirty_, Dirty());
}

void EngineState::PutBackDirty(Dirty dirty) {
  MutexLock lock(mutex_);
  dirty_.MergeBack(std::move(dirty));
}

// --- configuration ---

std::shared_ptr<const core::Settings> EngineState::settings() const {
  MutexLock lock(config_);
  return settings_;
}

std::shared_ptr<const core::PolicyTable> EngineState::policy() const {
  MutexLock lock(config_);
  return policy_;
}

absl::Status EngineState::Reconfigure(core::Settings settings,
                                      std::shared_ptr<const core::PolicyTable> policy) {
  if (!serving()) return ready();
  auto fresh = std::make_shared<const core::Settings>(std::move(settings));
  std::shared_ptr<const core::Settings> old;
  {
    MutexLock lock(config_);
    old = std::exchange(settings_, fresh);
    if (policy != nullptr) policy_ = std::move(policy);
  }
  Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    pool.Configure(*fresh, now, effects);
  });
  std::vector<std::string> changed = RenderedDifferently(*old, *fresh);
  if (changed.empty()) return absl::OkStatus();
  Submit(NewRerender(std::move(changed), [this](const absl::Status& status) {
    if (!status.ok()) {
      Log(absl::StrCat("headers keep their old templates: ", status.message()));
    }
  }));
  return absl::OkStatus();
}

// --- durable work ---

void EngineState::Submit(std::unique_ptr<Work> work) {
  if (!serving()) return work->Finish(context_, absl::UnavailableError(ready().message()));
  committer_->Submit(std::move(work));
}

void EngineState::RunInline(Work& work) {
  absl::Status status = work.Open(context_);
  bool through = false;
  while (status.ok() && !through) {
    Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
      StepBudget budget;
      absl::StatusOr<bool> step = work.Prepare(context_, pool, now, budget);
      status = step.status();
      through = step.ok() && *step;
    });
  }
  work.Finish(context_, status);
}

EngineStats EngineState::Stats() const {
  EngineStats stats;
  if (committer_ == nullptr) return stats;
  Read([&](const core::Pool& pool, absl::Time now) {
    mutex_.AssertHeld();
    stats.pool = pool.Stats(now);
    stats.committer.pending_health = dirty_.rows.size() + dirty_.backoffs.size();
    if (!dirty_.empty()) stats.committer.oldest_health = now - dirty_.oldest();
  });
  const uint64_t pending = stats.committer.pending_health;
  const absl::Duration oldest = stats.committer.oldest_health;
  stats.committer = committer_->Stats();
  stats.committer.pending_health = pending;
  stats.committer.oldest_health = oldest;
  stats.load = load_stats_;
  stats.store = store_.Stats();
  stats.epoch = context_.epoch;
  const WatchHub::Counts watch = hub_.counts();
  stats.watchers = watch.watchers;
  stats.watchers_cut = watch.cut;
  stats.lease_ids_refused = refused_ids_.load();
  return stats;
}

}  // namespace credbroker::engine
