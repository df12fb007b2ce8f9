// Sessions: whose leases they are, which stock may be handed out, and what had to be revoked.
#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/session_table.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::AdoptResult;
using core::Refusal;
using core::RevokeReason;
using core::State;

namespace {

void Expect(bool ok, const std::string& what) {
  if (!ok) throw Mismatch(what);
}

bool ServesTheSame(const core::Document& a, const core::Document& b) {
  return a.group == b.group && a.kind == b.kind && a.labels == b.labels && a.prefix == b.prefix &&
         a.models == b.models && a.excluded_models == b.excluded_models &&
         a.model_aliases == b.model_aliases;
}

}  // namespace

bool NaivePool::IsOpen(uint64_t session) const {
  const auto it = sessions_.find(session);
  return it != sessions_.end() && it->second.open;
}

size_t NaivePool::LeasesOf(uint64_t session) const {
  size_t count = 0;
  for (const auto& [seq, lease] : leases_) count += lease.live && lease.session == session;
  return count;
}

void NaivePool::JoinSession(NaiveLease& lease, const NaiveCredential& c, uint64_t session) {
  Expect(IsOpen(session), "a lease for a session that is not open");
  Expect(sessions_.at(session).principal == lease.principal, "a lease of another principal");
  lease.session = session;
  lease.document = c.document;
  lease.usable = true;
  lease.usable = !lease.probe && MayBeHandedOut(lease);
}

// Whether nothing has happened since that makes it void.
bool NaivePool::MayBeHandedOut(const NaiveLease& lease) const {
  const NaiveCredential* c = ByUid(lease.uid);
  if (c == nullptr) return false;
  const Look look = LookAt(*c, lease.model);
  if (look.state != State::kAvailable || look.half_open) return false;
  if (!ServesTheSame(*lease.document, *c->document)) return false;
  if (!lease.for_stock) return true;
  return CapOf(*c) == 0 && ModelCapOf(*c) == 0 && c->document->weight > 0;
}

NaiveLease* NaivePool::Find(const core::SessionLease& name) {
  for (auto& [seq, lease] : leases_) {
    if (lease.session != 0 && lease.session == name.session.number() && lease.cell == name.cell &&
        static_cast<uint32_t>(seq) == name.seq_low) {
      return &lease;
    }
  }
  return nullptr;
}

void NaivePool::EndLeasesOf(uint64_t session) {
  std::vector<uint64_t> all;
  for (const auto& [seq, lease] : leases_) {
    if (lease.live && lease.session == session) all.push_back(seq);
  }
  std::reverse(all.begin(), all.end());
  for (uint64_t seq : all) EndLease(leases_.at(seq));
}

void NaivePool::LoseSessions() {
  // In the pool's order, as the oldest ended leases are forgotten first.
  std::vector<std::tuple<absl::Time, uint64_t, uint64_t>> lost;
  for (const auto& [number, session] : sessions_) {
    if (session.open || session.deadline > now_) continue;
    lost.emplace_back(session.deadline, number & (core::SessionTable::kMaxSessions - 1), number);
  }
  std::sort(lost.begin(), lost.end());
  for (const auto& [deadline, place, number] : lost) {
    EndLeasesOf(number);
    sessions_.erase(number);
  }
}

void NaivePool::Opened(core::SessionId session, const std::string& principal) {
  Expect(session.number() != 0 && !sessions_.contains(session.number()), "a session number again");
  Expect(session.number() > newest_session_ || session.number() >> 20 > newest_session_ >> 20,
         "a session number of before");
  newest_session_ = std::max(newest_session_, session.number());
  sessions_[session.number()].principal = principal;
}

void NaivePool::Detached(core::SessionId session, absl::Time deadline) {
  auto it = sessions_.find(session.number());
  if (it == sessions_.end()) return;
  it->second.open = false;
  it->second.deadline = deadline;
}

void NaivePool::Resumed(core::SessionId session, const std::string& principal, bool resumed) {
  auto it = sessions_.find(session.number());
  const bool may = it != sessions_.end() && it->second.principal == principal &&
                   (it->second.open || it->second.deadline > now_);
  Expect(resumed == may, may ? "a session could not be resumed" : "resumed what is not there");
  if (!may) return;
  it->second.open = true;
  it->second.deadline = kNever;
}

void NaivePool::Closed(core::SessionId session, bool closed, const core::Effects& effects) {
  const bool there = sessions_.contains(session.number());
  Expect(closed == there, "whether a session was closed");
  EndLeasesOf(session.number());
  sessions_.erase(session.number());
  Woken(effects);
  NobodyServable();
}

