// Sessions: opening to ending, leases for stock, adoption, and what is revoked when.
//
// Stock is drawn from the tier that a call would be served from at that moment: the highest one
// that has anybody for it, capped or not. In that tier capped members are passed over. Where it has
// nobody else there is no stock at all, though a lower tier could give some: a client takes from
// stock before it asks, so the lower tier would be used ahead of the higher one. Its calls ask one
// by one instead and get the capped ones, and when those are busy, who comes after them. A capped
// member that is at its cap, blocked or half-open keeps nobody from stock, and what was drawn then
// may be handed out until it expires, though the higher tier be back.
#include <algorithm>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/model_rules.h"
#include "core/pool_state.h"

namespace credbroker::core {
namespace {

// Leases a close ends at once; the rest goes with Advance.
constexpr int kEndAtOnce = 64;

// Whether strategies may hand it out of stock, capacity aside.
bool FullyOpen(const Standing& standing) {
  return standing.state == State::kAvailable && !standing.half_open;
}

}  // namespace

void PoolState::JoinSession(uint32_t cell, SessionId id, bool for_stock) {
  Session* const session = sessions.Find(id);
  CB_CHECK(session != nullptr);
  LeaseCell& lease = leases.at(cell);
  CB_CHECK(session->principal == lease.principal);
  lease.in_session = true;
  lease.for_stock = for_stock;
  sessions.Link(cell, *session, lease.granted_ns);
  ++records.at(lease.slot).session_leases;
}

void PoolState::LeaveSession(uint32_t cell, LeaseEnd end) {
  LeaseCell& lease = leases.at(cell);
  Record& record = records.at(lease.slot);
  CB_CHECK(record.session_leases > 0);
  --record.session_leases;
  sessions.Unlink(cell);
  if (end == LeaseEnd::kReported) return;
  models.Ref(lease.model);
  sessions.link(cell).model = lease.model;
}

LeaseCell* PoolState::FindLease(const SessionLease& name) {
  const bool ours = sessions.Holds(name.session, name.cell) ||
                    (Fault("foreign_session_accepted") && name.cell < sessions.links() &&
                     sessions.link(name.cell).session != kNoSession);
  if (!ours) return nullptr;
  LeaseCell& lease = leases.at(name.cell);
  return static_cast<uint32_t>(lease.seq.number()) == name.seq_low ? &lease : nullptr;
}

int PoolState::EndSession(uint32_t place, int limit, Effects& effects) {
  Session& session = sessions.at(place);
  if (session.state != Session::State::kEnding) {
    sessions.BeginEnd(session, /*lost=*/true, now_ns);
    ++totals.sessions_lost;
  }
  int done = 0;
  for (; done < limit && session.first != kNoCell; ++done) {
    if (session.lost) ++totals.leases_freed;
    if (session.lost && Fault("lost_session_keeps_slots")) {
      const uint32_t cell = session.first;
      --records.at(leases.at(cell).slot).session_leases;
      leases.at(cell).in_session = false;
      sessions.Unlink(cell);
      sessions.Forget(cell);
      continue;
    }
    EndLease(session.first, session.lost ? LeaseEnd::kExpired : LeaseEnd::kReleased, effects);
  }
  if (session.first == kNoCell) sessions.Drop(place);
  return std::max(done, 1);
}

StockReply PoolState::AcquireStock(const AcquireCommand& given, int count,
                                   std::vector<StockLease>& out, Effects& effects) {
  Step(effects);
  const AcquireCommand command = ForStock(given);
  StockReply reply;
  reply.granted_at = reply.expires = now;
  RefusalInfo refusal;
  Request request;
  if (sessions.FindOpen(command.session) == nullptr) {
    refusal.reason = Refusal::kCancelled;
  } else if (const auto miss = Resolve(command, &request)) {
    refusal.reason = *miss;
    ++totals.refused_unknown;
  } else {
    GroupProviderStats& stats = request.group->stats(request.providers[0]);
    request.principal = principal_names.Ref(command.principal);
    Choice choice;
    bool chosen = Choose(request, &choice, &refusal);
    while (chosen) {
      if (AtLeaseLimit(request.principal)) {
        refusal.reason = Refusal::kTooManyLeases;
        chosen = false;
        break;
      }
      out.push_back(CommitStock(request, choice));
      ++stats.granted;
      if (++reply.granted == count) break;
      choice = Choice();
      chosen = ChooseReady(request, &choice, std::nullopt);
      if (!chosen) FillRefusal(request, &refusal);
    }
    if (!chosen) {
      JudgeStockRefusal(request, &refusal);
      ++stats.refused[static_cast<size_t>(refusal.reason)];
    }
  }
  // What is drawn is demand, and so is what is refused.
  for (ProviderId id : request.providers) {
    for (int i = 0; i < std::max(reply.granted, 1); ++i) provider(id).budget.CountAcquire(now);
  }
  if (reply.granted < count) reply.refusal = refusal;
  reply.order = leases.newest();
  reply.expires = now + TtlOf(command);
  return reply;
}

AcquireCommand PoolState::ForStock(const AcquireCommand& given) {
  AcquireCommand command = given;
  command.for_stock = true;
  command.session_key = command.credential_id = command.request_id = absl::string_view();
  command.allow_probe = SeededFault("stock_probes");
  command.max_wait = absl::ZeroDuration();
  return command;
}

StockLease PoolState::CommitStock(Request& request, const Choice& choice) {
  const AcquireCommand& command = *request.command;
  Record& record = records.at(choice.slot);
  CB_CHECK(record.standing.ready && record.material != nullptr && !choice.probe);
  CB_CHECK(!Capped(record) || Fault("stock_of_capped"));
  absl::string_view upstream = request.demand.model;
  if (record.rules != 0) {
    CB_CHECK(rules.at(record.rules).Serves(request.demand.model, &upstream));
  }
  const ModelId model = models.Ref(upstream);
  const uint32_t cell = leases.Add(choice.slot, record, request.principal, model, now_ns,
                                   now_ns + absl::ToInt64Nanoseconds(TtlOf(command)));
  record.last_grant = NextGrant();
  if (choice.picked_from != nullptr) choice.picked_from->Granted(record.position);
  ++request.group->stats(record.provider).in_flight;
  JoinSession(cell, command.session, /*for_stock=*/true);
  request.group->Touch(choice.slot);
  StockLease lease;
  lease.seq = leases.at(cell).seq;
  lease.cell = cell;
  lease.uid = record.uid;
  lease.material_version = record.material->version;
  lease.model = models.Name(model);
  if (choice.picked_from != nullptr) WarmUp(*request.group, *choice.picked_from);
  return lease;
}

void PoolState::JudgeStockRefusal(const Request& request, RefusalInfo* refusal) {
  if (refusal->reason == Refusal::kTooManyLeases) return;
  if (refusal->reason == Refusal::kBusy || refusal->reason == Refusal::kResumeOnly) {
    refusal->reason = Refusal::kNotForStock;  // only capped ones are ever busy
    return;
  }
  AcquireCommand any = *request.command;
  any.for_stock = false;
  any.allow_probe = true;
  Request again = request;
  again.command = &any;
  Choice choice;
  RefusalInfo ignored;
  if (Choose(again, &choice, &ignored)) refusal->reason = Refusal::kNotForStock;
}

AdoptReply PoolState::Adopt(const AdoptCommand& command, Effects& effects) {
  Step(effects);
  AdoptReply reply;
  const Session* const session = sessions.FindOpen(command.session);
  const Slot slot = records.Find(command.uid);
  const absl::Time granted = std::min(command.granted, now);
  const absl::Time expires = std::min(command.expires, granted + settings.limits.max_ttl);
  if (session == nullptr) {
    reply.result = AdoptResult::kNotOpen;
  } else if (slot == kNoSlot || records.at(slot).material == nullptr) {
    reply.result = AdoptResult::kNotFound;
  } else if (records.at(slot).standing.state == State::kDisabled) {
    reply.result = AdoptResult::kDisabled;
  } else if (expires <= now) {
    reply.result = AdoptResult::kExpired;
  } else if (AtLeaseLimit(session->principal) ||
             (!HasRoom(slot, command.model) && !Fault("adoption_above_cap"))) {
    reply.result = AdoptResult::kOverCap;
  } else {
    reply.result = AdoptResult::kAdopted;
  }
  if (reply.result != AdoptResult::kAdopted) {
    ++totals.adoptions_refused;
    return reply;
  }
  ++totals.leases_adopted;
  Record& record = records.at(slot);
  const ModelId model = models.Ref(command.model);
  reply.cell = leases.Add(slot, record, session->principal, model, Nanos(granted), Nanos(expires));
  LeaseCell& lease = leases.at(reply.cell);
  lease.material_version = std::min(command.material_version, record.material->version);
  GroupIndex& group = *groups[record.group.number()];
  ++group.stats(record.provider).in_flight;
  JoinSession(reply.cell, command.session, /*for_stock=*/false);
  if (record.model_cap > 0 && model != kNoModel) {
    ++model_in_flight[{slot, model}];
    RederiveModel(slot, model, effects);
  }
  if (record.cap > 0) Rederive(slot, Why::kReportedSuccess, PrincipalId(), effects);
  group.Touch(slot);
  reply.seq = lease.seq;
  reply.granted = FromNanosOrNever(lease.granted_ns);
  reply.expires = FromNanosOrNever(lease.expires_ns);
  return reply;
}

bool PoolState::HasRoom(Slot slot, absl::string_view model) const {
  const Record& record = records.at(slot);
  if (record.cap > 0 && record.in_flight >= static_cast<uint32_t>(record.cap)) return false;
  if (record.model_cap <= 0 || model.empty()) return true;
  const auto id = models.Find(model);
  if (!id) return true;
  const auto it = model_in_flight.find({slot, *id});
  return it == model_in_flight.end() || it->second < static_cast<uint32_t>(record.model_cap);
}

void PoolState::RevokeIfLeft(const Record& record, ModelId model, const Standing& before,
                             const Standing& after, Effects& effects) {
  const bool disabled = after.state == State::kDisabled;
  const bool closed = FullyOpen(before) && !FullyOpen(after);
  const bool left = before.state == State::kAvailable && after.state != State::kAvailable;
  if (!closed && !left && !(disabled && before.state != State::kDisabled)) return;
  Revoke(record, model, disabled ? RevokeReason::kDisabled : RevokeReason::kCooling, after.cause,
         after.returns_ns, effects);
}

void PoolState::Revoke(const Record& record, ModelId model, RevokeReason reason, Cause cause,
                       int64_t until_ns, Effects& effects) {
  if (!MayBeKnown(record)) return;
  ++totals.revocations;
  Revoked revoked;
  revoked.uid = record.uid;
  revoked.model = models.Name(model);
  revoked.covers = leases.newest();
  if (Fault("covers_too_low")) revoked.covers = LeaseSeq(revoked.covers.number() - 1);
  revoked.reason = reason;
  revoked.cause = cause;
  revoked.until = FromNanosOrNever(until_ns);
  effects.revoked.push_back(std::move(revoked));
}

// --- the public face ---

SessionId Pool::OpenSession(absl::string_view principal, absl::Time now) {
  state_->Latest(now);
  ++state_->totals.sessions_opened;
  return state_->sessions.Open(state_->principal_names.Ref(principal));
}

void Pool::DetachSession(SessionId id, absl::Time deadline, absl::Time now) {
  state_->Latest(now);
  Session* const session = state_->sessions.Find(id);
  if (session == nullptr) return;
  state_->sessions.Detach(*session, std::min(NanosOrNever(deadline), INT64_MAX - 1));
}

bool Pool::ResumeSession(SessionId id, absl::string_view principal, absl::Time now) {
  state_->Latest(now);
  Session* const session = state_->sessions.Find(id);
  if (session == nullptr || state_->principal_names.Name(session->principal) != principal) {
    return false;
  }
  // Past its deadline it is lost, even if that is still to be done.
  if (state_->sessions.DeadlineOf(id) <= state_->now_ns) return false;
  state_->sessions.Resume(*session);
  return true;
}

bool Pool::CloseSession(SessionId id, absl::Time now, Effects& effects) {
  state_->Latest(now);
  Session* const session = state_->sessions.Find(id);
  if (session == nullptr) return false;
  state_->sessions.BeginEnd(*session, /*lost=*/false, state_->now_ns);
  state_->EndSession(SessionTable::PlaceOf(id), kEndAtOnce, effects);
  state_->Pump(effects);
  return true;
}

void Pool::VisitSession(SessionId id, absl::FunctionRef<void(const HeldLease&)> visit) const {
  const Session* const session = state_->sessions.Find(id);
  if (session == nullptr) return;
  for (uint32_t cell = session->first; cell != kNoCell; cell = state_->sessions.link(cell).next) {
    const LeaseCell& lease = state_->leases.at(cell);
    HeldLease held;
    held.cell = cell;
    held.seq = lease.seq;
    held.uid = lease.uid;
    held.model = state_->models.Name(lease.model);
    held.granted = FromNanosOrNever(lease.granted_ns);
    held.expires = FromNanosOrNever(lease.expires_ns);
    visit(held);
  }
}

StockReply Pool::AcquireStock(const AcquireCommand& command, int count, absl::Time now,
                              std::vector<StockLease>& out, Effects& effects) {
  state_->Latest(now);
  return state_->AcquireStock(command, count, out, effects);
}

std::optional<Issued> Pool::IssuedOf(Uid uid) const {
  const Slot slot = state_->records.Find(uid);
  if (slot == kNoSlot) return std::nullopt;
  const Record& record = state_->records.at(slot);
  return Issued{record.document, record.material, Capped(record)};
}

AdoptReply Pool::Adopt(const AdoptCommand& command, absl::Time now, Effects& effects) {
  state_->Latest(now);
  return state_->Adopt(command, effects);
}

std::optional<LeaseFacts> Pool::FactsOf(const SessionLease& name) const {
  const LeaseCell* const lease = state_->FindLease(name);
  if (lease == nullptr) return std::nullopt;
  const Slot slot = state_->records.Find(lease->uid);
  if (slot == kNoSlot) return std::nullopt;
  const Record& record = state_->records.at(slot);
  const SessionLink& link = state_->sessions.link(name.cell);
  LeaseFacts facts;
  facts.document = record.document;
  facts.refreshable = record.material != nullptr && record.material->refreshable;
  facts.live = lease->end == LeaseEnd::kLive;
  facts.model = state_->models.Name(facts.live ? lease->model : link.model);
  facts.material_version = lease->material_version;
  facts.granted = absl::FromUnixNanos(link.granted_ns);
  return facts;
}

RenewReply Pool::Renew(const SessionLease& name, absl::Duration ttl, absl::Time now,
                       Effects& effects) {
  state_->Latest(now);
  state_->Step(effects);
  LeaseCell* const lease = state_->FindLease(name);
  return lease == nullptr ? RenewReply() : state_->Extend(name.cell, *lease, ttl);
}

bool Pool::Release(const SessionLease& name, absl::Time now, Effects& effects) {
  state_->Latest(now);
  state_->Step(effects);
  const LeaseCell* const lease = state_->FindLease(name);
  const bool live = lease != nullptr && lease->end == LeaseEnd::kLive;
  if (live) state_->EndLease(name.cell, LeaseEnd::kReleased, effects);
  state_->Pump(effects);
  return live;
}

void Pool::CountExpired(uint64_t leases) { state_->totals.leases_expired += leases; }

}  // namespace credbroker::core
