// Explain: what Acquire would answer now and, for each candidate, why it is chosen or not. Uses the
// very selection of Acquire, without taking anything.
#include <algorithm>
#include <optional>
#include <utility>

#include "core/pool_state.h"

namespace credbroker::core {
namespace {

bool LabelsFit(const Document& document, const AcquireCommand& command) {
  for (const auto& [name, value] : command.labels) {
    const bool has = std::any_of(
        document.labels.begin(), document.labels.end(),
        [&](const auto& label) { return label.first == name && label.second == value; });
    if (!has) return false;
  }
  return true;
}

}  // namespace

Explanation Pool::Explain(const AcquireCommand& command, absl::string_view after_id, int limit,
                          absl::Time) const {
  PoolState& state = *state_;  // selection makes indexes on demand: a cache, not state
  Explanation answer;
  Request request;
  request.reading = true;
  const auto refusal = state.Resolve(command, &request);
  Choice choice;
  if (refusal) {
    answer.refusal.reason = *refusal;
  } else if (const auto whose = state.principal_names.Find(command.principal);
             state.Choose(request, &choice, &answer.refusal) && whose &&
             state.AtLeaseLimit(*whose)) {
    answer.refusal.reason = Refusal::kTooManyLeases;
  } else if (choice.slot != kNoSlot) {
    answer.would = AcquireReply::Kind::kGranted;
    answer.would_choose = std::string(state.records.at(choice.slot).id());
    answer.would_probe = choice.probe;
  }
  if (request.group == nullptr) return answer;
  answer.strategy = request.group->settings().strategy;
  if (!request.session.empty()) {
    const std::optional<Binding> bound = state.affinity.Peek(request.session, state.now);
    if (bound && state.records.live(bound->slot) &&
        state.records.at(bound->slot).uid == bound->uid) {
      answer.bound = std::string(state.records.at(bound->slot).id());
    }
  }
  const bool granted = answer.would == AcquireReply::Kind::kGranted;
  if (granted && after_id.empty()) {  // what it says of the whole comes with the first rows
    RefusalInfo counted;
    state.FillRefusal(request, &counted);
    answer.refusal.counts = counted.counts;
    answer.refusal.members = counted.members;
  }
  const absl::string_view model = CanonicalModel(command.model);
  auto judge = [&](Slot slot, Candidate* out) {
    const Record& record = state.records.at(slot);
    const Document& document = *record.document;
    if (std::find(request.providers.begin(), request.providers.end(), record.provider) ==
        request.providers.end()) {
      return Candidacy::kWrongProvider;
    }
    absl::string_view upstream;
    if (!state.rules.at(record.rules).Serves(model, &upstream)) {
      return Candidacy::kDoesNotServeModel;
    }
    const auto id = state.models.Find(upstream);
    const Standing* held = id ? request.group->ModelStanding(slot, *id) : nullptr;
    const Standing standing = held ? Combine(record.standing, *held) : record.standing;
    out->state = standing.state;
    out->half_open = standing.half_open;
    if (command.kind && document.kind != *command.kind) return Candidacy::kWrongKind;
    if (!LabelsFit(document, command)) return Candidacy::kWrongLabels;
    if (!command.credential_id.empty() && command.credential_id != record.id()) {
      return Candidacy::kNotPinned;
    }
    for (absl::string_view excluded : command.excluded) {
      if (excluded == record.id()) return Candidacy::kExcluded;
    }
    absl::Time until = absl::InfinitePast();
    bool probe = false;
    Cause gate = state.Gate(record.provider, upstream, &until, &probe);
    if (gate == Cause::kNone && state.open_egress.contains(record.egress)) {
      gate = state.EgressGate(record.egress, &until, &probe);
    }
    if (gate != Cause::kNone) {
      out->until = until;
      out->cause = gate;
      return gate == Cause::kBreaker ? Candidacy::kBreakerOpen : Candidacy::kProviderBackoff;
    }
    out->cause = standing.cause;
    if (standing.returns_ns != INT64_MAX) out->until = FromNanosOrNever(standing.returns_ns);
    if (standing.state == State::kDisabled) return Candidacy::kDisabled;
    if (standing.state == State::kWaiting) {
      return record.standing.state == State::kWaiting ? Candidacy::kWaiting
                                                      : Candidacy::kModelWaiting;
    }
    if (granted && choice.slot == slot) return Candidacy::kChosen;
    if (standing.half_open) {
      return standing.probe_ready ? Candidacy::kHalfOpen : Candidacy::kProbing;
    }
    if (standing.cause == Cause::kBusy) {
      if (record.standing.cause != Cause::kBusy) return Candidacy::kModelBusy;
      return record.standing.returns_ns != INT64_MAX ? Candidacy::kResumeOnly : Candidacy::kBusy;
    }
    if (standing.cause == Cause::kWeight) return Candidacy::kWeight;
    if (choice.by_binding && choice.slot != slot) return Candidacy::kBoundElsewhere;
    if (granted && state.records.at(choice.slot).document->priority > document.priority) {
      return Candidacy::kLowerTier;
    }
    return Candidacy::kEligible;
  };
  const auto& by_id = request.group->order().by_id();
  auto it = after_id.empty() ? by_id.begin() : by_id.upper_bound(after_id);
  for (; it != by_id.end() && static_cast<int>(answer.candidates.size()) < limit; ++it) {
    const Slot slot = request.group->SlotAt(it->second);
    Candidate candidate;
    candidate.id = std::string(it->first);
    const Record& record = state.records.at(slot);
    candidate.priority = record.document->priority;
    candidate.state = record.standing.state;
    candidate.half_open = record.standing.half_open;
    candidate.candidacy = judge(slot, &candidate);
    answer.candidates.push_back(std::move(candidate));
  }
  answer.more = it != by_id.end();
  return answer;
}

}  // namespace credbroker::core