void NaivePool::Stocked(const core::AcquireCommand& given, int count, const core::StockReply& reply,
                        const std::vector<core::StockLease>& leases, const core::Effects& effects) {
  core::AcquireCommand command = given;
  command.for_stock = true;
  const NaiveCall call(command);
  Woken(effects);
  Expect(reply.granted == static_cast<int>(leases.size()) && reply.granted <= count,
         "how much stock was granted");
  Expect(reply.refusal.has_value() == (reply.granted < count), "whether stock was refused");
  if (!IsOpen(call.stream)) {
    Expect(leases.empty() && reply.refusal->reason == Refusal::kCancelled,
           "stock for a session that is not open");
    return;
  }
  for (const core::StockLease& lease : leases) {
    const Decision d = Decide(call);
    const NaiveCredential* c = ByUid(lease.uid.number());
    Expect(c != nullptr, "stock of an unknown credential");
    core::Grant grant;
    grant.seq = lease.seq;
    grant.cell = lease.cell;
    grant.document = c->document;
    grant.material = c->material;
    grant.model = std::string(lease.model);
    grant.granted = reply.granted_at;
    grant.expires = reply.expires;
    Expect(lease.material_version == c->material->version, "material of stock");
    Granted(call, d, grant);
    const NaiveLease& mine = leases_.at(lease.seq.number());
    Expect(mine.usable && !mine.probe && !mine.breaker_probe, "stock that cannot be handed out");
  }
  Expect(reply.order.number() == newest_lease_, "the order of stock");
  if (reply.granted < count) {
    // Searched with the calls counted that came before.
    CheckRefusal(Decide(call), *reply.refusal, "stock was");
  }
  for (const auto& p : call.providers) {
    if (auto it = providers_.find(p); it != providers_.end()) {
      it->second.budget.calls[absl::ToUnixSeconds(now_)] += std::max(reply.granted, 1);
    }
  }
}

void NaivePool::Adopted(const core::AdoptCommand& command, const core::AdoptReply& reply,
                        const core::Effects& effects) {
  Woken(effects);
  NaiveCredential* c = ByUid(command.uid.number());
  const absl::Time granted = std::min(command.granted, now_);
  const absl::Time expires = std::min(command.expires, granted + settings_.limits.max_ttl);
  const std::string model(command.model);
  AdoptResult want = AdoptResult::kAdopted;
  if (!IsOpen(command.session.number())) {
    want = AdoptResult::kNotOpen;
  } else if (c == nullptr || c->material == nullptr) {
    want = AdoptResult::kNotFound;
  } else if (LookAt(*c, "").state == State::kDisabled) {
    want = AdoptResult::kDisabled;
  } else if (expires <= now_) {
    want = AdoptResult::kExpired;
  } else if (HasEnough(sessions_.at(command.session.number()).principal) ||
             (CapOf(*c) > 0 && static_cast<int>(c->leases.size()) >= CapOf(*c)) ||
             (ModelCapOf(*c) > 0 && !model.empty() && InFlight(*c, model) >= ModelCapOf(*c))) {
    want = AdoptResult::kOverCap;
  }
  Expect(reply.result == want, absl::StrCat("adoption: ", std::string(core::Name(reply.result)),
                                            ", not ", std::string(core::Name(want))));
  if (want != AdoptResult::kAdopted) return;
  Expect(reply.granted == Floor(granted) && reply.expires == Floor(expires),
         "times of an adopted lease");
  NaiveLease lease;
  lease.seq = reply.seq.number();
  Expect(!leases_.contains(lease.seq), "a lease number given twice");
  lease.uid = c->uid;
  lease.version = std::min(command.material_version, c->material->version);
  lease.principal = sessions_.at(command.session.number()).principal;
  lease.model = model;
  lease.granted = Floor(granted);
  lease.expires = Floor(expires);
  lease.cell = reply.cell;
  JoinSession(lease, *c, command.session.number());
  newest_lease_ = std::max(newest_lease_, lease.seq);
  c->leases.insert(lease.seq);
  leases_[lease.seq] = std::move(lease);
}

void NaivePool::Renewed(const core::SessionLease& name, absl::Duration ttl,
                        const core::RenewReply& reply) {
  NaiveLease* lease = Find(name);
  if (lease == nullptr || !lease->live) {
    Expect(reply.result == core::RenewResult::kNotFound, "renewed what is not the session's");
    return;
  }
  RenewLive(*lease, ttl, reply);
}

