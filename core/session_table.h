// Sessions and the live leases of each. A lease's links lie beside its cell, in a slab that grows
// only where sessions are used, so that a cell stays one cache line. Thread-compatible.
#ifndef CREDBROKER_CORE_SESSION_TABLE_H_
#define CREDBROKER_CORE_SESSION_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ids.h"
#include "core/lease_table.h"
#include "core/record.h"
#include "core/slab.h"
#include "core/timer_heap.h"

namespace credbroker::core {

struct Session {
  enum class State : uint8_t { kOpen, kDetached, kEnding };
  SessionId id;  // kNoSession: the place is free
  PrincipalId principal;
  uint32_t first = kNoCell;  // of its live leases
  uint32_t leases = 0;       // length of that list
  State state = State::kOpen;
  bool lost = false;  // kEnding: by its deadline, not by a close
};

// Of one lease cell, live or lately ended.
struct SessionLink {
  SessionId session;  // kNoSession: not a session's lease
  uint32_t prev = kNoCell, next = kNoCell;
  int64_t granted_ns = 0;
  // Ended without a report: what a late one is about. Holds a reference.
  ModelId model;
};

class SessionTable {
 public:
  static constexpr uint32_t kMaxSessions = 1u << 20;

  // REQUIRES: fewer than kMaxSessions are there.
  SessionId Open(PrincipalId principal);
  // Open or detached; nullptr: unknown or ending.
  Session* Find(SessionId id);
  const Session* Find(SessionId id) const;
  const Session* FindOpen(SessionId id) const;
  Session& at(uint32_t place) { return sessions_[place]; }
  void Detach(Session& session, int64_t deadline_ns);
  void Resume(Session& session);
  // Its number names nothing from now on; it is due at once until Drop.
  void BeginEnd(Session& session, bool lost, int64_t now_ns);
  void Drop(uint32_t place);  // REQUIRES: it is ending and holds nothing

  // --- leases, by cell ---
  // REQUIRES: the cell is no session's.
  void Link(uint32_t cell, Session& session, int64_t granted_ns);
  // Out of its session's list; what it was is still known.
  void Unlink(uint32_t cell);
  void Forget(uint32_t cell);
  bool Holds(SessionId session, uint32_t cell) const {
    return session != kNoSession && cell < links_.size() && links_[cell].session == session;
  }
  SessionLink& link(uint32_t cell) { return links_[cell]; }
  const SessionLink& link(uint32_t cell) const { return links_[cell]; }
  uint32_t links() const { return links_.size(); }

  // --- what is due: lost or ending sessions, by place ---
  int64_t NextDeadline() const { return deadlines_.MinTime(); }
  uint32_t NextDue() const { return deadlines_.MinIndex(); }
  int64_t DeadlineOf(SessionId id) const { return deadlines_.TimeOf(PlaceOf(id)); }

  uint32_t limit() const { return sessions_.size(); }
  const Session& at(uint32_t place) const { return sessions_[place]; }
  size_t open() const { return open_; }
  size_t detached() const { return detached_; }
  size_t leases() const { return leases_; }  // live ones of all sessions, ending ones too

  // Where the session of this number is, or was.
  static uint32_t PlaceOf(SessionId id) {
    return static_cast<uint32_t>(id.number() & (kMaxSessions - 1));
  }

 private:
  static constexpr int kPlaceBits = 20;

  Slab<Session, 256> sessions_;  // by the low bits of their numbers
  std::vector<uint32_t> free_;
  Slab<SessionLink, 4096> links_;
  TimerHeap deadlines_;
  uint64_t opened_ = 0;
  size_t open_ = 0, detached_ = 0, leases_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_SESSION_TABLE_H_
