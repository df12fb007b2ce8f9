#include "server/rpc/watch_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/rpc/convert.h"
#include "server/rpc/status.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

constexpr int kStep = 256;

core::CredentialRow RowOf(const core::CredentialView& view) {
  core::CredentialRow row;
  row.document = view.document.get();
  row.intent = &view.intent;
  row.uid = view.uid;
  row.auth = view.auth;
  row.state = view.state;
  row.cause = view.cause;
  row.half_open = view.half_open;
  row.busy = view.busy;
  row.in_flight = view.in_flight;
  row.next_recover = view.next_recover;
  row.material_version = view.material_version;
  return row;
}

}  // namespace

CredentialWatch::CredentialWatch(engine::Engine& engine, Options options,
                                 std::shared_ptr<ServerStream> stream)
    : engine_(engine),
      options_(std::move(options)),
      stream_(std::move(stream)),
      epoch_(engine.Stats().epoch),
      initial_(options_.send_initial) {}

grpc::Status CredentialWatch::Start() {
  grpc::Status expired =
      Error(v1::ERROR_REASON_CURSOR_EXPIRED,
            "the changes after this cursor are not kept any more; start again with send_initial");
  std::optional<uint64_t> after;
  if (!options_.cursor.empty()) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(options_.cursor, absl::MaxSplits('.', 1));
    uint64_t epoch = 0, number = 0;
    if (!absl::SimpleAtoi(parts.first, &epoch) || !absl::SimpleAtoi(parts.second, &number)) {
      return BadField("cursor", "is not one that this method gave");
    }
    if (epoch != epoch_) return expired;
    after = number;
  }
  // Before the scan: what changes meanwhile is seen twice rather than not at all.
  subscription_ = engine_.Watch(
      options_.max_queue,
      [weak = weak_from_this()] {
        if (const auto watch = weak.lock()) watch->Pump();
      },
      after);
  if (subscription_ == nullptr) return expired;
  engine::MutexLock lock(mutex_);
  said_ = engine_.Now();
  last_number_ = std::max(last_number_, subscription_->begins_after());
  return grpc::Status::OK;
}

void CredentialWatch::Pump() {
  engine::MutexLock lock(mutex_);
  while (stream_->writable()) {
    v1::WatchCredentialsResponse event;
    if (!NextLocked(&event)) {
      if (cut_ && changes_.empty()) {
        stream_->Finish(Error(v1::ERROR_REASON_LIMIT_REACHED,
                              "this watcher reads too slowly; start again with send_initial",
                              {{"limit", "changes a watcher may be behind"}}));
      }
      return;
    }
    if (!WriteLocked(event)) return;
  }
}

bool CredentialWatch::WriteLocked(v1::WatchCredentialsResponse& event) {
  said_ = engine_.Now();
  SetTime(said_, event.mutable_time());
  // Half of the initial ones are nothing to go on from.
  if (event.event() != v1::WATCH_EVENT_INITIAL) {
    event.set_cursor(absl::StrCat(epoch_, ".", last_number_));
  }
  return stream_->Write(event);
}

void CredentialWatch::Beat(absl::Duration quiet) {
  engine::MutexLock lock(mutex_);
  if (initial_ || cut_ || !changes_.empty() || engine_.Now() < said_ + quiet) return;
  if (!stream_->writable()) return;
  v1::WatchCredentialsResponse event;
  event.set_event(v1::WATCH_EVENT_HEARTBEAT);
  WriteLocked(event);
}

void CredentialWatch::End(const grpc::Status& status) { stream_->Finish(status); }

bool CredentialWatch::NextLocked(v1::WatchCredentialsResponse* event) {
  if (initial_) {
    if (InitialLocked(event)) return true;
    initial_ = false;
    event->set_event(v1::WATCH_EVENT_SYNCED);
    return true;
  }
  while (true) {
    if (changes_.empty()) {
      if (cut_) return false;
      engine::Subscription::Batch batch = subscription_->Take();
      cut_ = batch.cut;
      changes_.assign(std::make_move_iterator(batch.changes.begin()),
                      std::make_move_iterator(batch.changes.end()));
      if (changes_.empty()) return false;
    }
    const engine::NumberedChange change = std::move(changes_.front());
    changes_.pop_front();
    last_number_ = change.number;
    if (ChangeLocked(change, event)) return true;
  }
}

bool CredentialWatch::InitialLocked(v1::WatchCredentialsResponse* event) {
  while (true) {
    while (!ids_.empty()) {
      const std::string id = std::move(ids_.front());
      ids_.pop_front();
      const auto view = engine_.Get(id);
      if (!view.has_value()) continue;
      known_.insert(id);
      event->set_event(v1::WATCH_EVENT_INITIAL);
      FillCredential(*view, false, event->mutable_credential());
      return true;
    }
    if (scan_done_) return false;
    scanned_ = engine_.Scan(scanned_, kStep, [this](const core::CredentialRow& row) {
      mutex_.AssertHeld();
      if ((options_.group.empty() || row.document->group == options_.group) &&
          options_.filter.Matches(row)) {
        ids_.push_back(row.document->id);
      }
      return true;
    });
    scan_done_ = scanned_.empty();
  }
}

bool CredentialWatch::Matches(const core::CredentialView& view) const {
  return (options_.group.empty() || view.document->group == options_.group) &&
         options_.filter.Matches(RowOf(view));
}

bool CredentialWatch::ChangeLocked(const engine::NumberedChange& numbered,
                                   v1::WatchCredentialsResponse* event) {
  const core::Change& change = *numbered.change;
  if (change.id.empty()) return false;  // a backoff of the pool
  if (options_.transitions_only && !change.transition.has_value()) return false;
  const auto view = engine_.Get(change.id);
  if (!view.has_value() || !Matches(*view)) {
    // With send_initial the caller knows exactly these; else it may know any that once matched.
    const bool knew = known_.erase(change.id) > 0;
    if (!knew && (options_.send_initial || view.has_value())) return false;
    event->set_event(v1::WATCH_EVENT_REMOVED);
    if (view.has_value()) {
      FillCredential(*view, false, event->mutable_credential());
    } else {
      event->mutable_credential()->set_id(change.id);
      event->mutable_credential()->set_uid(UidText(change.uid));
    }
  } else {
    known_.insert(change.id);
    event->set_event(v1::WATCH_EVENT_CHANGED);
    FillCredential(*view, false, event->mutable_credential());
  }
  if (change.transition.has_value()) {
    core::TransitionView line;
    line.line = *change.transition;
    // The change has numbers for the names; the history knows them, if it goes back so far.
    for (const core::TransitionView& past : view ? view->history : decltype(view->history)()) {
      if (past.line.number == line.line.number) line = past;
    }
    FillTransition(line, event->mutable_transition());
  }
  return true;
}

}  // namespace credbroker::rpc
