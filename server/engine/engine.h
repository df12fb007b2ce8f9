// The engine binds the pure pool to a lock, to time and to the store. RPC services, importers and
// the console code against this header and admin_types.h; they never see the pool.
//
// Thread-safety: all functions may be called from any thread. Callbacks (`done`, hooks, watchers)
// run without any lock of the engine, exactly once each, on the calling thread, the ticker or the
// committer; they must not block and may call the engine again.
//
// Errors that every call shares: UNAVAILABLE before Start succeeded and after Stop; ready() says
// why. Data plane calls never wait for the store, whatever its state.
#ifndef CREDBROKER_SERVER_ENGINE_ENGINE_H_
#define CREDBROKER_SERVER_ENGINE_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/command.h"
#include "core/policy.h"
#include "core/settings.h"
#include "core/view.h"
#include "server/engine/admin_types.h"
#include "server/engine/clock.h"
#include "server/engine/etag.h"
#include "server/engine/watch.h"
#include "server/store/keyring.h"
#include "server/store/record.h"
#include "server/store/store.h"

namespace credbroker::engine {

struct EngineOptions {
  core::Settings settings;
  std::shared_ptr<const core::PolicyTable> policy;  // null: built-in rows only
  uint64_t seed = 0;                                // of jitter, tokens and batch ids
  // Longest time a health change waits before it is written.
  absl::Duration health_delay = absl::Milliseconds(100);
  size_t max_queued_commands = 4096;  // durable commands; more: RESOURCE_EXHAUSTED
  std::string server_version;         // written to the meta row
  // After a start with the live-sessions marker set, capped credentials are for so long had by
  // resuming sessions only: ttl + grace of sessions.
  absl::Duration session_hold = absl::Seconds(30);
  // Refresh hook: these incarnations want their tokens exchanged now.
  std::function<void(core::Uid)> refresh_wanted;
  // Delay of each commit, from the first command of its group to durable.
  std::function<void(absl::Duration)> commit_delay;
  std::function<void(absl::string_view)> log;  // one line, for people; null: dropped
};

// Answer to Acquire. `lease_id` is set when reply.kind is kGranted.
struct AcquireAnswer {
  core::AcquireReply reply;
  std::string lease_id;
};
using AcquireDone = absl::AnyInvocable<void(AcquireAnswer)>;

struct ReportItem {
  absl::string_view lease_id;
  core::ReportFacts facts;  // borrowed for the call
  bool early = false;
  uint64_t material_version = 0;  // as core::ReportCommand has them
  absl::Time happened = absl::InfiniteFuture();
};

struct CommitterStats {
  uint64_t commits = 0;         // acknowledged by the store
  uint64_t failures = 0;        // refused or failed
  uint64_t rows = 0;            // rows in acknowledged commits
  uint64_t fenced = 0;          // refused for a stale fence
  uint64_t queued = 0;          // durable commands waiting
  uint64_t pending_health = 0;  // credentials whose health is not yet written
  absl::Duration oldest_health = absl::ZeroDuration();  // age of the oldest of them
  bool healthy = true;                                  // the last commit worked
  std::string last_error;
};

struct LoadStats {
  uint64_t rows = 0, credentials = 0;
  uint64_t quarantined = 0;             // rows kept in the store and not served
  std::vector<std::string> quarantine;  // at most 16, "secret row 'x': reason"
  std::string damaged_file;  // where the store put its damaged file aside; empty: it was sound
  absl::Duration took;
};

struct EngineStats {
  core::PoolStats pool;
  CommitterStats committer;
  LoadStats load;
  store::StoreStats store;
  uint64_t epoch = 0;
  uint64_t watchers = 0, watchers_cut = 0;
  uint64_t lease_ids_refused = 0;  // bad MAC or form
};

class EngineState;
class EngineSessions;

class Engine {
 public:
  // `clock` and `store` outlive the engine.
  Engine(EngineOptions options, const Clock& clock, store::Store& store);
  ~Engine();  // Stop(ZeroDuration)
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // --- life ---
  // Takes ownership of the store, loads, unseals, starts the threads. A bad row is quarantined and
  // the rest is served. FAILED_PRECONDITION: the keyring does not open this store ("sealed"): the
  // process goes on, not ready, and may try again with another keyring.
  absl::Status Start(std::shared_ptr<const store::Keyring> keyring);
  // OK while calls are served; else why not, for people and for the health check.
  absl::Status ready() const;
  // Takes no more durable commands, finishes those queued and the health flush for at most
  // `patience`, ends parked calls with kCancelled. What is left fails with UNAVAILABLE.
  void Stop(absl::Duration patience);
  // New settings and policy together. Credentials whose headers change are rendered again.
  absl::Status Reconfigure(core::Settings settings,
                           std::shared_ptr<const core::PolicyTable> policy);
  // Does what is due, in bounded steps, and hands out what it changed. With a running clock the
  // ticker thread does it; tests call it after moving a fake clock.
  void Tick();
  // Waits until everything queued before is durable or refused, and health is flushed or its flush
  // failed. For tests and for shutdown.
  void Drain();

