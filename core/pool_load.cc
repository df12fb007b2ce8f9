// What a start and a reload bring: stored credentials and backoffs, settings.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {

void PoolState::Configure(Settings given, Effects& effects) {
  settings = std::move(given);
  options.settings = settings;
  ended_retention_ns = absl::ToInt64Nanoseconds(settings.limits.ended_retention);
  affinity.set_max_bindings(settings.limits.max_bindings);
  for (const GroupSettings& group : settings.groups) Group(group.name);
  for (const ProviderSettings& own : settings.providers) Provider(own.name);
  for (const auto& group : groups) {
    if (group == nullptr) continue;
    GroupSettings own;
    own.name = group->settings().name;
    for (const GroupSettings& wanted : settings.groups) {
      if (wanted.name == own.name) own = wanted;
    }
    const bool spilt = group->settings().session_spill;
    group->Configure(std::move(own));
    if (spilt != group->settings().session_spill) {
      waits.SetSessionDecides(group->id(), SessionDecides(*group));
    }
  }
  for (const auto& state : providers) {
    if (state == nullptr) continue;
    ProviderSettings own;
    own.name = state->name;
    for (const ProviderSettings& wanted : settings.providers) {
      if (wanted.name == own.name) own = wanted;
    }
    state->settings = std::move(own);
  }
  for (uint32_t i = 0; i < records.limit(); ++i) {
    const Slot slot(i);
    if (!records.live(slot)) continue;
    Record& record = records.at(slot);
    const int32_t cap = record.cap, model_cap = record.model_cap;
    ResolveCaps(record);
    if (cap == record.cap && model_cap == record.model_cap) continue;
    record.cap = cap, record.model_cap = model_cap;  // what was is compared with what is
    ReplaceDocument(slot, record.document, effects);
  }
  for (GroupId group : waits.groups()) pump.insert(group);
}

absl::Status Pool::Load(StoredCredential stored, absl::Time now) {
  state_->Latest(now);
  if (absl::Status status = CheckDocument(*stored.document); !status.ok()) return status;
  if (state_->records.Find(absl::string_view(stored.document->id)) != kNoSlot ||
      state_->records.Find(stored.uid) != kNoSlot || stored.uid.number() == 0) {
    return absl::AlreadyExistsError("id or uid stands twice");
  }
  state_->next_uid = std::max(state_->next_uid, stored.uid.number() + 1);
  HealthRecord healthy;
  Effects none;  // nobody is there to be told
  const Slot slot = state_->Insert(
      stored.uid, stored.document,
      stored.intent ? std::make_shared<const Intent>(*std::move(stored.intent)) : nullptr,
      std::move(stored.material), stored.health ? stored.health.get() : &healthy, none);
  state_->records.at(slot).history.set_number(stored.history_number);
  return absl::OkStatus();
}

bool Pool::LoadBackoff(const BackoffRecord& record, absl::Time now) {
  PoolState& state = *state_;
  state.Latest(now);
  if (record.record.cause == Cause::kNone || record.record.avoid_until + kRecordRetention <= now) {
    return false;
  }
  if (!record.egress.empty()) {
    const auto id = state.egress_names.Find(record.egress);
    if (!id || id->number() == 0) return false;
    state.egress[id->number()].backoff.Put(record.record);
    state.open_egress.insert(*id);
    return true;
  }
  ProviderState& provider = state.provider(state.Provider(record.provider));
  const auto known = state.models.Find(record.model);
  for (ScopeRecords& backoff : provider.backoffs) {
    if (!known || backoff.model() != *known) continue;
    backoff.Put(record.record);
    return true;
  }
  provider.backoffs.emplace_back(state.models.Ref(record.model)).Put(record.record);
  return true;
}

}  // namespace credbroker::core
