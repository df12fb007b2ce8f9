// A broker at the end of a Stream, without network: it welcomes, grants from a list of credentials,
// takes reports, and does what a test tells it to. Stock, acquires, reports, resumes and
// revocations go by the rules of session.proto.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_TESTS_CLIENT_FAKE_BROKER_H_
#define CREDBROKER_TESTS_CLIENT_FAKE_BROKER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/session/stream.h"
#include "credbroker/client/clock.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

class FakeBroker final : public Stream {
 public:
  struct Credential {
    bool capped = false;
    bool available = true;
    int64_t version = 1;
    absl::Time material_expires = absl::InfiniteFuture();
  };
  struct Lease {
    std::string credential;
    std::string model;
    uint64_t order = 0;
  };

  // With a clock that does not run Poll never waits. The broker's clock begins at kEpoch.
  FakeBroker(const Clock& clock, bool clock_runs);
  static constexpr int64_t kStartSeconds = 1'800'000'000;

  // --- Stream ---
  void Open(const std::string& owner) override;
  void Write(const v1::SessionRequest& request) override;
  void CloseWrites() override;
  void Abort() override;
  StreamEvent Poll(absl::Duration timeout) override;
  void Wake() override;

  // --- What a test arranges ---
  void Add(const std::string& id) { Add(id, Credential()); }
  void Add(const std::string& id, Credential credential);
  // The stream breaks; what was written and not answered is lost.
  void Break(absl::Status status = absl::UnavailableError("broken"));
  // Connections fail.
  void SetReachable(bool reachable);
  // Requests are recorded and applied, but nothing is answered until it is switched on again.
  void SetAnswering(bool answering);
  // Records nothing of what it is sent: for runs without end.
  void SetForgetful(bool forgetful);
  // Forgets its sessions and leases, as a restart does, and counts orders from 1; adopts by ticket.
  void Restart();
  // What it grants for stock: nothing, with this reason, if not empty.
  void RefuseStock(const std::string& reason);
  // Acquires are refused so, if not OK.
  void RefuseAcquires(int code, const std::string& reason);
  // Acquires are not answered.
  void HoldAcquires(bool hold);
  // Resumed leases of this credential are refused.
  void RefuseResume(const std::string& credential);
  // The credential leaves AVAILABLE. Returns the revocation's number. Its `until` is the moment it
  // was made: on a clock that never shows the same twice it orders revocations against grants.
  uint64_t Revoke(const std::string& id, v1::SessionRevocationReason reason,
                  const std::string& model = "");
  // A 429 revokes its credential, which is back at once.
  void RevokeLimited(bool revoke);
  // It is back, with its next material.
  void Renew(const std::string& id);
  // Leases die with their credential's stock: tells the client this lease is over.
  void EndLease(uint64_t lease);
  void Send(v1::SessionResponse response);
  void set_epoch(int64_t epoch);

  // --- What it saw ---
  int opened() const;
  bool open() const;
  std::string last_owner() const;
  std::vector<v1::SessionRequest> TakeWritten();
  std::map<uint64_t, Lease> leases() const;
  std::vector<uint64_t> succeeded() const;
  std::vector<v1::SessionReport> reports() const;
  std::vector<v1::SessionResumedLease> last_hello() const;
  // Leases that were presented beside a hello.
  size_t adopted() const;
  size_t released() const;
  size_t expired() const;
  uint64_t acknowledged() const;
  bool half_closed() const;
  // Since the last Poll.
  bool woken();
  // Sees each acknowledgement as it comes, on the session's thread.
  void OnAcknowledged(std::function<void(uint64_t)> seen);
  // The order and the number of the newest lease.
  uint64_t last_order() const;
  uint64_t last_lease() const;
  // Of the broker's clock, as in grant times.
  int64_t NowUnixNanos() const { return absl::ToUnixNanos(Now()); }

 private:
  struct Event {
    StreamEvent::Kind kind = StreamEvent::Kind::kNone;
    v1::SessionResponse message;
    absl::Status status;
  };

  absl::Time Now() const;
  void Queue(Event event);
  void Answer(v1::SessionResponse response);
  void Welcome(const v1::SessionRequest& request, v1::SessionResponse* response);
  void Resume(const v1::SessionHello& hello, v1::SessionResponse* response);
  // Of served_leases.
  void Adopt(const v1::SessionRequest& request, v1::SessionResponse* response);
  // By its ticket; empty: there is none such.
  std::string Proved(const v1::SessionResumedLease& lease) const;
  uint32_t Announce(const std::string& id, v1::SessionResponse* response);
  // Empty: none.
  std::string Choose(const v1::AcquireRequest& request, bool for_stock);
  uint64_t Grant(const std::string& id, const std::string& model);
  void Prefetch(const v1::SessionPrefetch& prefetch, v1::SessionResponse* response);
  void Acquire(const v1::SessionAcquire& acquire, v1::SessionResponse* response);
  void AddRevocation(const std::string& id, v1::SessionRevocationReason reason,
                     const std::string& model, v1::SessionResponse* response);
  void TakeReport(const v1::SessionReport& report, v1::SessionResponse* response);
  void End(uint64_t lease) { leases_.erase(lease); }

  const Clock& clock_;
  const bool clock_runs_;

  // Of the events alone, so that Wake never waits for what Write computes. Taken after mutex_.
  std::mutex queue_mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;
  bool woken_ = false;
  Event current_;  // the session's thread only

  mutable std::mutex mutex_;
  bool open_ = false;
  bool half_closed_ = false;
  int opened_ = 0;
  std::string last_owner_;
  bool reachable_ = true;
  bool answering_ = true;
  bool forgetful_ = false;
  v1::SessionResponse unanswered_;
  std::string refuse_stock_;
  int refuse_code_ = 0;
  std::string refuse_reason_;
  bool hold_acquires_ = false;
  bool revoke_limited_ = false;
  std::set<std::string> refuse_resume_;
  int64_t epoch_ = 1;

  std::map<std::string, Credential> credentials_;
  std::string last_chosen_;
  std::map<uint32_t, v1::SessionTarget> targets_;
  std::map<std::string, uint32_t> indexes_;
  std::map<std::string, int64_t> announced_;
  std::string session_id_;
  int sessions_ = 0;
  std::map<uint64_t, Lease> leases_;
  uint64_t last_lease_ = 0;
  uint64_t last_order_ = 0;
  uint64_t last_revocation_ = 0;

  std::vector<v1::SessionRequest> written_;
  std::vector<uint64_t> succeeded_;
  std::vector<v1::SessionReport> reports_;
  std::vector<v1::SessionResumedLease> last_hello_;
  size_t adopted_ = 0;
  size_t released_ = 0;
  size_t expired_ = 0;
  uint64_t acknowledged_ = 0;
  std::function<void(uint64_t)> on_acknowledged_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_TESTS_CLIENT_FAKE_BROKER_H_
