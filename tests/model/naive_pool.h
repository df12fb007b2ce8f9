// A second, slow pool that decides what the real one may answer. It shares no code with it but
// plain values: it keeps facts in maps, scans them all and works every state out anew at each
// question. The simulation tells it each command together with the pool's answer; it throws
// Mismatch where the answer is not permitted, else it follows the answer. Times are those the pool
// was told. Not thread-safe.
#ifndef CREDBROKER_TESTS_MODEL_NAIVE_POOL_H_
#define CREDBROKER_TESTS_MODEL_NAIVE_POOL_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/edit.h"
#include "core/pool.h"
#include "core/view.h"
#include "tests/model/naive_facts.h"

namespace credbroker::model {

// What a credential is for a model at this moment.
struct Look {
  core::State state = core::State::kAvailable;
  core::Cause cause = core::Cause::kNone;
  bool ready = false;  // strategies may pick it
  bool open = false;   // neither held back nor half-open; may be busy
  bool half_open = false;
  bool probe_ready = false;
  bool pinnable = false;  // a pin may take it (weight does not matter)
  bool resume_only = false;
  absl::Time returns = kNever;
  absl::Time probed = kPast;
};

// What Acquire may answer.
struct Decision {
  bool granted = false;
  std::set<uint64_t> allowed;  // uids
  bool probe = false;
  bool gate_probe = false;
  bool bind = false, rebound = false;
  uint64_t expected_binding = 0;
  std::string session_key;
  bool charged = false;                      // the strategy picked: its cursor moves
  bool dry = false;                          // its key has nothing fully open
  std::map<int64_t, std::string> cursor_of;  // priority -> name of its cursor
  core::Refusal reason = core::Refusal::kCooling;
  std::optional<core::Refusal> or_reason;  // several hold it: either may be named
  std::array<uint32_t, core::kCauseCount> counts{};
  uint32_t members = 0;
  bool counted = false;  // counts and members say something
  absl::Time earliest = kNever;
  bool earliest_exact = true;  // else the pool may also name an earlier moment, but not the present
};

class NaivePool {
 public:
  NaivePool(core::Settings settings, uint64_t seed);

  // --- commands, each with what the pool answered ---
  void Drained(absl::Time now, const core::Effects& effects);  // Advance without a limit
  void Acquired(const core::AcquireCommand& command, const core::AcquireReply& reply,
                const core::Effects& effects);
  void Cancelled(uint64_t waiter, const core::Effects& effects);
  void Reported(const core::ReportCommand& command, const core::ReportReply& reply,
                const core::Effects& effects);
  void Renewed(const std::string& principal, const core::LeaseClaims& claims, absl::Duration ttl,
               const core::RenewReply& reply);
  void Released(const std::string& principal, const core::LeaseClaims& claims, bool released,
                const core::Effects& effects);
  // --- sessions ---
  void Opened(core::SessionId session, const std::string& principal);
  void Detached(core::SessionId session, absl::Time deadline);
  void Resumed(core::SessionId session, const std::string& principal, bool resumed);
  void Closed(core::SessionId session, bool closed, const core::Effects& effects);
  void Stocked(const core::AcquireCommand& command, int count, const core::StockReply& reply,
               const std::vector<core::StockLease>& leases, const core::Effects& effects);
  void Adopted(const core::AdoptCommand& command, const core::AdoptReply& reply,
               const core::Effects& effects);
  void Renewed(const core::SessionLease& lease, absl::Duration ttl, const core::RenewReply& reply);
  void Released(const core::SessionLease& lease, bool released, const core::Effects& effects);
  void CompareSession(core::SessionId session,
                      const std::vector<core::Pool::HeldLease>& leases) const;
  // After every command: what was revoked, and that nothing else had to be.
  void Told(const core::Effects& effects);
  size_t LeasesOf(uint64_t session) const;
  bool IsOpen(uint64_t session) const;

  void Installed(const core::RowEdit& row, const core::Effects& effects);
  void Configured(const core::Settings& settings, const core::Effects& effects);
  // A new process: what was loaded, nothing else.
  void Restarted(uint64_t epoch, absl::Time resume_only_until);
  void Loaded(uint64_t uid, std::shared_ptr<const core::Document> document,
              std::optional<core::Intent> intent, std::shared_ptr<const core::Material> material,
              const core::HealthRecord* health);
  void LoadedBackoff(const core::BackoffRecord& record);

  // --- questions ---
  void Explained(const core::AcquireCommand& command, const core::Explanation& given);
  void Compare(const core::CredentialView& view) const;
  void CompareCounts(const core::PoolStats& stats) const;
  const std::map<std::string, NaiveCredential>& credentials() const { return credentials_; }
  size_t live_leases() const;
  size_t parked() const;
  absl::Time now() const { return now_; }
  // Whether everything an operator or a policy has not disabled may be had.
  std::optional<std::string> NotAvailable() const;

