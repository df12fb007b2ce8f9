// The life of the stream: hello, welcome, resume, loss and close.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/session/core.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

// Of a hello message; its leases carry tickets.
constexpr size_t kHelloLeases = 1000;

bool InUse(const LeaseRecord& record) {
  return record.place.load(std::memory_order_relaxed) == Place::kInUse;
}

void Flag(LeaseRecord& record, v1::SessionRevocationReason reason) {
  record.revoke_reason.store(static_cast<uint8_t>(reason), std::memory_order_release);
}

}  // namespace

void SessionCore::Handle(StreamEvent& event) {
  now_ns_ = shared_->Now();
  switch (event.kind) {
    case StreamEvent::Kind::kNone:
      break;
    case StreamEvent::Kind::kOpened:
      if (cut_.ok()) StartHello();
      break;
    case StreamEvent::Kind::kWritten:
      writing_ = false;
      break;
    case StreamEvent::Kind::kMessage:
      if (open_ && cut_.ok()) OnMessage(*event.message);
      break;
    case StreamEvent::Kind::kClosed:
      OnClosed(cut_.ok() ? event.status : cut_);
      break;
  }
}

void SessionCore::Open() {
  connection_.Opened(now_ns_);
  open_ = true;
  cut_ = absl::OkStatus();
  writing_ = half_closed_ = false;
  number_ = to_acknowledge_ = acknowledged_ = settle_ping_ = 0;
  hello_ = Hello::kConnecting;
  const std::string owner = connection_.TakeOwner();
  stream_.Open(owner);
}

void SessionCore::StartHello() {
  connection_.HelloSent(now_ns_);
  hello_ = Hello::kSending;
  hello_next_ = 0;
  hello_leases_.clear();
  served_.clear();
  // What is not named in a hello is released.
  ends_.DropReleases();
  book_.ForEach([&](LeaseRecord& record) {
    if (record.standing != Standing::kAwaiting) return;
    book_.Present(&record);
    hello_leases_.push_back(&record);
  });
}

void SessionCore::FillResumed(const LeaseRecord& record, v1::SessionResumedLease* lease) {
  lease->set_lease(record.number);
  lease->set_ticket(std::string(record.credential->material->ticket.reveal()));
  lease->set_model(*record.model);
  ToWire(record.grant_time, lease->mutable_grant_time());
  ToWire(absl::FromUnixNanos(record.expire_unix_ns.load(std::memory_order_relaxed)),
         lease->mutable_expire_time());
}

void SessionCore::FillHello() {
  message_.Clear();
  message_.set_number(number_ + 1);
  v1::SessionHello* hello = message_.mutable_hello();
  hello->set_client(shared_->options().client);
  hello->set_instance(shared_->options().instance);
  hello->set_session_id(connection_.session_id());
  const size_t end = std::min(hello_leases_.size(), hello_next_ + kHelloLeases);
  for (; hello_next_ < end; ++hello_next_) {
    FillResumed(*hello_leases_[hello_next_], hello->add_leases());
  }
  hello->set_more(hello_next_ < hello_leases_.size());
  if (!hello->more()) hello_ = Hello::kSent;
}

void SessionCore::OnWelcome(const v1::SessionWelcome& welcome) {
  if (!shared_->parts().epochs->Admit(welcome.epoch())) {
    Cut(LocalError(LocalReason::kOldEpoch,
                   absl::StrCat("the broker's epoch ", welcome.epoch(), " is older than ",
                                shared_->parts().epochs->highest(), ", which was seen before")));
    return;
  }
  const bool first = connection_.state() == ConnectionState::kConnecting;
  if (!first) ++stats_.reconnects;
  connection_.Welcomed(welcome, now_ns_);
  if (!welcome.resumed()) {
    fresh_ = true;
    serve_last_.ForgetOrders();
    book_.ForgetOrders();
  }
}

void SessionCore::Extend() {
  if (fresh_ && (!connection_.up() || book_.presented() > 0)) return;
  fresh_ = false;
  shared_->SetValidUntil(connection_.valid_until_ns());
}

void SessionCore::Resume(
    const google::protobuf::RepeatedPtrField<v1::SessionResumption>& resumptions) {
  std::vector<LeaseRecord*> refused;
  for (const v1::SessionResumption& resumption : resumptions) {
    LeaseRecord* record = book_.TakePresented(resumption.old_lease());
    if (record == nullptr) {
      // Given up since the hello was sent; the broker has it again.
      if (resumption.lease() != 0) returned_numbers_.push_back(resumption.lease());
      continue;
    }
    if (resumption.lease() == 0 || book_.ByIndex(resumption.credential()) != record->credential) {
      refused.push_back(record);
      if (resumption.lease() != 0) returned_numbers_.push_back(resumption.lease());
      continue;
    }
    book_.SetNumber(record, resumption.lease());
    record->order = resumption.order();
  }
  Refuse(refused);
}

void SessionCore::Refuse(const std::vector<LeaseRecord*>& records) {
  if (records.empty()) return;
  for (LeaseRecord* record : records) record->standing = Standing::kRefused;
  removed_.clear();
  shared_->shards().RemoveIf(
      [] {}, [](const LeaseRecord& record) { return record.standing == Standing::kRefused; },
      &removed_);
  for (LeaseRecord* record : removed_) book_.Free(record);
  RevocationEvent event;
  event.reason = v1::SESSION_REVOCATION_REASON_LEASE_ENDED;
  event.dropped = removed_.size();
  stats_.stock_revoked += removed_.size();
  for (LeaseRecord* record : records) {
    if (!InUse(*record)) continue;
    Flag(*record, event.reason);
    event.cancel.push_back(record->local_id);
  }
  if (shared_->options().events.on_revoked) shared_->options().events.on_revoked(event);
}

