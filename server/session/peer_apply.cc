// One message of an open session: what it asks is put to the pool in one batch.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "core/model_rules.h"
#include "server/rpc/convert.h"
#include "server/rpc/status.h"
#include "server/rpc/validate.h"
#include "server/session/fill.h"
#include "server/session/peer.h"

namespace credbroker::session {
namespace {

// Of all prefetches of one message together; the rest is refused and may be asked again.
constexpr int kMaxStockOfMessage = 4'096;
// How often the pool is asked how many leases a session at its limit really has.
constexpr absl::Duration kRecount = absl::Seconds(1);

}  // namespace

void SessionPeer::Apply(const v1::SessionRequest& message) {
  if (const grpc::Status status = CheckReferences(message); !status.ok()) {
    return OnBadMessage(status);
  }
  ResumeLeases(message.served_leases());
  if (message.acknowledged_revocation() != 0) Acknowledge(message.acknowledged_revocation());
  Ask(message);
  host_.engine().Apply(batch_);
  Answer(message);
  batch_.acquires.clear();  // what was to be called later holds this peer
  Cancel(message);
  ReadOn();
}

// Targets become known first, so that what follows in the same message may name them.
grpc::Status SessionPeer::CheckReferences(const v1::SessionRequest& message) {
  for (const v1::SessionTarget& target : message.targets()) {
    if (!targets_.Define(target, session_)) {
      return rpc::Error(v1::ERROR_REASON_LIMIT_REACHED,
                        absl::StrCat("the targets of this session need more than ",
                                     TargetTable::kMaxBytes >> 20, " MiB; declare fewer"),
                        {{"limit", "bytes of targets of one session"}});
    }
    engine::MutexLock lock(mutex_);
    RememberSuffix(targets_.Find(target.target())->suffix);
  }
  const auto unknown = [](const char* list, int index, uint32_t target) {
    return rpc::BadField(absl::StrCat(list, "[", index, "].target"),
                         absl::StrCat("target ", target, " was not declared"));
  };
  for (int i = 0; i < message.prefetches_size(); ++i) {
    const uint32_t target = message.prefetches(i).target();
    if (targets_.Find(target) == nullptr) return unknown("prefetches", i, target);
  }
  absl::flat_hash_set<uint64_t> calls;
  for (int i = 0; i < message.acquires_size(); ++i) {
    const v1::SessionAcquire& acquire = message.acquires(i);
    if (acquire.target() != 0 && targets_.Find(acquire.target()) == nullptr) {
      return unknown("acquires", i, acquire.target());
    }
    // Only a call that may be parked is unanswered beyond its message.
    if (!acquire.request().has_max_wait() && acquire.request().request_id().empty()) continue;
    engine::MutexLock lock(mutex_);
    if (!calls.insert(acquire.call()).second || calls_.contains(acquire.call())) {
      return rpc::BadField(absl::StrCat("acquires[", i, "].call"),
                           absl::StrCat("call ", acquire.call(), " is not answered yet"));
    }
  }
  engine::MutexLock lock(mutex_);
  if (message.acknowledged_revocation() > outbox_.newest_revocation()) {
    return rpc::BadField("acknowledged_revocation",
                         absl::StrCat("is ", message.acknowledged_revocation(),
                                      "; the newest one is ", outbox_.newest_revocation()));
  }
  applying_ = true;
  return grpc::Status::OK;
}

bool SessionPeer::MayHold(size_t more) {
  const Terms terms = host_.terms();
  if (leases_ + more <= terms.max_leases) return true;
  // Leases that expired are not told to us: count, but not at every message.
  const absl::Time now = host_.Now();
  if (now - counted_ >= kRecount) {
    counted_ = now;
    leases_ = host_.engine().Count(session_);
  }
  return leases_ + more <= terms.max_leases;
}

void SessionPeer::Ask(const v1::SessionRequest& message) {
  batch_.Clear();
  asked_.clear();
  over_limit_.clear();
  headers_.clear();
  arguments_.clear();
  excluded_.clear();
  batch_.session = session_;
  batch_.succeeded = absl::MakeConstSpan(message.succeeded_leases().data(),
                                         static_cast<size_t>(message.succeeded_leases_size()));
  headers_.reserve(static_cast<size_t>(message.reports_size()));
  for (const v1::SessionReport& report : message.reports()) {
    headers_.push_back(rpc::ToHeaders(report.item().headers()));
    engine::ReportItem item = rpc::ToReportItem(report.item(), headers_.back());
    batch_.reports.push_back({.lease = report.lease(),
                              .facts = item.facts,
                              .early = item.early,
                              .material_version = item.material_version,
                              .happened = item.happened,
                              .reply = {}});
  }
  batch_.released = absl::MakeConstSpan(message.released_leases().data(),
                                        static_cast<size_t>(message.released_leases_size()));
  batch_.expired =
      std::min(message.expired_count(), static_cast<uint32_t>(message.released_leases_size()));
  for (const v1::SessionRenew& renewal : message.renewals()) {
    batch_.renewals.push_back(
        {.lease = renewal.lease(),
         .ttl = renewal.has_ttl() ? rpc::ToDuration(renewal.ttl()) : absl::ZeroDuration(),
         .reply = {}});
  }
  int stock = 0;
  batch_.wishes.reserve(batch_.wishes.size() + static_cast<size_t>(message.prefetches_size()));
  for (const v1::SessionPrefetch& prefetch : message.prefetches()) {
    const int count = static_cast<int>(prefetch.count());
    const bool room = stock + count <= kMaxStockOfMessage &&
                      MayHold(static_cast<size_t>(stock) + static_cast<size_t>(count));
    stock += room ? count : 0;
    batch_.wishes.push_back(
        {.command = &targets_.Find(prefetch.target())->stock, .count = room ? count : 0});
  }
  excluded_.reserve(static_cast<size_t>(message.acquires_size()));
  auto wanted = static_cast<size_t>(stock);
  for (const v1::SessionAcquire& acquire : message.acquires()) {
    if (MayHold(++wanted)) {
      AskAcquire(acquire);
    } else {
      over_limit_.push_back(acquire.call());
    }
  }
}

// A repeated one takes the place of its parked twin, however short it is itself ready to wait.
bool SessionPeer::MayPark(const core::AcquireCommand& command) {
  return command.max_wait > absl::ZeroDuration() || !command.request_id.empty();
}

void SessionPeer::AskAcquire(const v1::SessionAcquire& acquire) {
  core::AcquireCommand command;
  std::string suffix;
  if (acquire.target() != 0) {
    const TargetTable::Target& target = *targets_.Find(acquire.target());
    command = TargetTable::CommandFor(target, acquire.request(), excluded_.emplace_back());
    suffix = target.suffix;
  } else {
    arguments_.push_back(std::make_unique<rpc::AcquireArguments>(acquire.request(), principal_,
                                                                 absl::InfiniteDuration()));
    command = arguments_.back()->command();
    command.session = session_;
    suffix = std::string(SuffixOf(acquire.request().model()));
  }
  if (command.max_wait > absl::ZeroDuration() || !suffix.empty()) {
    engine::MutexLock lock(mutex_);
    if (MayPark(command)) calls_[acquire.call()] = core::WaiterId();
    RememberSuffix(suffix);
  }
  engine::SessionBatch::Acquire& asked = batch_.acquires.emplace_back();
  asked.command = command;
  if (MayPark(command)) {
    asked.done = [peer = shared_from_this(), call = acquire.call(),
                  suffix](const core::AcquireReply& reply) { peer->OnWoken(call, suffix, reply); };
  }
  asked_.emplace_back(acquire.call(), std::move(suffix));
}

void SessionPeer::Cancel(const v1::SessionRequest& message) {
  for (const uint64_t call : message.cancelled_calls()) {
    core::WaiterId waiter;
    {
      engine::MutexLock lock(mutex_);
      const auto found = calls_.find(call);
      if (found != calls_.end()) waiter = found->second;
    }
    // Its answer comes as of any other.
    if (waiter.number() != 0) host_.engine().CancelWait(waiter);
  }
}

}  // namespace credbroker::session
