// Durable edits: Prepare says what would become of a row, Install shows what was committed.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/pool_state.h"

namespace credbroker::core {
namespace {

// Causes a new secret or a completed refresh clears: they speak of the old secret.
bool IsOfSecret(Cause cause) {
  switch (cause) {
    case Cause::kTokenRejected:
    case Cause::kForbidden:
    case Cause::kRefresh:
    case Cause::kExpired:
    case Cause::kUnconfirmed:
      return true;
    default:
      return false;
  }
}

std::shared_ptr<SecretMaterial> CloneOf(const SecretMaterial& from) {
  auto copy = std::make_shared<SecretMaterial>();
  copy->access_token = from.access_token.Clone();
  copy->refresh_token = from.refresh_token.Clone();
  copy->id_token = from.id_token.Clone();
  copy->api_key = from.api_key.Clone();
  copy->client_secret = from.client_secret.Clone();
  copy->service_account = from.service_account.Clone();
  copy->cookie = from.cookie.Clone();
  for (const auto& [name, value] : from.extra) copy->extra.emplace(name, value.Clone());
  copy->expire_time = from.expire_time;
  copy->version = from.version;
  return copy;
}

// Whether calls that `before` was granted to might not be granted `after`: it has another group,
// kind, labels or models, or is taken out of the strategies' hands.
bool ServesOthers(const Document& before, const Document& after) {
  return before.group != after.group || before.kind != after.kind ||
         before.labels != after.labels || before.prefix != after.prefix ||
         before.models != after.models || before.excluded_models != after.excluded_models ||
         before.model_aliases != after.model_aliases || (before.weight > 0 && after.weight <= 0);
}

}  // namespace

absl::Status CheckDocument(const Document& document) {
  auto bad = [](absl::string_view field, absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
  };
  if (document.id.empty() || document.id.size() > 256) return bad("id", "must have 1 to 256 bytes");
  if (document.group.empty()) return bad("group", "must not be empty; use \"default\"");
  if (document.provider.empty()) return bad("provider", "must not be empty");
  if (document.weight > 1'000'000) return bad("weight", "must be at most 1,000,000");
  if (document.max_in_flight.value_or(0) < 0) return bad("max_in_flight", "must be 0 or more");
  if (document.max_in_flight_per_model.value_or(0) < 0) {
    return bad("max_in_flight_per_model", "must be 0 or more");
  }
  return absl::OkStatus();
}

absl::StatusOr<RowEdit> PoolState::Prepare(const Edit& edit, absl::Time at) const {
  RowEdit row;
  row.op = edit.op;
  row.why = edit.why;
  row.id = edit.id;
  row.actor = edit.actor;
  row.prepared = at;
  row.reset = edit.reset;
  row.intent = edit.intent;
  const Slot slot = records.Find(absl::string_view(edit.id));
  if (edit.op == Edit::Op::kCreate) {
    if (slot != kNoSlot) {
      return absl::AlreadyExistsError(absl::StrCat("id: credential '", edit.id, "' exists"));
    }
    if (edit.document == nullptr) return absl::InvalidArgumentError("document: is required");
    if (absl::Status status = CheckDocument(*edit.document); !status.ok()) return status;
    row.uid = edit.revive_uid.value_or(Uid(0));  // 0: the caller takes the next one
    row.document = edit.document;
    if (edit.secret != nullptr) {
      auto secret = CloneOf(*edit.secret);
      if (secret->version == 0) secret->version = 1;
      row.secret = std::move(secret);
    }
    row.revive_health = edit.revive_health;
    return row;
  }
  if (slot == kNoSlot) {
    return absl::NotFoundError(absl::StrCat("id: no credential '", edit.id, "'"));
  }
  const Record& record = records.at(slot);
  row.uid = record.uid;
  if ((edit.expect_uid && *edit.expect_uid != record.uid) ||
      (edit.expect_revision && *edit.expect_revision != record.document->revision)) {
    return absl::AbortedError(
        absl::StrCat("etag: credential '", edit.id, "' was changed meanwhile; read it again"));
  }
  if (edit.op == Edit::Op::kDelete) return row;
  // The etag covers document and intent, so each edit of either writes a document.
  if (edit.document != nullptr || edit.intent.has_value()) {
    auto document =
        std::make_shared<Document>(edit.document != nullptr ? *edit.document : *record.document);
    if (absl::Status status = CheckDocument(*document); !status.ok()) return status;
    if (document->provider != record.document->provider) {
      return absl::InvalidArgumentError("provider: cannot be changed; create another credential");
    }
    if (document->id != record.id()) return absl::InvalidArgumentError("id: cannot be changed");
    document->revision = record.document->revision + 1;
    row.document = std::move(document);
  }
  if (edit.secret != nullptr) {
    auto secret = CloneOf(*edit.secret);
    secret->version = (record.material == nullptr ? 0 : record.material->version) + 1;
    row.secret = std::move(secret);
  }
  return row;
}

Slot PoolState::Insert(Uid uid, const std::shared_ptr<const Document>& document,
                       std::shared_ptr<const Intent> intent,
                       std::shared_ptr<const Material> material, const HealthRecord* health,
                       Effects& effects) {
  const Slot slot = records.Add(document, uid);
  Record& record = records.at(slot);
  GroupIndex& group = Group(document->group);
  record.group = group.id();
  record.provider = Provider(document->provider);
  record.rules = rules.Ref(*document);
  record.egress = JoinEgress(document->proxy_url);
  record.intent = std::move(intent);
  record.material = std::move(material);
  if (health != nullptr) {
    record.auth = health->auth;
    record.policy_cause = health->policy_cause;
    record.policy_since = health->policy_since;
    for (const ScopedRecord& scoped : health->records) {
      if (scoped.record.avoid_until + kRecordRetention <= now) continue;
      const ModelId model = models.Ref(scoped.model);
      ScopeFor(record, model, effects).Put(scoped.record);
      models.Unref(model);
    }
    if (!health->windows.empty()) {
      record.windows = std::make_unique<std::vector<RateWindow>>(health->windows);
    }
  }
  ResolveCaps(record);
  record.standing = StandingOf(record);
  group.Add(slot);
  GroupProviderStats& stats = group.stats(record.provider);
  ++stats.by_state[static_cast<size_t>(record.standing.state)];
  if (record.standing.cause != Cause::kNone) {
    ++stats.by_cause[static_cast<size_t>(record.standing.cause)];
  }
  if (record.standing.half_open) ++stats.half_open;
  if (record.standing.cause == Cause::kBusy) ++stats.busy;
  for (const ScopeRecords& scope : record.scopes) RederiveModel(slot, scope.model(), effects);
  SetTimer(slot);
  if ((record.standing.ready || record.standing.probe_ready) && waits.size() != 0) {
    pump.insert(record.group);
  }
  return slot;
}

void PoolState::Remove(Slot slot, Effects& effects) {
  Record& record = records.at(slot);
  Revoke(record, kNoModel, RevokeReason::kDeleted, Cause::kNone, INT64_MAX, effects);
  while (record.first_lease != kNoCell) EndLease(record.first_lease, LeaseEnd::kRevoked, effects);
  GroupIndex& group = *groups[record.group.number()];
  for (const ScopeRecords& scope : record.scopes) {
    if (scope.model() != kNoModel) group.SetModel(slot, scope.model(), nullptr);
  }
  group.EraseModels(slot);
  group.Remove(slot);
  GroupProviderStats& stats = group.stats(record.provider);
  --stats.by_state[static_cast<size_t>(record.standing.state)];
  if (record.standing.cause != Cause::kNone) {
    --stats.by_cause[static_cast<size_t>(record.standing.cause)];
  }
  if (record.standing.half_open) --stats.half_open;
  if (record.standing.cause == Cause::kBusy) --stats.busy;
  for (const ScopeRecords& scope : record.scopes) models.Unref(scope.model());
  record.history.ForEachNewestFirst([&](const Transition& line) { models.Unref(line.model); });
  rules.Unref(record.rules);
  LeaveEgress(record.egress, effects);
  timers.Erase(slot.number());
  if (waits.size() != 0) pump.insert(record.group);  // its sessions are free again
  records.Remove(slot);
}

void PoolState::ReplaceDocument(Slot slot, std::shared_ptr<const Document> document,
                                Effects& effects) {
  Record& record = records.at(slot);
  const Standing before = record.standing;
  const bool was_capped = Capped(record), other_calls = ServesOthers(*record.document, *document);
  GroupIndex& old_group = *groups[record.group.number()];
  const bool moves = document->group != record.document->group;
  std::vector<ModelId> held;
  for (const ScopeRecords& scope : record.scopes) {
    if (scope.model() != kNoModel) held.push_back(scope.model());
  }
  // Out of the indexes under the old document, in again under the new one.
  if (moves) old_group.EraseModels(slot);
  if (moves && waits.size() != 0) pump.insert(old_group.id());  // its sessions are free again
  old_group.Remove(slot);
  GroupProviderStats& old_stats = old_group.stats(record.provider);
  auto count = [&](GroupProviderStats& stats, uint64_t by) {
    stats.by_state[static_cast<size_t>(record.standing.state)] += by;
    if (record.standing.cause != Cause::kNone) {
      stats.by_cause[static_cast<size_t>(record.standing.cause)] += by;
    }
    if (record.standing.half_open) stats.half_open += by;
    if (record.standing.cause == Cause::kBusy) stats.busy += by;
  };
  count(old_stats, static_cast<uint64_t>(-1));
  old_stats.in_flight -= record.in_flight;
  rules.Unref(record.rules);
  const EgressId old_egress = record.egress;
  record.document = std::move(document);
  record.rules = rules.Ref(*record.document);
  record.egress = JoinEgress(record.document->proxy_url);
  if (old_egress != record.egress) record.egress_reports = BreakerMember();
  LeaveEgress(old_egress, effects);
  GroupIndex& group = Group(record.document->group);
  record.group = group.id();
  ResolveCaps(record);
  record.standing = StandingOf(record);
  if (other_calls || (Capped(record) && !was_capped && !Fault("cap_keeps_stock"))) {
    Revoke(record, kNoModel, RevokeReason::kChanged, Cause::kNone, INT64_MAX, effects);
  } else {
    RevokeIfLeft(record, kNoModel, before, record.standing, effects);
  }
  group.Add(slot);
  GroupProviderStats& stats = group.stats(record.provider);
  count(stats, 1);
  stats.in_flight += record.in_flight;
  // Per-model sets are kept for capped credentials only: count anew under the new caps.
  for (auto it = model_in_flight.begin(); it != model_in_flight.end();) {
    if (it->first.first == slot) {
      held.push_back(it->first.second);
      model_in_flight.erase(it++);
    } else {
      ++it;
    }
  }
  for (uint32_t cell = record.first_lease; cell != kNoCell; cell = leases.at(cell).next) {
    const ModelId model = leases.at(cell).model;
    if (record.model_cap > 0 && model != kNoModel && ++model_in_flight[{slot, model}] == 1) {
      held.push_back(model);
    }
  }
  for (ModelId model : held) RederiveModel(slot, model, effects);
  SetTimer(slot);
  if (waits.size() != 0) pump.insert(record.group);
}

void PoolState::Install(const RowEdit& row, Effects& effects) {
  if (row.op == Edit::Op::kCreate) {
    CB_CHECK(row.uid.number() != 0);
    next_uid = std::max(next_uid, row.uid.number() + 1);
    HealthRecord healthy;
    healthy.uid = row.uid;
    if (row.material == nullptr) healthy.auth = AuthHealth::kReauthRequired;
    const Slot slot =
        Insert(row.uid, row.document, row.intent ? std::make_shared<Intent>(*row.intent) : nullptr,
               row.material, row.revive_health ? row.revive_health.get() : &healthy, effects);
    Record& record = records.at(slot);
    Transition line;
    line.at_ms = absl::ToUnixMillis(now);
    line.from = line.to = record.standing.state;
    line.why = row.why;
    line.cause = record.standing.cause;
    line.actor = principal_names.Ref(row.actor);
    PushHistory(record, line);
    line.number = record.history.number();
    EmitHealth(slot, row.why, line, effects);
    return;
  }
  const Slot slot = records.Find(absl::string_view(row.id));
  CB_CHECK(slot != kNoSlot && records.at(slot).uid == row.uid);
  if (row.op == Edit::Op::kDelete) {
    Change change;
    change.kind = RecordKind::kDeleted;
    change.why = row.why;
    change.id = row.id;
    change.uid = row.uid;
    change.at = now;
    effects.changes.push_back(std::move(change));
    Remove(slot, effects);
    return;
  }
  Record& record = records.at(slot);
  const bool was_disabled = record.standing.state == State::kDisabled;
  bool health_changed = false;
  if (row.intent) record.intent = std::make_shared<const Intent>(*row.intent);
  if (row.intent && Fault("enable_clears_policy")) record.auth = AuthHealth::kOk;
  if (row.material != nullptr) record.material = row.material;
  if (row.secret != nullptr || row.reset) {
    for (ScopeRecords& scope : record.scopes) {
      for (int c = 0; c < kCauseCount; ++c) {
        const Cause cause = static_cast<Cause>(c);
        if (cause == Cause::kNone || !(row.reset || IsOfSecret(cause))) continue;
        health_changed = scope.Erase(cause, row.prepared) || health_changed;
      }
    }
    const bool by_secret = row.secret != nullptr && record.auth != AuthHealth::kOk;
    const bool by_reset = row.reset && record.auth == AuthHealth::kDisabledByPolicy &&
                          record.policy_since < row.prepared;
    if (row.reset && Fault("reset_clears_reauth")) record.auth = AuthHealth::kOk;
    if (by_secret || by_reset) {
      record.auth = AuthHealth::kOk;
      record.policy_cause = Cause::kNone;
      health_changed = true;
    }
    std::vector<ModelId> held;
    held.reserve(record.scopes.size());
    for (const ScopeRecords& scope : record.scopes) held.push_back(scope.model());
    for (ModelId model : held) RederiveModel(slot, model, effects);
    DropEmptyScopes(slot, effects);
  }
  if (row.document != nullptr) {
    // The record's standing is brought up to date first, so that the history says why it moved.
    Rederive(slot, row.why, principal_names.Ref(row.actor), effects);
    ReplaceDocument(slot, row.document, effects);
  }
  Rederive(slot, row.why, principal_names.Ref(row.actor), effects);
  // Who disables it may wait until nobody hands it out. What was told when something else disabled
  // it may still be on its way to some; they have this one to acknowledge then.
  if (row.intent && !row.intent->enabled && was_disabled && !Fault("disable_tells_once")) {
    Revoke(record, kNoModel, RevokeReason::kDisabled, record.standing.cause,
           record.standing.returns_ns, effects);
  }
  if (health_changed) {
    EmitHealth(slot, row.why, std::nullopt, effects);
  } else {
    Change change;
    change.kind = row.secret   ? RecordKind::kSecret
                  : row.intent ? RecordKind::kIntent
                               : RecordKind::kDocument;
    change.why = row.why;
    change.id = row.id;
    change.uid = row.uid;
    change.at = now;
    effects.changes.push_back(std::move(change));
  }
}

}  // namespace credbroker::core