void SessionCore::OnClosed(absl::Status cause) {
  open_ = writing_ = half_closed_ = false;
  cut_ = absl::OkStatus();
  hello_ = Hello::kNone;
  returned_numbers_.clear();
  renewals_.clear();
  book_.ForgetStream();
  book_.ForEach([](LeaseRecord& record) { record.renewing = false; });
  if (absl::IsInvalidArgument(cause)) {
    // One of the messages that were not answered was wrong: none goes out again as it was, or the
    // next stream would end as this one did.
    ends_.StripSent();
    for (const uint64_t id : calls_.Sent()) {
      AcquireCall call = calls_.Take(id);
      Answer(call, cause);
    }
  }
  ends_.Rewind();
  calls_.Rewind();
  stock_.Rewind();
  if (connection_.Closed(std::move(cause), now_ns_)) TellState(connection_.cause(), false, 0);
  AnswerLost();
  if (closing_) DoClose();
}

void SessionCore::OnLost() {
  shared_->SetValidUntil(0);
  // The hello would name what is void now.
  if (hello_ == Hello::kSending) Cut(absl::UnavailableError("the session was lost meanwhile"));
  removed_.clear();
  shared_->shards().RemoveIf([] {}, [](const LeaseRecord&) { return true; }, &removed_);
  // Not named in the next hello, and so released.
  stats_.stock_revoked += removed_.size();
  for (LeaseRecord* record : removed_) book_.Free(record);
  TellState(connection_.cause().ok() ? absl::UnavailableError("the broker answers no pings")
                                     : connection_.cause(),
            false, 0);
  // Others may be given the slots of these when the broker's grace is over.
  RevocationEvent event;
  event.reason = v1::SESSION_REVOCATION_REASON_LEASE_ENDED;
  book_.ForEach([&](LeaseRecord& record) {
    if (!InUse(record) || !record.credential->material->capped) return;
    Flag(record, event.reason);
    event.cancel.push_back(record.local_id);
  });
  if (!event.cancel.empty() && shared_->options().events.on_revoked) {
    shared_->options().events.on_revoked(event);
  }
  AnswerLost();
}

void SessionCore::AnswerLost() {
  if (connection_.state() != ConnectionState::kLost || Greeting()) return;
  for (const uint64_t id : calls_.All()) {
    AcquireCall call = calls_.Take(id);
    Answer(call, AcquireLost(call));
  }
}

void SessionCore::Cut(const absl::Status& why) {
  if (!open_ || !cut_.ok()) return;
  cut_ = why;
  stream_.Abort();
}

void SessionCore::TellState(const absl::Status& cause, bool resumed, size_t refused) {
  shared_->SetState(connection_.state());
  if (!shared_->options().events.on_connection) return;
  ConnectionEvent event;
  event.state = connection_.state();
  event.cause = cause;
  event.epoch = shared_->parts().epochs->highest();
  event.resumed = resumed;
  event.refused_leases = refused;
  shared_->options().events.on_connection(event);
}

void SessionCore::Close(absl::Duration timeout, std::function<void(absl::Status)> done) {
  if (finished_) {
    done(absl::OkStatus());
    return;
  }
  closed_.push_back(std::move(done));
  close_by_ns_ = std::min(close_by_ns_, After(now_ns_, timeout));
  if (closing_) return;
  closing_ = true;
  shared_->SetValidUntil(0);
  TakeNotes();
  notes_.clear();
  for (const uint64_t id : calls_.All()) {
    AcquireCall call = calls_.Cancel(id);
    Answer(call, LocalError(LocalReason::kClosed, "the session was closed"));
  }
  removed_.clear();
  shared_->shards().RemoveIf([] {}, [](const LeaseRecord&) { return true; }, &removed_);
  stats_.stock_returned += removed_.size();
  for (LeaseRecord* record : removed_) Return(record);
  // Whoever still holds a lease has lost it now.
  book_.ForEach([&](LeaseRecord& record) {
    if (!InUse(record)) return;
    Flag(record, v1::SESSION_REVOCATION_REASON_LEASE_ENDED);
    record.still_held = true;
    ends_.Add({.record = &record, .local_id = record.local_id, .kind = LeaseNote::Kind::kReleased});
  });
}

void SessionCore::DoClose() {
  if (finished_) return;
  absl::Status result;
  if (now_ns_ >= close_by_ns_) {
    result = LocalError(LocalReason::kDeadline, "not everything was processed in time");
    ends_.DropAll();
    if (open_) stream_.Abort();
  } else if (open_ && connection_.up() && cut_.ok()) {
    if (ends_.empty() && returned_numbers_.empty() && !writing_ && !half_closed_) {
      half_closed_ = true;
      stream_.CloseWrites();
    }
    return;
  } else {
    if (ends_.HasOutcomes()) {  // worth another stream
      if (!open_ && now_ns_ >= connection_.reopen_at_ns()) Open();
      return;
    }
    // Whoever still waits for an answer gets it now, also from a stream that was cut and whose end
    // nobody will see.
    ends_.DropAll();
    if (open_) stream_.Abort();
  }
  finished_ = true;
  // What they name is freed.
  hello_leases_.clear();
  served_.clear();
  close_by_ns_ = kNever;
  SayAnswers();
  shared_->SetState(ConnectionState::kClosed);
  if (shared_->options().events.on_connection) {
    ConnectionEvent event;
    event.state = ConnectionState::kClosed;
    event.cause = result;
    event.epoch = shared_->parts().epochs->highest();
    shared_->options().events.on_connection(event);
  }
  Publish();
  for (auto& done : std::exchange(closed_, {})) done(result);
}

}  // namespace credbroker::client