 private:
  // naive_look.cc
  static bool Serves(const core::Document& document, const std::string& asked,
                     std::string* upstream);
  Look LookAt(const NaiveCredential& c, const std::string& upstream) const;
  int CapOf(const NaiveCredential& c) const;
  int ModelCapOf(const NaiveCredential& c) const;
  int InFlight(const NaiveCredential& c, const std::string& model) const;
  core::Cause Gate(const std::string& provider, const std::string& model, absl::Time* until,
                   bool* probe) const;
  core::Cause BackoffGate(const NaiveScope& scope, absl::Time* until, bool* probe) const;
  core::Cause EgressGate(const NaiveCredential& c, absl::Time* until, bool* probe) const;
  const core::GroupSettings& SettingsOf(const std::string& group) const;
  // naive_choose.cc
  struct Key;  // a resolved request
  std::optional<core::Refusal> Resolve(const NaiveCall& call, Key* key) const;
  bool Admissible(const Key& key, const NaiveCredential& c) const;
  bool Dry(const Key& key) const;
  Decision Decide(const NaiveCall& call);
  Decision DecideAny(const NaiveCall& call);
  bool HasEnough(const std::string& principal) const;
  core::Refusal BusyReason() const {
    return now_ < resume_only_until_ ? core::Refusal::kResumeOnly : core::Refusal::kBusy;
  }
  bool DecidePinned(const Key& key, Decision* d) const;
  bool DecideBound(const Key& key, Decision* d);
  bool DecideProbe(const Key& key, Decision* d) const;
  bool DecideReady(const Key& key, Decision* d, std::optional<int64_t> above) const;
  void Refuse(const Key& key, Decision* d) const;
  // naive_grant.cc
  void Granted(const NaiveCall& call, const Decision& d, const core::Grant& grant);
  void CheckRefusal(const Decision& d, const core::RefusalInfo& given,
                    const std::string& whose) const;
  void Woken(const core::Effects& effects, size_t from = 0);
  std::optional<NaiveCall> Unpark(uint64_t waiter, bool served);
  void NobodyServable();
  // naive_report.cc
  NaiveScope& ScopeFor(NaiveCredential& c, const std::string& model);
  void DropEmpty(NaiveCredential& c);
  struct Evidence;
  bool Fail(NaiveScope& scope, const core::Verdict& v, const Evidence& e, absl::Time from,
            bool failed_probe, core::Cause cause);
  void Apply(const Evidence& e, const core::Verdict& v, bool* refresh_wanted);
  void ApplySuccess(const Evidence& e);
  bool ApplyWait(const Evidence& e, const core::Verdict& v, std::vector<NaiveBreaker::Mark>* marks);
  bool ApplyDisable(const Evidence& e, const core::Verdict& v,
                    std::vector<NaiveBreaker::Mark>* marks);
  void ApplyBackoff(const Evidence& e, const core::Verdict& v);
  void Feed(const Evidence& e, const core::Verdict& v, std::vector<NaiveBreaker::Mark> marks);
  bool IsLast(const NaiveCredential& c, const std::string& model) const;
  void Open(NaiveBreaker& breaker);
  NaiveBreaker* BreakerOf(const NaiveCredential& c);  // of its proxy; null: direct
  // naive_session.cc
  void JoinSession(NaiveLease& lease, const NaiveCredential& c, uint64_t session);
  NaiveLease* Find(const core::SessionLease& name);
  void EndLeasesOf(uint64_t session);
  void LoseSessions();
  bool MayBeHandedOut(const NaiveLease& lease) const;
  // naive_time.cc
  void RenewLive(NaiveLease& lease, absl::Duration ttl, const core::RenewReply& reply);
  void EndLease(NaiveLease& lease, bool by_report = false);
  void Inconclusive(NaiveLease& lease);
  void ForgetEnded();
  void Due();
  NaiveCredential* ByUid(uint64_t uid);
  const NaiveCredential* ByUid(uint64_t uid) const;
  // naive_edit.cc
  void Leave(const NaiveCredential& c);
  static bool Plain(const core::Document& d);
  void Shaken(const std::string& group);  // its strategies' cursors are no longer known

  core::Settings settings_;
  uint64_t seed_, epoch_ = 1;
  absl::Time now_ = absl::UnixEpoch();
  absl::Time resume_only_until_ = kPast;
  std::map<std::string, NaiveCredential> credentials_;  // by id
  std::map<std::string, NaiveProvider> providers_;
  std::map<std::string, NaiveBreaker> egress_;  // by proxy URL, "direct" is none
  std::set<std::string> groups_;
  std::map<uint64_t, NaiveLease> leases_;                    // live and remembered ones
  std::deque<uint64_t> reported_, unreported_;               // remembered ones, by how they ended
  std::set<std::pair<uint64_t, uint64_t>> earlier_reports_;  // epoch, lease
  std::map<std::string, NaiveRequest> requests_;
  std::map<uint64_t, NaiveSession> sessions_;
  uint64_t newest_session_ = 0, newest_lease_ = 0, told_lease_ = 0;
  std::set<uint64_t> held_by_sessions_, disabled_, uids_;  // after the command before
  std::set<uint64_t> disabling_;                           // what an operator disabled since then
  bool listening_ = false;                                 // a session was open then
  std::map<std::string, NaiveBinding> bindings_;
  uint64_t binding_version_ = 0;
  // Parked calls of each group: principals in turn, each with its calls, oldest first.
  std::map<std::string, std::vector<std::pair<std::string, std::deque<NaiveCall>>>> parked_;
  uint64_t scopes_made_ = 0, joins_ = 0, grants_ = 0;
  struct Cursor {
    std::string at;  // empty: unknown
    std::string group, model;
    std::vector<std::string> providers;
    std::optional<core::Kind> kind;
    std::vector<std::pair<std::string, std::string>> labels;
    int64_t priority = 0;
  };
  Cursor CursorFor(const NaiveCall& call, const NaiveCredential& c) const;
  std::string CursorName(const Key& key, int64_t priority) const;
  std::map<std::string, Cursor> cursors_;  // a missing one stands at the start
  std::set<std::string> shaken_;           // groups whose missing ones are unknown
};

}  // namespace credbroker::model

#endif  // CREDBROKER_TESTS_MODEL_NAIVE_POOL_H_
