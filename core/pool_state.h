// The parts of the pool and what its command files share. Private to core/pool*.cc and explain.cc.
#ifndef CREDBROKER_CORE_POOL_STATE_H_
#define CREDBROKER_CORE_POOL_STATE_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/affinity.h"
#include "core/breaker.h"
#include "core/fault.h"
#include "core/group_index.h"
#include "core/interner.h"
#include "core/lease_table.h"
#include "core/pool.h"
#include "core/probe_budget.h"
#include "core/record.h"
#include "core/rule_table.h"
#include "core/session_table.h"
#include "core/timer_heap.h"
#include "core/wait_queue.h"

namespace credbroker::core {

inline int64_t Nanos(absl::Time t) { return absl::ToUnixNanos(t); }
// INT64_MAX stands for never. Rounded up: a timer must not fire before its time has come.
inline int64_t NanosOrNever(absl::Time t) {
  if (t >= absl::FromUnixNanos(INT64_MAX)) return INT64_MAX;
  const int64_t ns = absl::ToUnixNanos(t);
  return absl::FromUnixNanos(ns) < t ? ns + 1 : ns;
}
inline absl::Time FromNanosOrNever(int64_t ns) {
  return ns == INT64_MAX ? absl::InfiniteFuture() : absl::FromUnixNanos(ns);
}

// What a bad outcome did to a credential, so that an opening breaker can take it back (rule 8).
struct Mark {
  absl::Time at;
  Uid uid;
  ModelId model;  // holds a reference
  Cause cause = Cause::kNone;
  std::optional<AvailabilityRecord> before;
  AuthHealth auth_before = AuthHealth::kOk;
  bool disabled = false;
};

// A breaker with the marks of its window.
struct GuardedBreaker {
  Breaker breaker;
  std::deque<Mark> marks;
};

struct ProviderState {
  std::string name;
  ProviderSettings settings;
  GuardedBreaker guard;
  ProbeBudget budget;
  ProviderStats stats;
  // Backoffs of the provider (kNoModel first) and of its models.
  std::vector<ScopeRecords> backoffs;
};

struct EgressState {
  GuardedBreaker guard;
  uint32_t members = 0;
  ScopeRecords backoff{kNoModel};  // of policy rows with scope egress
};

// What a request_id stands for.
struct RequestEntry {
  uint64_t fingerprint = 0;
  WaiterId waiter;  // parked
  uint32_t cell = kNoCell;
  LeaseSeq seq;
  SessionId session;  // of the call
};

// Caps are what stock and grants just after a restart could break.
inline bool Capped(const Record& record) { return record.cap > 0 || record.model_cap > 0; }

// A session binding a probe will make if it succeeds.
struct PendingBind {
  std::string key;
  uint64_t expected = 0;
  absl::Duration ttl;
};

// A search for stock ends after so many capped ones, so that it cannot hold the lock.
inline constexpr int kMostPassedOver = 1024;

// A resolved request.
struct Request {
  const AcquireCommand* command = nullptr;
  GroupIndex* group = nullptr;
  absl::InlinedVector<ProviderId, 4> providers;  // ascending, known ones
  GroupIndex::Demand demand;
  PrincipalId principal;
  std::string session;   // affinity key; empty: none
  bool reading = false;  // a question: renews no binding
  int passed_over = 0;   // capped members that a call could have had, and stock not
  // Proxies that kept a member from this call: a refusal names them, not those of others.
  absl::flat_hash_set<EgressId> held_back_by;
};

// What must hold of any document. INVALID_ARGUMENT, the field named.
absl::Status CheckDocument(const Document& document);

// What would be granted.
struct Choice {
  Slot slot = kNoSlot;
  bool probe = false;  // of the credential or its model
  bool breaker_probe = false;
  bool backoff_probe = false;
  ReadySet* picked_from = nullptr;  // to charge; null: pin, session, probe
  bool by_binding = false;          // the session's credential, or the wait for it
  bool bind = false;                // set the session's binding
  uint64_t expected_binding = 0;
  bool rebound = false;
};

class PoolState {
 public:
  explicit PoolState(PoolOptions options);

