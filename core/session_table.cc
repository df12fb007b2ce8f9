#include "core/session_table.h"

#include "core/check.h"

namespace credbroker::core {

SessionId SessionTable::Open(PrincipalId principal) {
  uint32_t place;
  if (free_.empty()) {
    place = sessions_.Add();
    CB_CHECK(place < kMaxSessions);
  } else {
    place = free_.back();
    free_.pop_back();
  }
  Session& session = sessions_[place];
  session = Session();
  // The count makes it unique, the low bits find it.
  session.id = SessionId(++opened_ << kPlaceBits | place);
  session.principal = principal;
  ++open_;
  return session.id;
}

Session* SessionTable::Find(SessionId id) {
  const uint32_t place = PlaceOf(id);
  if (id == kNoSession || place >= sessions_.size()) return nullptr;
  Session& session = sessions_[place];
  return session.id == id && session.state != Session::State::kEnding ? &session : nullptr;
}

const Session* SessionTable::Find(SessionId id) const {
  return const_cast<SessionTable*>(this)->Find(id);
}

const Session* SessionTable::FindOpen(SessionId id) const {
  const Session* session = Find(id);
  return session != nullptr && session->state == Session::State::kOpen ? session : nullptr;
}

void SessionTable::Detach(Session& session, int64_t deadline_ns) {
  CB_CHECK(session.state != Session::State::kEnding && deadline_ns != TimerHeap::kNever);
  if (session.state == Session::State::kOpen) {
    --open_;
    ++detached_;
  }
  session.state = Session::State::kDetached;
  deadlines_.Set(PlaceOf(session.id), deadline_ns);
}

void SessionTable::Resume(Session& session) {
  CB_CHECK(session.state != Session::State::kEnding);
  if (session.state == Session::State::kOpen) return;
  --detached_;
  ++open_;
  session.state = Session::State::kOpen;
  deadlines_.Erase(PlaceOf(session.id));
}

void SessionTable::BeginEnd(Session& session, bool lost, int64_t now_ns) {
  CB_CHECK(session.state != Session::State::kEnding);
  --(session.state == Session::State::kOpen ? open_ : detached_);
  session.state = Session::State::kEnding;
  session.lost = lost;
  deadlines_.Set(PlaceOf(session.id), now_ns);
}

void SessionTable::Drop(uint32_t place) {
  Session& session = sessions_[place];
  CB_CHECK(session.state == Session::State::kEnding && session.leases == 0 &&
           session.first == kNoCell);
  deadlines_.Erase(place);
  session = Session();
  free_.push_back(place);
}

void SessionTable::Link(uint32_t cell, Session& session, int64_t granted_ns) {
  while (links_.size() <= cell) links_.Add();
  SessionLink& link = links_[cell];
  CB_CHECK(link.session == kNoSession);
  link.session = session.id;
  link.granted_ns = granted_ns;
  link.prev = kNoCell;
  link.next = session.first;
  if (link.next != kNoCell) links_[link.next].prev = cell;
  session.first = cell;
  ++session.leases;
  ++leases_;
}

void SessionTable::Unlink(uint32_t cell) {
  SessionLink& link = links_[cell];
  Session& session = sessions_[PlaceOf(link.session)];
  CB_CHECK(link.session != kNoSession && session.id == link.session && session.leases > 0);
  if (link.prev != kNoCell) {
    links_[link.prev].next = link.next;
  } else {
    CB_CHECK(session.first == cell);
    session.first = link.next;
  }
  if (link.next != kNoCell) links_[link.next].prev = link.prev;
  link.prev = link.next = kNoCell;
  --session.leases;
  --leases_;
}

void SessionTable::Forget(uint32_t cell) { links_[cell] = SessionLink(); }

}  // namespace credbroker::core
