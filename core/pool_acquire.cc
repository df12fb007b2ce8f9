// Acquire: granting, repeating, refusing and parking.
#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {
namespace {

std::string RequestKey(absl::string_view principal, absl::string_view request_id) {
  return absl::StrCat(principal, absl::string_view("\0", 1), request_id);
}

// Arguments that a repeated request_id must have in common. Not max_wait: a retry may have less
// time.
uint64_t Fingerprint(const AcquireCommand& command) {
  return absl::HashOf(DemandOf(command), command.session_key, command.ttl);
}

// A shared object, whose count of references lies before it.
void Prefetch(const void* object) {
  if (object != nullptr) __builtin_prefetch(static_cast<const char*>(object) - 16, 1);
}

AcquireReply Refused(Refusal reason) {
  AcquireReply reply;
  reply.kind = AcquireReply::Kind::kRefused;
  reply.refusal.reason = reason;
  return reply;
}

}  // namespace

AcquireReply PoolState::Acquire(const AcquireCommand& command, Effects& effects) {
  Step(effects);
  if (command.for_stock) return Try(ForStock(command), WaiterId(), now, effects);
  if (!command.request_id.empty()) {
    if (auto repeated = Repeated(command, effects)) return *std::move(repeated);
  }
  AcquireReply reply = Try(command, WaiterId(), now, effects);
  if (!command.request_id.empty() && reply.kind != AcquireReply::Kind::kRefused) {
    RequestEntry entry;
    entry.fingerprint = Fingerprint(command);
    entry.session = command.session;
    if (reply.kind == AcquireReply::Kind::kParked) {
      entry.waiter = reply.waiter;
    } else {
      entry.cell = reply.grant.cell;
      entry.seq = reply.grant.seq;
    }
    const std::string key = RequestKey(command.principal, command.request_id);
    requests[key] = entry;
    if (entry.cell != kNoCell) {
      request_of_cell[entry.cell] = key;
      leases.at(entry.cell).has_request = true;
    }
  }
  return reply;
}

std::optional<AcquireReply> PoolState::Repeated(const AcquireCommand& command, Effects& effects) {
  auto it = requests.find(RequestKey(command.principal, command.request_id));
  if (it == requests.end()) return std::nullopt;
  const RequestEntry entry = it->second;
  if (entry.fingerprint != Fingerprint(command)) return Refused(Refusal::kRequestIdMismatch);
  // A lease is its session's alone: others cannot use its number.
  if (entry.session != command.session && sessions.Find(entry.session) != nullptr) {
    return Refused(Refusal::kRequestIdMismatch);
  }
  if (entry.waiter.number() != 0) {
    // The duplicate takes the parked one's place in the queue; the first caller is told.
    const ParkedCall* old = waits.Find(entry.waiter);
    CB_CHECK(old != nullptr);
    AcquireReply replaced = Refused(Refusal::kReplaced);
    replaced.waited = now - old->parked;
    ParkedCall call(command, SessionDecides(*groups[old->group.number()]));
    call.id = WaiterId(next_waiter++);
    call.group = old->group;
    call.principal = old->principal;
    call.parked = now;
    call.deadline =
        now + std::min(std::max(command.max_wait, absl::ZeroDuration()), settings.limits.max_wait);
    AcquireReply parked;
    parked.kind = AcquireReply::Kind::kParked;
    parked.waiter = it->second.waiter = call.id;
    it->second.session = command.session;
    CB_CHECK(waits.Replace(entry.waiter, std::move(call)));
    Answer(entry.waiter, std::move(replaced), effects);
    return parked;
  }
  const LeaseCell* lease = leases.Find(entry.cell, entry.seq);
  if (lease == nullptr || lease->end != LeaseEnd::kLive) return Refused(Refusal::kRequestEnded);
  // Nor can a session use one that was taken outside of it, or that dies with another.
  if (entry.session != command.session) return Refused(Refusal::kRequestIdMismatch);
  AcquireReply reply;
  reply.kind = AcquireReply::Kind::kGranted;
  FillGrant(entry.cell, &reply.grant);
  reply.grant.repeated = true;
  return reply;
}

