// The pool: which credential each request may use. Pure and deterministic: it is told the time,
// draws jitter from a seed it is given, and does no I/O. Thread-compatible: the server guards it
// with one short lock. Time handed in must not run backwards by more than the caller tolerates; an
// earlier `now` than before is treated as the latest one seen.
//
// Three facts of a credential (intent, auth health, availability) are kept apart; its state is
// derived after each change and indexed, so that Acquire costs O(1) or O(log n) whatever share is
// WAITING.
//
// Data plane commands act at once and list what they changed in Effects. Durable edits go in three
// steps: Prepare (touches nothing) -> the caller commits -> Install.
#ifndef CREDBROKER_CORE_POOL_H_
#define CREDBROKER_CORE_POOL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/change.h"
#include "core/command.h"
#include "core/edit.h"
#include "core/settings.h"
#include "core/view.h"

namespace credbroker::core {

struct PoolOptions {
  Settings settings;
  uint64_t epoch = 1;
  uint64_t seed = 0;  // of jitter
  Uid first_uid{1};   // new incarnations count from here
  // Set when the store's live-sessions marker says that leases of before may still be in use: until
  // then a capped credential is had by Adopt only; other calls get kResumeOnly, or wait.
  absl::Time resume_only_until = absl::InfinitePast();
};

// What the store knows of a credential, at start.
struct StoredCredential {
  Uid uid;
  std::shared_ptr<const Document> document;
  std::optional<Intent> intent;                // absent: enabled
  std::shared_ptr<const Material> material;    // null: no secret (quarantined): never selectable
  std::shared_ptr<const HealthRecord> health;  // null: healthy
  uint64_t history_number = 0;                 // number of its newest stored transition
};

class PoolState;

class Pool {
 public:
  explicit Pool(PoolOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // --- start: any number of Load calls, ids ascending is fastest, before anything else ---
  absl::Status Load(StoredCredential stored, absl::Time now);
  // False: it is over, or of an egress that no credential has; nothing is kept of it.
  bool LoadBackoff(const BackoffRecord& record, absl::Time now);

  // --- data plane ---
  // REQUIRES: the caller checked sizes, ranges and UTF-8 of the command.
  AcquireReply Acquire(const AcquireCommand& command, absl::Time now, Effects& effects);
  // Gives up a parked call; its answer (kCancelled) comes in effects. Unknown ids are ignored.
  void CancelWait(WaiterId waiter, absl::Time now, Effects& effects);
  // Terminal once per lease. The MAC of `claims` was checked by the caller. A session's lease is
  // kUnknown to others, and once it is forgotten.
  ReportReply Report(const ReportCommand& command, absl::Time now, Effects& effects);
  RenewReply Renew(absl::string_view principal, const LeaseClaims& claims, absl::Duration ttl,
                   absl::Time now, Effects& effects);
  // True if a live lease was ended. Idempotent.
  bool Release(absl::string_view principal, const LeaseClaims& claims, absl::Time now,
               Effects& effects);

  // --- sessions: leases that go when nobody hears of their holder any more ---
  // A session is open, detached (its stream broke; leases live on until a deadline), or ended.
  // Ending one that holds many leases takes several steps of Advance; its number names nothing any
  // more from the first one on. REQUIRES: fewer than 2^20 at once.
  SessionId OpenSession(absl::string_view principal, absl::Time now);
  // Unless it is resumed before `deadline`, it is lost then and its leases are freed. Again:
  // another deadline. Calls it has parked are answered kCancelled by and by; cancel them.
  void DetachSession(SessionId session, absl::Time deadline, absl::Time now);
  // Open again (an open one stays so). False: unknown, ended, past its deadline, or of another
  // principal.
  bool ResumeSession(SessionId session, absl::string_view principal, absl::Time now);
  // Ends it and its leases, as if each was released. False: unknown.
  bool CloseSession(SessionId session, absl::Time now, Effects& effects);
  struct HeldLease {
    uint32_t cell = 0;
    LeaseSeq seq;
    Uid uid;
    absl::string_view model;  // upstream name
    absl::Time granted, expires;
  };
  // Its live leases, the newest first. `visit` must not call the pool.
  void VisitSession(SessionId session, absl::FunctionRef<void(const HeldLease&)> visit) const;
  // Grants up to `count` (1..1024) leases for stock and appends them to `out`. The key is resolved
  // once. Gives up after having passed over 1,024 capped credentials. kCancelled: not open.
  StockReply AcquireStock(const AcquireCommand& command, int count, absl::Time now,
                          std::vector<StockLease>& out, Effects& effects);
  // nullopt: no such incarnation.
  std::optional<Issued> IssuedOf(Uid uid) const;
  // Gives a session a lease of before back. It counts as granted when it was.
  AdoptReply Adopt(const AdoptCommand& command, absl::Time now, Effects& effects);
  // nullopt: not this session's, or forgotten.
  std::optional<LeaseFacts> FactsOf(const SessionLease& lease) const;
  // As their unary twins.
  RenewReply Renew(const SessionLease& lease, absl::Duration ttl, absl::Time now, Effects& effects);
  bool Release(const SessionLease& lease, absl::Time now, Effects& effects);
  // Of leases that were released, so many had expired with their holder.
  void CountExpired(uint64_t leases);

  // --- time ---
  // Does what is due by `now`: expiries, recoveries, probe verdicts, `until`, wait deadlines; at
  // most `limit` items, so that a burst cannot hold the lock. Returns whether more is due. The data
  // plane calls do a small step of it themselves.
  bool Advance(absl::Time now, int limit, Effects& effects);
  absl::Time NextEvent() const;  // InfiniteFuture: nothing pending

  // --- durable edits ---
  // Errors: NOT_FOUND, ALREADY_EXISTS, ABORTED (revision or uid mismatch), INVALID_ARGUMENT (field
  // named).
  absl::StatusOr<RowEdit> Prepare(const Edit& edit, absl::Time now) const;
  // REQUIRES: committed, and nothing else installed for this id since Prepare.
  void Install(const RowEdit& row, absl::Time now, Effects& effects);
  // New settings. Groups and providers that vanish keep serving with defaults.
  void Configure(Settings settings, absl::Time now, Effects& effects);
  // Uid the next created credential gets (persisted by the caller, so that none is given twice).
  Uid next_uid() const;

  // --- reads ---
  std::optional<CredentialView> Get(absl::string_view id, absl::Time now) const;
  absl::string_view IdOf(Uid uid) const;  // empty: no such incarnation
  // Visits rows in id order after `after_id`, until `visit` returns false or `limit` were visited.
  // Returns the id of the last one visited, empty at the end of the table.
  std::string Scan(absl::string_view after_id, int limit, absl::Time now,
                   absl::FunctionRef<bool(const CredentialRow&)> visit) const;
  Explanation Explain(const AcquireCommand& command, absl::string_view after_id, int limit,
                      absl::Time now) const;
  PoolStats Stats(absl::Time now) const;
  // Health of an id as it would be stored now (flush, rebuild tests). Null: no such credential.
  std::shared_ptr<const HealthRecord> Health(absl::string_view id) const;
  // Walks all invariants (in-flight sets, index membership, counts); aborts on a violation. O(n).
  void CheckInvariants(absl::Time now) const;

 private:
  std::unique_ptr<PoolState> state_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_POOL_H_
