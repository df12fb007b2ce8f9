// SessionPeer: the broker's side of one stream with one client. It is fed with messages and emits
// messages; what carries them is a Wire.
//
// A session outlives its streams: SessionRegistry keeps its id, and the pool its leases. Everything
// else (targets, indexes, numbers) is the stream's and begins anew with the next one.
//
// How grants and revocations meet: a grant is made under the pool's lock, and a revocation may be
// handed out by another thread before the grant is in a message. A credential the client was told
// of gets its revocation whenever it comes, and `covers` says which grants it means. One the client
// was not told of is first made known here, and with that it is told what was revoked of it while
// grants were on their way (MissedRevocations); the grant goes out behind or beside that.
//
// Thread-safety: OnMessage, OnWritten, OnEnd and OnOver belong to the stream's loop thread, one at
// a time; the rest may be called from any thread. No lock of the engine or the registry may be held
// by a caller. Lock order: mutex_, then the engine's.
#ifndef CREDBROKER_SERVER_SESSION_PEER_H_
#define CREDBROKER_SERVER_SESSION_PEER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "server/engine/engine.h"
#include "server/engine/engine_sessions.h"
#include "server/engine/mutex.h"
#include "server/rpc/convert.h"
#include "server/session/counters.h"
#include "server/session/frame.h"
#include "server/session/known_credentials.h"
#include "server/session/missed_revocations.h"
#include "server/session/outbox.h"
#include "server/session/settlement.h"
#include "server/session/target_table.h"
#include "server/session/terms.h"
#include "server/session/wire.h"

namespace credbroker::session {

class SessionPeer;

// A session that waits for word on a revocation.
struct Awaited {
  uint64_t number = 0;
  SettlementHold hold;
};

// Leases that were adopted: their numbers by how the client named them, that is by the number they
// had then and by when they were granted.
using Adoptions = absl::flat_hash_map<std::pair<uint64_t, int64_t>, uint64_t>;

// What SessionPeer needs of its surroundings; SessionRegistry is it.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // Opens or resumes; OnOpened follows, perhaps later and from another thread.
  virtual void Open(std::shared_ptr<SessionPeer> peer, const v1::SessionHello& hello) = 0;
  // The stream is over.
  virtual void Left(SessionPeer& peer) = 0;
  virtual engine::EngineSessions& engine() = 0;
  virtual absl::Time Now() const = 0;
  virtual Terms terms() const = 0;
  virtual uint64_t epoch() const = 0;
  virtual std::string BaseUrlOf(absl::string_view provider, core::Kind kind) const = 0;
  virtual Counters& counters() = 0;
  // Adds to the bytes that wait for readers, of all sessions, and returns their sum.
  virtual int64_t AddQueued(int64_t bytes) = 0;
};

class SessionPeer : public std::enable_shared_from_this<SessionPeer> {
 public:
  // `host` and `wire` outlive the stream, that is OnOver.
  SessionPeer(SessionHost& host, absl::string_view principal, Wire& wire);
  SessionPeer(const SessionPeer&) = delete;
  SessionPeer& operator=(const SessionPeer&) = delete;

  // --- the stream's loop thread ---
  // `message` is swapped out while an answer to hello is awaited. Reads on when it may.
  void OnMessage(v1::SessionRequest& message);
  // What came is no message.
  void OnBadMessage(const grpc::Status& status);
  void OnWritten();
  void OnEnd();  // the client sent everything
  void OnOver();

  // --- the registry's ---
  struct Opened {
    grpc::Status status;  // not OK: refused, the rest is not set
    std::string id;
    core::SessionId session;
    Terms terms;  // that its client is promised
    // False with leases: its client does not know yet that it has this session.
    bool resumed = false;
    std::vector<engine::HeldLease> held;  // by the session that goes on
    // Of its stream before.
    std::vector<Awaited> awaited;
    Adoptions adopted;
    core::LeaseSeq newest;
    MissedRevocations missed;
  };
  void OnOpened(Opened opened);
  void OnRevoked(const core::Revoked& revoked);
  // A credential this client may know was replaced.
  void OnChanged(core::Uid uid);
  void GoAway(absl::Duration spread, absl::string_view reason);
  void End(const grpc::Status& status);
  void Cut();
  // Holds `hold` until the client acknowledged everything said so far, if it knows the credential.
  // While its hello is not over it may yet present a lease of it.
  void Settle(core::Uid uid, const SettlementHold& hold);
  std::vector<Awaited> TakeAwaited();
  // For the stream that goes on with the session, which hears of revocations from now on. REQUIRES:
  // this one was ended.
  void HandOver(const std::shared_ptr<SessionPeer>& successor, Opened* next);
  size_t adopted() const;  // how many are remembered
  // What the client has left undone for longer than it may; kNothing: it keeps up.
  enum class Behind : uint8_t { kNothing, kReading, kAcknowledging };
  Behind BehindSince(absl::Time before) const;
  bool ended() const;
  absl::Time last_heard() const {
    return absl::FromUnixNanos(last_heard_ns_.load(std::memory_order_relaxed));
  }

  const std::string& principal() const { return principal_; }
  std::string id() const;  // empty before OnOpened
  // What hello said; constant once the host was asked to open.
  const std::string& client() const { return client_; }
  const std::string& instance() const { return instance_; }
  const std::string& wanted() const { return wanted_; }  // the session to go on with, or empty

 private:
  // A credential that was made known just now.
  using Views = std::vector<engine::IssuedView>;