  // --- pool.cc: names, standing ---
  GroupIndex& Group(absl::string_view name);  // makes it
  GroupIndex* FindGroup(absl::string_view name);
  ProviderId Provider(absl::string_view name);  // makes it
  ProviderState& provider(ProviderId id) { return *providers[id.number()]; }
  absl::Time Latest(absl::Time now);
  void ResolveCaps(Record& record);
  Standing StandingOf(const Record& record) const;
  Standing ModelStandingOf(const Record& record, const ScopeRecords* scope, ModelId model) const;
  // Derives the standing anew, moves it in the indexes, sets the timer and writes history.
  void Rederive(Slot slot, Why why, PrincipalId actor, Effects& effects);
  void RederiveModel(Slot slot, ModelId model, Effects& effects);
  void SetTimer(Slot slot);

  // --- pool_health.cc: records, history, what is written of them ---
  ScopeRecords& ScopeFor(Record& record, ModelId model, Effects& effects);
  void DropEmptyScopes(Slot slot, Effects& effects);
  void PushHistory(Record& record, const Transition& line);
  void EmitHealth(Slot slot, Why why, std::optional<Transition> line, Effects& effects);
  std::shared_ptr<const HealthRecord> HealthOf(const Record& record) const;
  static bool Fault(absl::string_view name) { return SeededFault(name); }

  // --- pool_select.cc ---
  std::optional<Refusal> Resolve(const AcquireCommand& command, Request* request);
  bool Choose(Request& request, Choice* choice, RefusalInfo* refusal);
  bool ChoosePinned(Request& request, Choice* choice, RefusalInfo* refusal);
  enum class Bound : uint8_t { kFree, kChosen, kHeld };  // kHeld: to one that is busy, no spilling
  Bound ChooseBound(Request& request, Choice* choice, RefusalInfo* refusal);
  bool ChooseProbe(Request& request, Choice* choice);
  bool ChooseReady(Request& request, Choice* choice, std::optional<int64_t> above);
  static bool IsExcluded(const Request& request, const Record& record);
  // `held_back`, if given, gets the proxy where it is that which lets nobody through.
  bool Admissible(const Request& request, Slot slot,
                  absl::flat_hash_set<EgressId>* held_back = nullptr) const;
  bool KeyIsDry(const Request& request) const;
  // All that is busy just after a restart waits for sessions to resume.
  Refusal BusyReason() const {
    return now < options.resume_only_until ? Refusal::kResumeOnly : Refusal::kBusy;
  }
  // Fully open members, busy or not.
  uint32_t OpenOnes(const Request& request, const GroupIndex::Demand& demand) const;
  // Those the request may probe, tokens aside, the longest unprobed first but for the ones held
  // back for its model, which come last; until `visit` returns false.
  void ForEachProbe(Request& request, absl::FunctionRef<bool(Slot, int64_t probed_ns)> visit) const;
  // When a member that is back at `returns_ns` can be had by this call: not before its proxy and
  // its provider let it through. INT64_MAX: never, or nobody knows.
  int64_t LetThroughAt(const Request& request, Slot slot, int64_t returns_ns) const;
  // The reason a provider lets nobody through now; kNone: open. *probe: one may go as its probe,
  // and *until, where it is set, others may.
  Cause Gate(ProviderId id, absl::string_view model, absl::Time* until, bool* probe) const;
  // Whether a backoff lets somebody through; the same answers as Gate.
  Cause BackoffGate(const ScopeRecords& backoff, absl::Time* until, bool* probe) const;

  // --- pool_refusal.cc ---
  void FillRefusal(Request& request, RefusalInfo* refusal) const;

  // --- pool_egress.cc ---
  EgressId JoinEgress(absl::string_view proxy_url);
  void LeaveEgress(EgressId id, Effects& effects);
  Cause EgressGate(EgressId id, absl::Time* until, bool* probe) const;  // as Gate
  void TakeEgressProbe(LeaseCell& lease, EgressId id);
  void SweepEgress();

  // --- pool_acquire.cc ---
  AcquireReply Acquire(const AcquireCommand& command, Effects& effects);
  AcquireReply Try(const AcquireCommand& command, WaiterId waiter, absl::Time parked,
                   Effects& effects);
  void Commit(Request& request, const Choice& choice, Grant* grant, Effects& effects);
  void FillGrant(uint32_t cell, Grant* grant) const;
  // Asks for the memory of those that `picked_from` will grant soon.
  void WarmUp(const GroupIndex& group, const ReadySet& picked_from);
  std::optional<AcquireReply> Repeated(const AcquireCommand& command, Effects& effects);
  bool Park(const AcquireCommand& command, const Request& request, const RefusalInfo& refusal,
            AcquireReply* reply);
  void Pump(Effects& effects);  // serves parked calls of groups that changed
  void Answer(WaiterId waiter, AcquireReply reply, Effects& effects);
  void ForgetRequest(const ParkedCall& call);
  // It holds as many leases as one may.
  bool AtLeaseLimit(PrincipalId principal) const {
    return leases.LiveOf(principal) >= settings.limits.max_leases_per_principal &&
           !Fault("principal_unlimited");
  }
  // Without spilling it is the session that decides which credential can serve a call.
  static bool SessionDecides(const GroupIndex& group) { return !group.settings().session_spill; }

