// What a session is answered, under one hold of the lock for each message: grants, refusals,
// results.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/convert.h"
#include "server/rpc/status.h"
#include "server/session/fill.h"
#include "server/session/peer.h"

namespace credbroker::session {
namespace {

grpc::Status LimitReached() {
  return rpc::Error(v1::ERROR_REASON_LIMIT_REACHED, "this session holds too many leases",
                    {{"limit", "leases of one session"}});
}

void FillLimit(google::rpc::Status* out) {
  const grpc::Status status = LimitReached();
  if (!out->ParseFromString(status.error_details())) out->Clear();
}

}  // namespace

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