AcquireReply PoolState::Try(const AcquireCommand& command, WaiterId waiter, absl::Time parked,
                            Effects& effects) {
  AcquireReply reply;
  if (command.session != kNoSession && sessions.FindOpen(command.session) == nullptr) {
    reply.refusal.reason = Refusal::kCancelled;
    return reply;
  }
  Request request;
  const bool first_try = waiter.number() == 0;
  const auto refusal = Resolve(command, &request);
  if (first_try) {  // refusals count too: they are demand
    for (ProviderId id : request.providers) provider(id).budget.CountAcquire(now);
  }
  if (refusal) {
    reply.refusal.reason = *refusal;
    if (first_try || reply.refusal.reason == Refusal::kNoSuchGroup) ++totals.refused_unknown;
    return reply;
  }
  GroupProviderStats& stats = request.group->stats(request.providers[0]);
  Choice choice;
  bool chosen = Choose(request, &choice, &reply.refusal);
  if (chosen && first_try && (choice.probe || choice.breaker_probe) &&
      waits.size(request.group->id()) != 0) {
    // Only time can have made this possible since the last pump: parked calls come first.
    pump.insert(request.group->id());
    Pump(effects);
    choice = Choice();
    reply.refusal = RefusalInfo();
    chosen = Choose(request, &choice, &reply.refusal);
  }
  if (chosen) {
    request.principal = principal_names.Ref(command.principal);
    if (AtLeaseLimit(request.principal)) {
      reply.refusal.reason = Refusal::kTooManyLeases;
      ++stats.refused[static_cast<size_t>(reply.refusal.reason)];
      return reply;
    }
    Commit(request, choice, &reply.grant, effects);
    reply.kind = AcquireReply::Kind::kGranted;
    reply.waited = now - parked;
    ++stats.granted;
    if (!first_try) ++stats.waited;
    return reply;
  }
  if (command.for_stock) JudgeStockRefusal(request, &reply.refusal);
  if (first_try && Park(command, request, reply.refusal, &reply)) return reply;
  if (first_try) ++stats.refused[static_cast<size_t>(reply.refusal.reason)];
  return reply;
}

bool PoolState::Park(const AcquireCommand& command, const Request& request,
                     const RefusalInfo& refusal, AcquireReply* reply) {
  if (command.max_wait <= absl::ZeroDuration()) return false;
  switch (refusal.reason) {
    case Refusal::kCooling:
    case Refusal::kBusy:
    case Refusal::kBreakerOpen:
    case Refusal::kProviderBackoff:
    case Refusal::kResumeOnly:
      break;
    default:
      return false;
  }
  const absl::Time deadline = now + std::min(command.max_wait, settings.limits.max_wait);
  const bool busy = refusal.counts[static_cast<size_t>(Cause::kBusy)] > 0;
  if (!busy && refusal.earliest >= deadline) return false;
  ParkedCall call(command, SessionDecides(*request.group));
  call.id = WaiterId(next_waiter);
  call.group = request.group->id();
  call.principal = principal_names.Ref(command.principal);
  call.parked = now;
  call.deadline = deadline;
  if (!waits.Add(std::move(call), settings.limits.max_parked,
                 settings.limits.max_parked_per_principal)) {
    reply->refusal.reason = Refusal::kTooManyParked;
    return false;
  }
  absl::Time& at = pump_at.try_emplace(request.group->id(), absl::InfiniteFuture()).first->second;
  at = std::min(at, refusal.earliest);
  reply->kind = AcquireReply::Kind::kParked;
  reply->waiter = WaiterId(next_waiter++);
  return true;
}

void PoolState::Commit(Request& request, const Choice& choice, Grant* grant, Effects& effects) {
  const AcquireCommand& command = *request.command;
  Record& record = records.at(choice.slot);
  CB_CHECK(record.standing.state == State::kAvailable && record.material != nullptr);
  CB_CHECK(record.cap == 0 || record.in_flight < static_cast<uint32_t>(record.cap) ||
           Fault("cap_ignored") || Fault("cap_off_by_one"));
  absl::string_view upstream = request.demand.model;
  if (record.rules != 0) {
    CB_CHECK(rules.at(record.rules).Serves(request.demand.model, &upstream));
  }
  const ModelId model = models.Ref(upstream);
  const uint32_t cell = leases.Add(choice.slot, record, request.principal, model, now_ns,
                                   now_ns + absl::ToInt64Nanoseconds(TtlOf(command)));
  if (command.session != kNoSession) JoinSession(cell, command.session, command.for_stock);
  LeaseCell& lease = leases.at(cell);
  record.last_grant = NextGrant();
  if (choice.picked_from != nullptr) choice.picked_from->Granted(record.position);
  ++request.group->stats(record.provider).in_flight;

  ProviderState& state = provider(record.provider);
  if (choice.probe) {
    lease.probe = true;
    const bool dry = KeyIsDry(request);
    // A pin is its credential's probe outside the budget.
    if (command.credential_id.empty() && !Fault("probe_unlimited")) {
      CB_CHECK(state.budget.TryTake(now, dry));
    }
    ++state.stats.probes_granted;
    ++state.stats.probes_out;
    for (ScopeRecords& scope : record.scopes) {
      if (scope.model() != kNoModel && scope.model() != model) continue;
      if (scope.PhaseAt(now) != Phase::kHalfOpen || scope.probe().lease != kNoLease) continue;
      scope.mutable_probe().lease = lease.seq;
      scope.mutable_probe().started = scope.mutable_probe().last = now;
    }
  }
  {
    if (state.guard.breaker.TryProbe(lease.seq, now)) lease.breaker_probe = true;
    for (ScopeRecords& backoff : state.backoffs) {
      if (backoff.model() != kNoModel && backoff.model() != model) continue;
      if (backoff.PhaseAt(now) != Phase::kHalfOpen) continue;
      backoff.mutable_probe().lease = lease.seq;
      backoff.mutable_probe().started = backoff.mutable_probe().last = now;
      lease.breaker_probe = true;
    }
  }
  if (!open_egress.empty() && open_egress.contains(record.egress)) {
    TakeEgressProbe(lease, record.egress);
  }
  if (choice.bind) {
    const absl::Duration idle = request.group->settings().session_idle_ttl;
    if (choice.probe) {
      pending_binds[cell] = {request.session, choice.expected_binding, idle};
      lease.has_pending_bind = true;
    } else {
      affinity.CompareAndSet(request.session, choice.expected_binding, choice.slot, record.uid,
                             idle, now);
      if (choice.rebound) ++totals.rebinds;
      grant->rebound = choice.rebound;
    }
  }
  if (record.model_cap > 0 && model != kNoModel) ++model_in_flight[{choice.slot, model}];
  if (choice.probe || record.cap > 0) {
    Rederive(choice.slot, Why::kReportedSuccess, PrincipalId(), effects);
  }
  if (model != kNoModel && (choice.probe || record.model_cap > 0)) {
    RederiveModel(choice.slot, model, effects);
  }
  request.group->Touch(choice.slot);
  FillGrant(cell, grant);
  if (choice.picked_from != nullptr) WarmUp(*request.group, *choice.picked_from);
}