  // --- pool_leases.cc ---
  void EndLease(uint32_t cell, LeaseEnd end, Effects& effects);
  void Inconclusive(uint32_t cell, LeaseCell& lease, Record& record, Effects& effects);
  void ForgetEnded(int limit);
  RenewReply Renew(absl::string_view principal, const LeaseClaims& claims, absl::Duration ttl,
                   Effects& effects);
  bool Release(absl::string_view principal, const LeaseClaims& claims, Effects& effects);

  absl::Duration TtlOf(const AcquireCommand& command) const {
    if (command.ttl <= absl::ZeroDuration()) return settings.limits.default_ttl;
    return std::min(command.ttl, settings.limits.max_ttl);
  }
  RenewReply Extend(uint32_t cell, const LeaseCell& lease, absl::Duration ttl);

  // --- pool_session.cc ---
  void JoinSession(uint32_t cell, SessionId id, bool for_stock);
  void LeaveSession(uint32_t cell, LeaseEnd end);
  LeaseCell* FindLease(const SessionLease& name);  // live or remembered; nullptr: not the session's
  // Ends a lost or closed one, at most `limit` leases of it; returns how much was done, 1 or more.
  int EndSession(uint32_t place, int limit, Effects& effects);
  static AcquireCommand ForStock(const AcquireCommand& given);
  StockReply AcquireStock(const AcquireCommand& command, int count, std::vector<StockLease>& out,
                          Effects& effects);
  StockLease CommitStock(Request& request, const Choice& choice);
  // Nothing was found for stock: whether there would be something for a call.
  void JudgeStockRefusal(const Request& request, RefusalInfo* refusal);
  AdoptReply Adopt(const AdoptCommand& command, Effects& effects);
  bool HasRoom(Slot slot, absl::string_view model) const;
  // Both say nothing where no session holds a lease of it.
  void RevokeIfLeft(const Record& record, ModelId model, const Standing& before,
                    const Standing& after, Effects& effects);
  // By some session. One that holds no lease of it may remember its material all the same, for
  // when the broker is away.
  bool MayBeKnown(const Record& record) const {
    return record.session_leases != 0 || sessions.open() != 0;
  }
  void Revoke(const Record& record, ModelId model, RevokeReason reason, Cause cause,
              int64_t until_ns, Effects& effects);

  // --- pool_report.cc, pool_outcome.cc ---
  ReportReply Report(const ReportCommand& command, Effects& effects);
  void CountReport(const Record& record, const Verdict& verdict, Disposition disposition);
  struct Subject {               // of a report: its lease, by what its id or its session says of it
    LeaseCell* lease = nullptr;  // live or remembered
    uint32_t cell = 0;
    bool own = false;  // the caller's
    Uid uid;
    LeaseSeq seq;
    uint64_t material_version = 0;
    absl::Time granted, expires;
    absl::string_view model;
  };
  Subject SubjectOf(const SessionLease& name);
  struct Evidence {  // of one report
    Slot slot;
    absl::Time granted, happened;
    ModelId model;
    PrincipalId principal;
    LeaseSeq seq;
    bool probe = false;  // it is the live probe of some scope
    bool breaker_probe = false;
  };
  void ApplyVerdict(const Evidence& evidence, const Verdict& verdict, ReportReply* reply,
                    Effects& effects);
  void ApplySuccess(const Evidence& evidence, const Verdict& verdict, Effects& effects);
  bool ApplyWait(const Evidence& evidence, const Verdict& verdict, std::vector<Mark>* marks,
                 Effects& effects);
  bool ApplyDisable(const Evidence& evidence, const Verdict& verdict, std::vector<Mark>* marks,
                    Effects& effects);
  void ApplyRefresh(const Evidence& evidence, ReportReply* reply, Effects& effects);
  Failure FailureOf(const Verdict& verdict, const Evidence& evidence) const;

