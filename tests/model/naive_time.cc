// Time, and the ends of leases.
#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

namespace {

void Expect(bool ok, const std::string& what) {
  if (!ok) throw Mismatch(what);
}

}  // namespace

void NaivePool::Inconclusive(NaiveLease& lease) {
  lease.pending.reset();
  NaiveCredential& c = *ByUid(lease.uid);
  NaiveProvider& provider = providers_.at(c.document->provider);
  if (lease.probe) {
    lease.probe = false;
    bool any = false;
    for (auto& [model, scope] : c.scopes) {
      if (scope.probe.lease != lease.seq) continue;
      scope.probe.lease = 0;
      absl::Duration delay = absl::Seconds(60);
      for (int i = 0; i < scope.probe.inconclusive; ++i)
        delay = std::min(2 * delay, absl::Minutes(15));
      ++scope.probe.inconclusive;
      scope.probe.next_allowed = now_ + delay;
      any = true;
    }
    if (any) provider.budget.Bad();
  }
  if (!lease.breaker_probe) return;
  lease.breaker_probe = false;
  auto again = [&](NaiveBreaker& b) {
    if (!b.open || b.probe != lease.seq) return;
    b.probe = 0;
    b.probe_at = now_ + b.span;
  };
  again(provider.breaker);
  for (auto& [model, scope] : provider.backoffs) {
    if (scope.probe.lease == lease.seq) scope.probe.lease = 0;
  }
  if (NaiveBreaker* own = BreakerOf(c)) {
    again(*own);
    if (own->backoff.probe.lease == lease.seq) own->backoff.probe.lease = 0;
  }
}

void NaivePool::EndLease(NaiveLease& lease, bool by_report) {
  Inconclusive(lease);
  lease.live = false;
  lease.ended = now_;
  ByUid(lease.uid)->leases.erase(lease.seq);
  (by_report ? reported_ : unreported_).push_back(lease.seq);
}

void NaivePool::ForgetEnded() {
  const auto& limits = settings_.limits;
  auto forget = [&](std::deque<uint64_t>& queue) {
    auto it = leases_.find(queue.front());
    if (!it->second.request.empty()) requests_.erase(it->second.request);
    leases_.erase(it);
    queue.pop_front();
  };
  for (auto* queue : {&reported_, &unreported_}) {
    while (!queue->empty() && leases_.at(queue->front()).ended <= now_ - limits.ended_retention) {
      forget(*queue);
    }
  }
  // Of too many, those that were reported are the ones of whom nothing new can be heard; but half
  // of the room is theirs.
  const auto most = static_cast<size_t>(limits.max_ended_leases);
  while (reported_.size() + unreported_.size() > most) {
    forget(2 * reported_.size() > most || unreported_.empty() ? reported_ : unreported_);
  }
}

// Everything time alone does up to now.
void NaivePool::Due() {
  LoseSessions();
  std::vector<std::tuple<absl::Time, uint32_t, uint64_t>> over;  // in the pool's order
  for (auto& [seq, lease] : leases_) {
    if (lease.live && lease.expires <= now_) over.emplace_back(lease.expires, lease.cell, seq);
  }
  std::sort(over.begin(), over.end());
  for (const auto& [at, cell, seq] : over) EndLease(leases_.at(seq));
  for (auto& [id, c] : credentials_) {
    if (!c.intent.enabled && c.intent.until && *c.intent.until <= now_) {
      core::Intent intent;
      intent.actor = "schedule";
      intent.since = *c.intent.until;
      c.intent = intent;
    }
    std::set<uint64_t> late;
    for (auto& [model, scope] : c.scopes) {
      if (scope.probe.lease != 0 && scope.probe.started + absl::Seconds(60) <= now_) {
        late.insert(scope.probe.lease);
      }
    }
    for (uint64_t seq : late) Inconclusive(leases_.at(seq));
    for (auto& [model, scope] : c.scopes) {
      std::erase_if(scope.records,
                    [&](const auto& r) { return r.avoid_until + absl::Hours(24) <= now_; });
    }
    DropEmpty(c);
  }
}

void NaivePool::Drained(absl::Time now, const core::Effects& effects) {
  now_ = std::max(now_, now);
  Due();
  Woken(effects);
  for (const auto& [group, turns] : parked_) {
    for (const auto& [principal, calls] : turns) {
      for (const auto& call : calls) {
        Expect(call.deadline > now_,
               absl::StrCat("call ", call.waiter, " parked past its deadline"));
      }
    }
  }
  NobodyServable();
  ForgetEnded();
}

void NaivePool::Renewed(const std::string& principal, const core::LeaseClaims& claims,
                        absl::Duration ttl, const core::RenewReply& reply) {
  auto it = leases_.find(claims.seq.number());
  if (claims.epoch != epoch_ || it == leases_.end() || !it->second.live ||
      it->second.principal != principal) {
    Expect(reply.result == core::RenewResult::kNotFound, "renewed a lease that is not there");
    return;
  }
  RenewLive(it->second, ttl, reply);
}

void NaivePool::RenewLive(NaiveLease& lease, absl::Duration ttl, const core::RenewReply& reply) {
  if (LookAt(*ByUid(lease.uid), "").state == core::State::kDisabled) {
    Expect(reply.result == core::RenewResult::kDisabled, "renewed a lease of a disabled one");
    return;
  }
  if (ttl <= absl::ZeroDuration()) ttl = settings_.limits.default_ttl;
  const absl::Duration top = settings_.limits.max_ttl;
  const absl::Time hard = lease.granted + top, wanted = now_ + std::min(ttl, top);
  Expect(reply.at_max == (wanted > hard && lease.expires >= hard), "renewed at its maximum");
  lease.expires = std::max(lease.expires, std::min(wanted, hard));
  Expect(reply.result == core::RenewResult::kRenewed && reply.expires == lease.expires,
         "the expiry after a renewal");
}

void NaivePool::Released(const std::string& principal, const core::LeaseClaims& claims,
                         bool released, const core::Effects& effects) {
  auto it = leases_.find(claims.seq.number());
  const bool mine = claims.epoch == epoch_ && it != leases_.end() && it->second.live &&
                    it->second.principal == principal;
  Expect(released == mine, released ? "released what is not its own" : "a lease was not released");
  if (mine) EndLease(it->second);
  Woken(effects);
  NobodyServable();
}

std::optional<std::string> NaivePool::NotAvailable() const {
  for (const auto& [id, c] : credentials_) {
    const Look look = LookAt(c, "");
    if (look.state == core::State::kWaiting) {
      return absl::StrCat(id, " waits: ", std::string(core::Name(look.cause)));
    }
    if (!c.leases.empty()) return id + " still has leases";
  }
  return std::nullopt;
}

}  // namespace credbroker::model