  absl::Time Now() const;

  // --- data plane ---
  // Answers at once through the return value, unless reply.kind is kParked: then `done` is called
  // later. In all other cases `done` is dropped.
  AcquireAnswer Acquire(const core::AcquireCommand& command, AcquireDone done);
  void CancelWait(core::WaiterId waiter);
  core::ReportReply Report(absl::string_view principal, const ReportItem& item);
  std::vector<core::ReportReply> ReportBatch(absl::string_view principal,
                                             absl::Span<const ReportItem> items);
  core::RenewReply Renew(absl::string_view principal, absl::string_view lease_id,
                         absl::Duration ttl);
  bool Release(absl::string_view principal, absl::string_view lease_id);
  // The calls of sessions, see engine_sessions.h.
  EngineSessions& sessions();
  // What a lease id proves; nothing if it is not ours. Touches no state.
  std::optional<core::LeaseClaims> InspectLease(absl::string_view lease_id) const;

  // --- reads ---
  std::optional<core::CredentialView> Get(absl::string_view id) const;
  // As Pool::Scan, under the lock: at most 256 rows a call, and a short `visit`.
  std::string Scan(absl::string_view after_id, int limit,
                   absl::FunctionRef<bool(const core::CredentialRow&)> visit) const;
  core::Explanation Explain(const core::AcquireCommand& command, absl::string_view after_id,
                            int limit) const;
  EngineStats Stats() const;
  std::shared_ptr<const core::PolicyTable> policy() const;
  // Transitions from the store, newest first, at most 40. Blocks on I/O.
  absl::StatusOr<std::vector<core::TransitionView>> ReadHistory(absl::string_view id) const;
  // The present secret of a credential. Blocks on I/O. For the refresher and the importer only.
  absl::StatusOr<std::shared_ptr<const core::SecretMaterial>> ReadSecret(
      absl::string_view id) const;
  // When that secret came. Blocks on I/O.
  absl::StatusOr<absl::Time> ReadSecretTime(absl::string_view id) const;
  // As the edits check it: INVALID_ARGUMENT: a label that is new in `after` is not declared.
  absl::Status CheckLabels(const core::Document* before, const core::Document& after) const;
  // Refresh tokens that were exchanged here in the last 90 days. Blocks on I/O.
  absl::StatusOr<std::vector<store::SpentToken>> ReadSpentTokens() const;
  // What importers stored for a source. Blocks on I/O.
  absl::StatusOr<std::vector<SourceDigest>> ReadDigests(absl::string_view source) const;
  // The one of `id`, a credential or an entry of a file; nothing: none that can be read.
  absl::StatusOr<std::optional<std::string>> ReadDigest(absl::string_view id) const;
  // A credential as it was when it was deleted; nothing: none, or longer ago than 24 h. Blocks on
  // I/O. For the importer only.
  absl::StatusOr<std::optional<store::Tombstone>> ReadTombstone(absl::string_view id) const;
  // As WatchHub::Subscribe: null: the changes after `after` are not kept any more.
  std::shared_ptr<Subscription> Watch(size_t limit, std::function<void()> on_ready,
                                      std::optional<uint64_t> after = std::nullopt);

  // --- control plane: durable before `done` says OK; a failure changed nothing ---
  // Errors: NOT_FOUND, ALREADY_EXISTS, ABORTED (etag), INVALID_ARGUMENT, RESOURCE_EXHAUSTED (queue
  // full), UNAVAILABLE (store).
  void Create(CreateRequest request, Done<core::CredentialView> done);
  void Update(UpdateRequest request, Done<core::CredentialView> done);
  // Remembers refresh tokens that were exchanged, whatever came of it; those of an exchange that
  // gave a new one go with its UpdateRequest.
  void SpendTokens(std::vector<store::SpentToken> tokens, Done<bool> done);
  void Delete(DeleteRequest request, Done<DeleteResult> done);
  void SetIntent(IntentRequest request, Done<IntentResult> done);
  void Reset(ResetRequest request, Done<ResetResult> done);
  // Also FAILED_PRECONDITION: another count than expected, or the selection token expired.
  void BatchUpdate(BatchRequest request, Done<BatchResult> done);
  // NOT_FOUND: no such batch, or older than 24 h. Rows: OK, CONFLICT (a value is not the batch's
  // any more; fields that still are were put back), NOT_FOUND, SKIPPED (nothing to undo).
  void UndoBatch(UndoRequest request, Done<BatchResult> done);
  // One transaction for all rows that Prepare accepts, with the digests.
  void ApplyImport(ImportRequest request, Done<ImportResult> done);
  // The live-sessions marker: leases of sessions may outlive this process.
  void SetSessionsLive(bool live, Done<bool> done);

 private:
  std::unique_ptr<EngineState> state_;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_ENGINE_H_