  // peer.cc
  void Heard();
  void Fail(const grpc::Status& status);
  void ReadOn();
  void Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MustRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendCredential(KnownCredentials::Entry& entry, const core::Issued& issued)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Revoke(const core::Revoked& revoked, uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RememberSuffix(const std::string& suffix) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Meet(core::Uid uid, Views& views) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Introduce(Views& views) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RevokedLocked(const core::Revoked& revoked) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RevokeMissed(core::Uid uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetMissed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t IndexOf(core::Uid uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Acknowledge(uint64_t number);

  // peer_hello.cc
  void Hello(v1::SessionRequest& message);
  void Welcome(const Opened& opened) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  using ResumedLeases = google::protobuf::RepeatedPtrField<v1::SessionResumedLease>;
  void ResumeLeases(const ResumedLeases& leases);
  struct Resumed {
    uint64_t old_lease = 0, lease = 0;
    core::Uid uid;
    core::LeaseSeq order;
    std::string model;
    bool adopted = false;
    uint64_t revision = 0;  // adopted: of its credential's document, as its client knows it
  };
  // False: the stream is over.
  bool AnswerResumed(const std::vector<Resumed>& resumed, const ResumedLeases& leases);
  bool IsCapped(core::Uid uid) const;
  std::vector<uint64_t> NumbersOf(const ResumedLeases& leases);
  Resumed ResumeOne(const v1::SessionResumedLease& lease, uint64_t number, absl::Time now);
  void RememberAdopted(const std::vector<Resumed>& resumed, const ResumedLeases& leases)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Settled();

  // peer_apply.cc
  void Apply(const v1::SessionRequest& message);
  grpc::Status CheckReferences(const v1::SessionRequest& message);
  void Ask(const v1::SessionRequest& message);
  void AskAcquire(const v1::SessionAcquire& acquire);
  bool MayHold(size_t more);
  static bool MayPark(const core::AcquireCommand& command);
  void Cancel(const v1::SessionRequest& message);

  // peer_answer.cc
  void Answer(const v1::SessionRequest& message);
  void AnswerStocks(const v1::SessionRequest& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerAcquires(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerReports() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerOne(uint64_t call, const core::AcquireReply& reply, absl::string_view suffix,
                 absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBack();
  void OnWoken(uint64_t call, const std::string& suffix, const core::AcquireReply& reply);
  void Count();

  SessionHost& host_;
  const std::string principal_;
  std::atomic<int64_t> last_heard_ns_;

  // Constant once hello was read; the number once OnOpened was called.
  std::string client_, instance_, wanted_;
  core::SessionId session_;

  // The loop thread's; OnOpened's while hello is being answered.
  Phase phase_ = Phase::kFirst;
  uint64_t number_ = 0;
  bool more_ = false;  // of hello
  bool resumed_ = false;
  v1::SessionRequest hello_;
  absl::flat_hash_map<uint64_t, engine::HeldLease> held_;
  TargetTable targets_;
  engine::SessionBatch batch_;
  std::vector<std::pair<uint64_t, std::string>> asked_;  // call and suffix, beside batch_.acquires
  std::vector<uint64_t> over_limit_;                     // calls that were not put to the pool
  std::vector<rpc::HeaderList> headers_;                 // beside batch_.reports
  std::vector<std::unique_ptr<rpc::AcquireArguments>> arguments_;
  std::vector<std::vector<absl::string_view>> excluded_;
  size_t leases_ = 0;  // granted and not known to have ended
  absl::Time counted_ = absl::InfinitePast();

  mutable engine::Mutex mutex_;
  std::string id_ ABSL_GUARDED_BY(mutex_);
  bool greeted_ ABSL_GUARDED_BY(mutex_) = false;   // hello is over
  bool applying_ ABSL_GUARDED_BY(mutex_) = false;  // a message; its answer has grants perhaps
  Wire* wire_ ABSL_GUARDED_BY(mutex_);             // null: over
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool in_flight_ ABSL_GUARDED_BY(mutex_) = false;
  bool reads_held_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time in_flight_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // that message
  Outbox outbox_ ABSL_GUARDED_BY(mutex_);
  int64_t queued_ ABSL_GUARDED_BY(mutex_) = 0;  // of it, as the host knows
  KnownCredentials known_ ABSL_GUARDED_BY(mutex_);
  MissedRevocations missed_ ABSL_GUARDED_BY(mutex_);
  // Said and not acknowledged, of those that a look at the credential does not show: what the next
  // stream says again if this one breaks.
  MissedRevocations told_ ABSL_GUARDED_BY(mutex_);
  std::weak_ptr<SessionPeer> successor_ ABSL_GUARDED_BY(mutex_);
  std::vector<core::Uid> changed_ ABSL_GUARDED_BY(mutex_);  // to be sent anew
  std::vector<std::string> suffixes_ ABSL_GUARDED_BY(mutex_);
  bool any_suffix_ ABSL_GUARDED_BY(mutex_) = false;  // too many to tell apart
  absl::flat_hash_map<uint64_t, core::WaiterId> calls_ ABSL_GUARDED_BY(mutex_);  // parked
  uint64_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;
  // Since when one is to be acknowledged and none was.
  absl::Time unacknowledged_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  std::vector<Awaited> awaited_ ABSL_GUARDED_BY(mutex_);
  // The newest lease its client was ever told of, in this session.
  core::LeaseSeq newest_ ABSL_GUARDED_BY(mutex_);
  Adoptions adopted_ ABSL_GUARDED_BY(mutex_);        // on this stream and those before
  size_t adopted_live_ ABSL_GUARDED_BY(mutex_) = 0;  // of them, when they were looked through last
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_PEER_H_