void NaivePool::Released(const core::SessionLease& name, bool released,
                         const core::Effects& effects) {
  NaiveLease* lease = Find(name);
  const bool mine = lease != nullptr && lease->live;
  Expect(released == mine, released ? "released what is not the session's" : "was not released");
  if (mine) EndLease(*lease);
  Woken(effects);
  NobodyServable();
}

void NaivePool::CompareSession(core::SessionId session,
                               const std::vector<core::Pool::HeldLease>& leases) const {
  Expect(leases.size() == LeasesOf(session.number()), "how many leases a session holds");
  for (const auto& held : leases) {
    const auto it = leases_.find(held.seq.number());
    Expect(it != leases_.end() && it->second.live && it->second.session == session.number() &&
               it->second.cell == held.cell && it->second.uid == held.uid.number() &&
               it->second.model == held.model && Floor(it->second.expires) == held.expires &&
               Floor(it->second.granted) == held.granted,
           "a lease of a session");
  }
}

void NaivePool::Told(const core::Effects& effects) {
  const bool listened =
      std::exchange(listening_, std::any_of(sessions_.begin(), sessions_.end(),
                                            [](const auto& entry) { return entry.second.open; }));
  const std::set<uint64_t> disabling = std::exchange(disabling_, {});
  for (const core::Revoked& revoked : effects.revoked) {
    const uint64_t uid = revoked.uid.number(), covers = revoked.covers.number();
    const std::string what =
        absl::StrCat("revocation of ", uid, " (", std::string(core::Name(revoked.reason)), "): ");
    Expect(covers >= told_lease_ && covers <= newest_lease_,
           absl::StrCat(what, "covers ", covers, ", newest before ", told_lease_, ", now ",
                        newest_lease_));
    bool held = held_by_sessions_.contains(uid);
    for (auto& [seq, lease] : leases_) {
      if (lease.session == 0 || lease.uid != uid) continue;
      held = held || lease.live;
      const bool meant = revoked.model.empty() || revoked.model == lease.model;
      if (meant && seq <= covers) lease.usable = false;
    }
    Expect(held || listening_ || listened, what + "there is no session to hear of it");
    const NaiveCredential* c = ByUid(uid);
    Expect((c == nullptr) == (revoked.reason == RevokeReason::kDeleted), what + "deleted or not");
  }
  std::set<uint64_t> held, disabled;
  for (const auto& [seq, lease] : leases_) {
    if (!lease.live || lease.session == 0) continue;
    held.insert(lease.uid);
    Expect(!lease.usable || MayBeHandedOut(lease),
           absl::StrCat("lease ", seq, lease.for_stock ? " in stock" : "", " of ",
                        ByUid(lease.uid)->document->id.view(),
                        " may be handed out and was not revoked"));
  }
  told_lease_ = newest_lease_;
  held_by_sessions_.swap(held);
  if (effects.changes.empty()) return;  // a look at the whole fleet after each timer is too slow
  // Whoever waits for a disable is told, even where it was not to be handed out before or was
  // disabled by something else, and so is who only remembers the material.
  const auto told = [&](uint64_t uid, RevokeReason reason) {
    return std::any_of(effects.revoked.begin(), effects.revoked.end(), [&](const auto& revoked) {
      return revoked.uid.number() == uid && revoked.reason == reason;
    });
  };
  std::set<uint64_t> uids;
  for (const auto& [id, c] : credentials_) {
    uids.insert(c.uid);
    if (LookAt(c, "").state == State::kDisabled) disabled.insert(c.uid);
  }
  const auto known = [&](uint64_t uid) {
    return held.contains(uid) || (uids_.contains(uid) && listening_ && listened);
  };
  for (uint64_t uid : disabled) {
    const bool before = disabled_.contains(uid) && !disabling.contains(uid);
    Expect(before || !known(uid) || told(uid, RevokeReason::kDisabled),
           absl::StrCat("the disabling of ", uid, " was not told to sessions"));
  }
  for (uint64_t uid : uids_) {
    Expect(uids.contains(uid) || !known(uid) || told(uid, RevokeReason::kDeleted),
           absl::StrCat("the deletion of ", uid, " was not told to sessions"));
  }
  uids_ = std::move(uids);
  disabled_ = std::move(disabled);
}

}  // namespace credbroker::model
