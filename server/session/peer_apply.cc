// One message of an open session: what it asks is put to the pool in one batch, and the answers go
// into the outbox under one hold of the lock.
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

grpc::Status LimitReached() {
  return rpc::Error(v1::ERROR_REASON_LIMIT_REACHED, "this session holds too many leases",
                    {{"limit", "leases of one session"}});
}

void FillLimit(google::rpc::Status* out) {
  const grpc::Status status = LimitReached();
  if (!out->ParseFromString(status.error_details())) out->Clear();
}

// A repeated one takes the place of its parked twin, however short it is itself ready to wait.
bool MayPark(const core::AcquireCommand& command) {
  return command.max_wait > absl::ZeroDuration() || !command.request_id.empty();
}

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
    targets_.Define(target, session_);
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

// --- answers ---

void SessionPeer::Answer(const v1::SessionRequest& message) {
  const absl::Time now = host_.Now();
  Count();
  bool over = false;
  {
    engine::MutexLock lock(mutex_);
    over = wire_ == nullptr || ended_;
    if (!over) {
      Views views;
      for (const engine::SessionBatch::StockLease& lease : batch_.leases) Meet(lease.uid, views);
      for (const engine::SessionBatch::Acquire& acquire : batch_.acquires) {
        if (acquire.reply.kind == core::AcquireReply::Kind::kGranted) {
          Meet(acquire.reply.grant.material->uid, views);
        }
      }
      Introduce(views);
      AnswerStocks(message);
      AnswerAcquires(now);
      AnswerReports();
      // What became of the new ones between their grant and now.
      core::LeaseSeq newest;
      for (const engine::SessionBatch::Stock& stock : batch_.stocks) {
        newest = std::max(newest, stock.order);
      }
      for (const engine::SessionBatch::Acquire& acquire : batch_.acquires) {
        newest_ = std::max(newest_, acquire.reply.grant.seq);
        if (!acquire.reply.grant.probe) newest = std::max(newest, acquire.reply.grant.seq);
      }
      newest_ = std::max(newest_, newest);
      for (const engine::IssuedView& view : views) {
        const uint32_t index = IndexOf(view.uid);
        if (index != 0 && newest != core::kNoLease && !IsOpen(view)) {
          Revoke(RevokedBy(view, newest), index);
        }
      }
      v1::SessionResponse& tail = outbox_.Tail(16);
      tail.set_processed(number_);
      if (message.ping() != 0) tail.set_pong(message.ping());
      Flush();
    }
    applying_ = false;
    ForgetMissed();
  }
  if (over) GiveBack();
}

void SessionPeer::AnswerStocks(const v1::SessionRequest& message) {
  for (const engine::SessionBatch::Stock& stock : batch_.stocks) {
    const v1::SessionPrefetch& asked = message.prefetches(static_cast<int>(stock.wish));
    const int count = static_cast<int>(stock.end - stock.begin);
    v1::SessionStock* out = outbox_.Tail(96 + static_cast<size_t>(count) * 12).add_stocks();
    out->set_target(asked.target());
    out->mutable_leases()->Reserve(count);
    out->mutable_credentials()->Reserve(count);
    const bool several = stock.models.size() > 1;
    for (size_t i = stock.begin; i < stock.end; ++i) {
      const engine::SessionBatch::StockLease& lease = batch_.leases[i];
      const uint32_t index = IndexOf(lease.uid);
      if (index == 0) continue;  // deleted since, and its lease with it
      out->add_leases(lease.lease);
      out->add_credentials(index);
      if (several) out->add_model_indexes(lease.model);
    }
    const std::string& suffix = targets_.Find(asked.target())->suffix;
    for (const std::string& model : stock.models) {
      out->add_models(model.empty() ? model : absl::StrCat(model, suffix));
    }
    out->set_order(stock.order.number());
    rpc::SetTime(stock.granted, out->mutable_grant_time());
    rpc::SetTime(stock.expires, out->mutable_expire_time());
    if (stock.refusal.has_value()) {
      out->set_refused(static_cast<uint32_t>(stock.refused));
      FillRefusal(*stock.refusal, host_.Now(), out->mutable_refusal());
    }
  }
  // Those that were not put to the pool.
  for (size_t i = 0; i < batch_.wishes.size(); ++i) {
    if (batch_.wishes[i].count != 0) continue;
    const v1::SessionPrefetch& asked = message.prefetches(static_cast<int>(i));
    v1::SessionStock* out = outbox_.Tail(256).add_stocks();
    out->set_target(asked.target());
    out->set_refused(asked.count());
    FillLimit(out->mutable_refusal());
  }
}

void SessionPeer::AnswerAcquires(absl::Time now) {
  for (size_t i = 0; i < batch_.acquires.size(); ++i) {
    engine::SessionBatch::Acquire& acquire = batch_.acquires[i];
    const auto& [call, suffix] = asked_[i];
    if (acquire.reply.kind == core::AcquireReply::Kind::kParked) {
      // Woken already if it is not there any more.
      const auto found = calls_.find(call);
      if (found != calls_.end()) found->second = acquire.reply.waiter;
      continue;
    }
    if (MayPark(acquire.command)) calls_.erase(call);
    AnswerOne(call, acquire.reply, suffix, now);
  }
  for (const uint64_t call : over_limit_) {
    v1::SessionGrant* out = outbox_.Tail(256).add_grants();
    out->set_call(call);
    FillLimit(out->mutable_refusal());
  }
}

