// Availability records and history of a credential, and the changes that write them.
#include <utility>

#include "core/pool_state.h"

namespace credbroker::core {

ScopeRecords& PoolState::ScopeFor(Record& record, ModelId model, Effects& effects) {
  if (ScopeRecords* scope = record.Find(model)) return *scope;
  if (model == kNoModel) {
    return *record.scopes.insert(record.scopes.begin(), ScopeRecords(kNoModel));
  }
  int model_scopes = 0;
  auto drop = record.scopes.end();
  for (auto it = record.scopes.begin(); it != record.scopes.end(); ++it) {
    if (it->model() == kNoModel) continue;
    ++model_scopes;
    if (drop == record.scopes.end() || it->avoid_until() < drop->avoid_until()) drop = it;
  }
  if (model_scopes >= kMaxModelScopes) {
    const ModelId dropped = drop->model();
    record.scopes.erase(drop);
    ++totals.model_records_dropped;
    RederiveModel(records.Find(record.uid), dropped, effects);
    models.Unref(dropped);
  }
  models.Ref(model);
  record.scopes.emplace_back(model);
  return record.scopes.back();
}

void PoolState::DropEmptyScopes(Slot slot, Effects& effects) {
  Record& record = records.at(slot);
  for (size_t i = 0; i < record.scopes.size();) {
    ScopeRecords& scope = record.scopes[i];
    if (!scope.empty()) {
      ++i;
      continue;
    }
    const ModelId model = scope.model();
    record.scopes.erase(record.scopes.begin() + static_cast<ptrdiff_t>(i));
    if (model != kNoModel) {
      RederiveModel(slot, model, effects);
      models.Unref(model);
    }
  }
  if (record.scopes.empty()) record.scopes.shrink_to_fit();
}

void PoolState::PushHistory(Record& record, const Transition& given) {
  models.Ref(given.model);
  ModelId dropped;
  record.history.Push(given, &dropped);
  models.Unref(dropped);
}

std::shared_ptr<const HealthRecord> PoolState::HealthOf(const Record& record) const {
  auto health = std::make_shared<HealthRecord>();
  health->uid = record.uid;
  health->auth = record.auth;
  health->policy_cause = record.policy_cause;
  health->policy_since = record.policy_since;
  for (const ScopeRecords& scope : record.scopes) {
    for (const AvailabilityRecord& entry : scope.records()) {
      health->records.push_back({models.Name(scope.model()), entry});
    }
  }
  if (record.windows != nullptr) health->windows = *record.windows;
  return health;
}

void PoolState::EmitHealth(Slot slot, Why why, std::optional<Transition> line, Effects& effects) {
  const Record& record = records.at(slot);
  Change change;
  change.kind = RecordKind::kHealth;
  change.why = why;
  change.id = std::string(record.id());
  change.uid = record.uid;
  change.at = now;
  change.health = HealthOf(record);
  change.transition = line;
  effects.changes.push_back(std::move(change));
}

}  // namespace credbroker::core