  // --- pool_backoff.cc ---
  void ApplyBackoff(const Evidence& evidence, const Verdict& verdict, Effects& effects);
  ScopeRecords& BackoffFor(const Evidence& evidence, Scope scope, Effects& effects);
  // A success came: returns whether it can be forgotten.
  bool ClearBackoff(ScopeRecords& backoff, absl::string_view of, absl::string_view proxy,
                    const Evidence& evidence, Effects& effects);
  // What is to be stored of a backoff: what holds longest, or that nothing does. `of`: its
  // provider, or `proxy`: its egress.
  void EmitBackoff(const ScopeRecords& backoff, absl::string_view of, absl::string_view proxy,
                   Why why, Effects& effects);
  void JudgeProbe(const Evidence& evidence, const Verdict& verdict, Effects& effects);
  void FeedBreakers(const Evidence& evidence, const Verdict& verdict, std::vector<Mark> marks,
                    Effects& effects);
  bool FeedGoodNews(Record& record);
  void ForgetMarks(GuardedBreaker& guard);
  void OpenBreaker(GuardedBreaker& guard, Effects& effects);
  bool IsLastUnblocked(const Record& record, ModelId model);
  void StoreWindows(Slot slot, const Verdict& verdict);

  // --- pool_timers.cc ---
  bool Advance(int limit, Effects& effects);
  // The small step of Advance that data plane calls do: a few comparisons when nothing is due.
  void Step(Effects& effects) {
    if (leases.NextExpiry() <= now_ns || timers.MinTime() <= now_ns || waits.size() != 0 ||
        sessions.NextDeadline() <= now_ns) {
      Due(4, effects);
    }
    ForgetEnded(4);
  }
  void Due(int limit, Effects& effects);
  void OnSlotTimer(Slot slot, Effects& effects);
  void ExpireWaits(int limit, Effects& effects);
  void SweepProbes(Slot slot, Effects& effects);
  void SweepModels(Slot slot, Effects& effects);
  absl::Time NextEvent() const;

  // --- pool_edit.cc ---
  absl::StatusOr<RowEdit> Prepare(const Edit& edit, absl::Time now) const;
  void Install(const RowEdit& row, Effects& effects);
  void Remove(Slot slot, Effects& effects);
  Slot Insert(Uid uid, const std::shared_ptr<const Document>& document,
              std::shared_ptr<const Intent> intent, std::shared_ptr<const Material> material,
              const HealthRecord* health, Effects& effects);
  void ReplaceDocument(Slot slot, std::shared_ptr<const Document> document, Effects& effects);

  // --- pool_load.cc ---
  void Configure(Settings settings, Effects& effects);

  // --- members, by concern ---
  PoolOptions options;
  Settings settings;
  absl::Time now = absl::UnixEpoch();  // the latest time told
  int64_t now_ns = 0;
  uint64_t next_uid = 1;

  RecordTable records;
  RuleTable rules;
  Models models;
  Interner<GroupId> group_names;          // never given back
  Interner<ProviderId> provider_names;    // never given back
  Interner<PrincipalId> principal_names;  // never given back
  Interner<EgressId> egress_names;
  std::vector<std::unique_ptr<GroupIndex>> groups;        // by GroupId; [0] is null
  std::vector<std::unique_ptr<ProviderState>> providers;  // by ProviderId; [0] is null
  std::vector<EgressState> egress;                        // by EgressId; [0] unused
  absl::flat_hash_set<EgressId> open_egress;              // with an open breaker or a backoff

  LeaseTable leases;
  SessionTable sessions;
  EarlierReports earlier_reports;
  int64_t ended_retention_ns = 0;  // of settings
  TimerHeap timers;                // by slot
  // Orders grants and tells their second: counts in the lower half.
  uint64_t NextGrant() {
    return static_cast<uint64_t>(now_ns / 1'000'000'000) << 32 | static_cast<uint32_t>(++grants);
  }
  uint64_t grants = 0;
  Slot upcoming = kNoSlot;  // whose record was asked for last: a hint, it may be free by now
  // Live leases of a (credential, model), only where a per-model cap is set.
  absl::flat_hash_map<std::pair<Slot, ModelId>, uint32_t> model_in_flight;
  absl::flat_hash_map<uint32_t, std::string> request_of_cell;
  absl::flat_hash_map<std::string, RequestEntry> requests;  // principal \0 request_id
  absl::flat_hash_map<uint32_t, PendingBind> pending_binds;

  AffinityTable affinity;
  WaitQueue waits;
  uint64_t next_waiter = 1;
  absl::flat_hash_set<GroupId> pump;      // groups where something became selectable
  std::map<GroupId, absl::Time> pump_at;  // when a parked call of the group may be served by time

  PoolStats totals;  // counters only
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_POOL_STATE_H_