void SessionPeer::AnswerOne(uint64_t call, const core::AcquireReply& reply,
                            absl::string_view suffix, absl::Time now) {
  const bool granted = reply.kind == core::AcquireReply::Kind::kGranted;
  const uint32_t index = granted ? IndexOf(reply.grant.material->uid) : 0;
  v1::SessionGrant* out = outbox_.Tail(granted ? 96 : 320).add_grants();
  if (granted && index != 0) {
    FillGrant(call, reply, index, suffix, out);
    return;
  }
  out->set_call(call);
  // Deleted between its grant and now: the call may try again at once.
  core::RefusalInfo gone;
  gone.earliest = now;
  FillRefusal(granted ? gone : reply.refusal, now, out->mutable_refusal());
}

void SessionPeer::AnswerReports() {
  for (const auto& [lease, reply] : batch_.odd_successes) {
    FillResult(lease, reply, outbox_.Tail(64).add_results());
  }
  for (const engine::SessionBatch::Report& report : batch_.reports) {
    FillResult(report.lease, report.reply, outbox_.Tail(64).add_results());
  }
  for (const engine::SessionBatch::Renewal& renewal : batch_.renewals) {
    FillRenewal(renewal.lease, renewal.reply, outbox_.Tail(48).add_renewals());
  }
}

// The stream is over: nobody will hear of these leases.
void SessionPeer::GiveBack() {
  std::vector<uint64_t> leases;
  leases.reserve(batch_.leases.size() + batch_.acquires.size());
  for (const engine::SessionBatch::StockLease& lease : batch_.leases) leases.push_back(lease.lease);
  for (const engine::SessionBatch::Acquire& acquire : batch_.acquires) {
    const core::AcquireReply& reply = acquire.reply;
    if (reply.kind == core::AcquireReply::Kind::kGranted) {
      // One that was granted before is the business of that call.
      if (reply.grant.repeated) continue;
      leases.push_back(engine::LeaseNumber(reply.grant.seq, reply.grant.cell));
    } else if (reply.kind == core::AcquireReply::Kind::kParked) {
      host_.engine().CancelWait(reply.waiter);
    }
  }
  if (!leases.empty()) host_.engine().Release(session_, leases);
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

void SessionPeer::OnWoken(uint64_t call, const std::string& suffix,
                          const core::AcquireReply& reply) {
  const bool granted = reply.kind == core::AcquireReply::Kind::kGranted;
  bool sent = false;
  {
    engine::MutexLock lock(mutex_);
    if (wire_ != nullptr && !ended_) {
      calls_.erase(call);
      Views views;
      if (granted) Meet(reply.grant.material->uid, views);
      Introduce(views);
      AnswerOne(call, reply, suffix, host_.Now());
      newest_ = std::max(newest_, reply.grant.seq);
      for (const engine::IssuedView& view : views) {
        const uint32_t index = IndexOf(view.uid);
        if (index != 0 && !reply.grant.probe && !IsOpen(view)) {
          Revoke(RevokedBy(view, reply.grant.seq), index);
        }
      }
      Flush();
      ForgetMissed();
      sent = true;
      (granted ? host_.counters().granted : host_.counters().not_granted).Increment();
    }
  }
  if (!granted || sent) return;
  const uint64_t lease = engine::LeaseNumber(reply.grant.seq, reply.grant.cell);
  host_.engine().Release(session_, {&lease, 1});
}

// Once a message: what was granted and ended, here and in the metrics.
void SessionPeer::Count() {
  Counters& counters = host_.counters();
  uint64_t granted = 0, refused = 0, parked = 0, unknown = 0;
  for (const engine::SessionBatch::Acquire& acquire : batch_.acquires) {
    granted += acquire.reply.kind == core::AcquireReply::Kind::kGranted ? 1 : 0;
    parked += acquire.reply.kind == core::AcquireReply::Kind::kParked ? 1 : 0;
  }
  for (const engine::SessionBatch::Stock& stock : batch_.stocks) {
    refused += static_cast<uint64_t>(stock.refused);
  }
  for (const auto& [lease, reply] : batch_.odd_successes) {
    unknown += reply.disposition == core::Disposition::kUnknown ? 1 : 0;
  }
  for (const engine::SessionBatch::Report& report : batch_.reports) {
    unknown += report.reply.disposition == core::Disposition::kUnknown ? 1 : 0;
  }
  for (const engine::SessionBatch::Renewal& renewal : batch_.renewals) {
    unknown += renewal.reply.result == core::RenewResult::kNotFound ? 1 : 0;
  }
  refused += batch_.acquires.size() - granted - parked + over_limit_.size();
  leases_ += batch_.leases.size() + granted + parked;
  leases_ -= std::min<size_t>(leases_, batch_.ended);
  const auto add = [](obs::Counter& counter, uint64_t by) {
    if (by != 0) counter.Increment(by);
  };
  add(counters.stocked, batch_.leases.size());
  add(counters.granted, granted);
  add(counters.not_granted, refused);
  add(counters.reports, batch_.succeeded.size() + batch_.reports.size());
  add(counters.unknown_leases, unknown);
  add(counters.releases, batch_.released.size());
  add(counters.renewals, batch_.renewals.size());
}

}  // namespace credbroker::session