void PoolState::WarmUp(const GroupIndex& group, const ReadySet& picked_from) {
  // In two steps, as what a record points to is known only once it is there: the record two grants
  // ahead, and what it points to one grant ahead.
  if (upcoming != kNoSlot) {
    const Record& next = records.at(upcoming);
    Prefetch(next.document.get());
    Prefetch(next.material.get());
  }
  const std::optional<uint32_t> position = picked_from.Upcoming();
  upcoming = position ? group.SlotAt(*position) : kNoSlot;
  if (upcoming == kNoSlot) return;
  const char* const record = reinterpret_cast<const char*>(&records.at(upcoming));
  for (size_t at = 0; at < sizeof(Record); at += 64) __builtin_prefetch(record + at, 1);
}

void PoolState::FillGrant(uint32_t cell, Grant* grant) const {
  const LeaseCell& lease = leases.at(cell);
  const Record& record = records.at(lease.slot);
  grant->seq = lease.seq;
  grant->cell = cell;
  grant->document = record.document;
  grant->material = record.material;
  grant->model = models.Name(lease.model);
  grant->granted = absl::FromUnixNanos(lease.granted_ns);
  grant->expires = absl::FromUnixNanos(lease.expires_ns);
  grant->probe = lease.probe;
}

void PoolState::ForgetRequest(const ParkedCall& call) {
  const AcquireCommand command = call.View();
  if (command.request_id.empty()) return;
  auto it = requests.find(RequestKey(command.principal, command.request_id));
  if (it != requests.end() && it->second.waiter == call.id) requests.erase(it);
}

void PoolState::Answer(WaiterId waiter, AcquireReply reply, Effects& effects) {
  effects.woken.push_back({waiter, std::move(reply)});
}

void PoolState::Pump(Effects& effects) {
  while (!pump.empty()) {
    const GroupId group = *std::min_element(pump.begin(), pump.end());
    pump.erase(group);
    absl::Time next = absl::InfiniteFuture();
    while (waits.size(group) != 0) {
      AcquireReply reply;
      std::optional<std::string> request_key;
      uint64_t fingerprint = 0;
      SessionId session;
      next = absl::InfiniteFuture();
      const auto served = waits.ServeOne(group, [&](const ParkedCall& call) {
        const AcquireCommand command = call.View();
        reply = Try(command, call.id, call.parked, effects);
        if (reply.kind == AcquireReply::Kind::kRefused) {
          // Its session has gone, or its principal has enough: answered now, so that it holds up
          // nobody with the same demand.
          if (reply.refusal.reason == Refusal::kCancelled ||
              reply.refusal.reason == Refusal::kTooManyLeases) {
            ForgetRequest(call);
            return true;
          }
          next = std::min(next, reply.refusal.earliest);
          return false;
        }
        if (!command.request_id.empty()) {
          request_key = RequestKey(command.principal, command.request_id);
          fingerprint = Fingerprint(command);
          session = command.session;
        }
        return true;
      });
      if (!served) break;
      if (request_key) {
        requests[*request_key] = {fingerprint, WaiterId(), reply.grant.cell, reply.grant.seq,
                                  session};
        request_of_cell[reply.grant.cell] = *request_key;
        leases.at(reply.grant.cell).has_request = true;
      }
      Answer(*served, std::move(reply), effects);
    }
    if (waits.size(group) == 0 || next == absl::InfiniteFuture()) {
      pump_at.erase(group);
    } else {
      pump_at[group] = next;
    }
  }
}

}  // namespace credbroker::core
