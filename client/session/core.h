// The session itself: told of events and the time, it moves stock, ends and calls to and from the
// stream. It starts no thread and waits for nothing; runner.h drives it.
//
// Thread-safety: the session's thread only. Callbacks of callers run inside Handle and Step.
#ifndef CREDBROKER_CLIENT_SESSION_CORE_H_
#define CREDBROKER_CLIENT_SESSION_CORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "client/session/call_table.h"
#include "client/session/connection.h"
#include "client/session/end_queue.h"
#include "client/session/lease_book.h"
#include "client/session/serve_last.h"
#include "client/session/shared.h"
#include "client/session/stock_keeper.h"
#include "client/session/stream.h"

namespace credbroker::client {

class SessionCore {
 public:
  // `stream` outlives this.
  SessionCore(std::shared_ptr<SessionShared> shared, Stream& stream);
  SessionCore(const SessionCore&) = delete;
  SessionCore& operator=(const SessionCore&) = delete;

  void Handle(StreamEvent& event);
  // Does all that is due. Returns whether callers were active: look again soon.
  bool Step();
  // How long nothing is due, unless somebody says something.
  absl::Duration NextWait() const;
  // Close is done.
  bool finished() const { return finished_; }
  // After the last Step, when notes are closed: tells callers that the last ones are dropped.
  void DropNotes();

  // --- Commands of callers (SessionShared::Run) ---

  void Declare(TargetId id, Target target);
  void Retire(TargetId id);
  void Acquire(AcquireCall call);
  void Cancel(uint64_t id);
  // `done` is called when all ends so far are processed or given up.
  void Flush(std::function<void()> done);
  // `done` gets the result when the session is closed.
  void Close(absl::Duration timeout, std::function<void(absl::Status)> done);

 private:
  // Settled: the broker has answered it, with all leases it named and those that were served
  // meanwhile.
  enum class Hello { kNone, kConnecting, kSending, kSent, kSettled };

  // core_connect.cc: the stream's life.
  void OnClosed(absl::Status cause);
  void OnLost();
  // Answers what waits, if the session is lost.
  void AnswerLost();
  // A hello is under way: whoever may wait a little waits for its end.
  bool Greeting() const {
    return hello_ == Hello::kSending || (hello_ == Hello::kSent && !connection_.up());
  }
  void Cut(const absl::Status& why);
  void Open();
  void StartHello();
  void FillHello();
  static void FillResumed(const LeaseRecord& record, v1::SessionResumedLease* lease);
  void OnWelcome(const v1::SessionWelcome& welcome);
  // Stock may be handed out for as long as the connection says.
  void Extend();
  void Resume(const google::protobuf::RepeatedPtrField<v1::SessionResumption>& resumptions);
  // Flags them, takes them out of stock, and tells.
  void Refuse(const std::vector<LeaseRecord*>& records);
  void TellState(const absl::Status& cause, bool resumed, size_t refused);
  void DoClose();

  // core_receive.cc: what the broker says.
  void OnMessage(v1::SessionResponse& message);
  void SettleHello(const v1::SessionResponse& message);
  void Announce(google::protobuf::RepeatedPtrField<v1::SessionCredential>& credentials);
  void Revoke(const google::protobuf::RepeatedPtrField<v1::SessionRevocation>& revocations);
  // Revokes leases up to what it covers; nothing is taken out of stock yet.
  static void Cover(Credential& credential, const v1::SessionRevocation& revocation);
  void ReceiveStock(const v1::SessionStock& stock);
  void ReceiveGrant(const v1::SessionGrant& grant);
  void ReceiveRenewal(const v1::SessionRenewal& renewal);
  // Null: no room, or an unknown credential; the lease is given back.
  LeaseRecord* Enter(uint64_t number, uint32_t credential, const std::string& model,
                     uint64_t order);
  void SetLife(LeaseRecord* record, absl::Time granted, absl::Time expires, absl::Duration ttl);
  void Return(LeaseRecord* record);

  // core.cc and core_serve.cc: callers, timers, and what is sent.
  void TakeNotes();
  void Answer(AcquireCall& call, absl::StatusOr<Lease> result);
  // Those whose time is over, and those that are to be served from the last known material.
  void AnswerDue();
  bool MayServeLast(const AcquireCall& call) const;
  // REQUIRES: MayServeLast.
  absl::StatusOr<Lease> ServeLastKnown(const AcquireCall& call);
  // While the session is lost.
  absl::StatusOr<Lease> AcquireLost(const AcquireCall& call);
  void ReturnStock();
  void RenewLeases();
  bool CanRenew(const LeaseRecord& record) const;
  void Renew(LeaseRecord& record, absl::Duration ttl);
  void SayAnswers();
  void Write();
  bool FillMessage();
  size_t FillRenewals(size_t budget);
  size_t FillServed(size_t budget);
  void Publish();

  const std::shared_ptr<SessionShared> shared_;
  Stream& stream_;
  int64_t now_ns_ = 0;

  Connection connection_;
  LeaseBook book_;
  EndQueue ends_;
  CallTable calls_;
  StockKeeper stock_;
  ServeLast serve_last_;

  // The stream.
  bool open_ = false;
  // Aborted, not yet closed: what it still says does not count.
  absl::Status cut_;
  bool writing_ = false;
  bool half_closed_ = false;
  Hello hello_ = Hello::kNone;
  // The broker did not know the session, and what was presented is not all answered yet: the broker
  // counts on it that what it refuses is not handed out longer than the session before allowed.
  bool fresh_ = false;
  std::vector<LeaseRecord*> hello_leases_;
  size_t hello_next_ = 0;
  // Served since the hello, with their local_id: to be presented beside it.
  std::vector<std::pair<LeaseRecord*, uint64_t>> served_;
  // A ping of after the welcome was answered: nothing that was presented is still to be answered.
  uint64_t settle_ping_ = 0;
  uint64_t number_ = 0;
  uint64_t to_acknowledge_ = 0;
  uint64_t acknowledged_ = 0;
  std::vector<uint64_t> returned_numbers_;
  v1::SessionRequest message_;
  int64_t wrote_at_ns_ = 0;

  struct Renewal {
    LeaseRecord* record;
    uint64_t local_id;
    absl::Duration ttl;
  };
  std::vector<Renewal> renewals_;
  int64_t renew_look_at_ns_ = 0;
  int64_t prune_at_ns_ = 0;
  bool ends_due_ = false;

  std::vector<LeaseNote> notes_;
  std::vector<LeaseRecord*> removed_;
  std::vector<std::pair<uint64_t, std::function<void()>>> flushes_;
  SessionStats stats_;

  bool closing_ = false;
  bool finished_ = false;
  int64_t close_by_ns_ = kNever;
  std::vector<std::function<void(absl::Status)>> closed_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_CORE_H_
