// Acquires that wait for an answer of the broker.
//
// Thread-safety: the session's thread only. Callbacks are collected for the owner to call.
#ifndef CREDBROKER_CLIENT_SESSION_CALL_TABLE_H_
#define CREDBROKER_CLIENT_SESSION_CALL_TABLE_H_

#include <cstdint>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "client/session/wire_time.h"
#include "credbroker/client/session.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

// One of them.
struct AcquireCall {
  // Unique in the session's life, not 0.
  uint64_t id = 0;
  // 0: the request says everything.
  TargetId target = 0;
  v1::AcquireRequest request;
  int64_t deadline_ns = 0;
  // From then on the last known material will do; kNever: it will not.
  int64_t serve_ns = kNever;
  // Asked for by the caller; cut at what is left until the deadline when it is sent.
  absl::Duration max_wait;
  AcquireCallback done;
};

class CallTable {
 public:
  CallTable() = default;
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;

  void Add(AcquireCall call);
  size_t size() const { return calls_.size(); }
  // Removes and returns it; `done` empty: there is no such call.
  AcquireCall Take(uint64_t id);
  // The same for a call its caller gave up: the broker is told, if it was asked.
  AcquireCall Cancel(uint64_t id);
  // Null: there is no such call. Valid until the table changes.
  const AcquireCall* Find(uint64_t id) const;
  // Ids whose deadline or serve_ns is at or before `now`.
  std::vector<uint64_t> Due(int64_t now) const;
  // There is nothing to serve: it waits on, and is due again at `serve_ns` or at its deadline.
  void WaitOn(uint64_t id, int64_t serve_ns);
  // The target is retired, and its id may be another's: its calls go on without one.
  void LeaveTarget(TargetId id);
  int64_t NextDue() const;
  std::vector<uint64_t> All() const;

  bool has_unsent() const { return !unsent_.empty() || !cancelled_.empty(); }
  // Moves up to `budget` acquires and cancels into `message`. Returns how many.
  size_t Fill(v1::SessionRequest* message, size_t budget, int64_t now);
  // To be sent again, e.g. because what was granted was revoked before it arrived.
  void Resend(uint64_t id);
  // The stream is over: every call is to be sent again. What the broker granted to the stream
  // before is not presented to it, and so released.
  void Rewind();
  // The ids of calls that were sent and not answered.
  std::vector<uint64_t> Sent() const;

 private:
  struct Entry {
    AcquireCall call;
    bool sent = false;
  };
  absl::flat_hash_map<uint64_t, Entry> calls_;
  // By the earlier one of deadline and serve_ns.
  std::set<std::pair<int64_t, uint64_t>> by_due_;
  std::deque<uint64_t> unsent_;
  std::vector<uint64_t> cancelled_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_CALL_TABLE_H_
