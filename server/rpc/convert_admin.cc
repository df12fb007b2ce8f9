#include <algorithm>

#include "server/engine/etag.h"
#include "server/rpc/convert.h"
#include "server/rpc/convert_attributes.h"
#include "server/rpc/redact.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

void FillDocument(const core::Document& document, v1::Credential* out) {
  out->set_id(document.id);
  out->set_group(document.group);
  out->set_provider(document.provider);
  out->set_kind(ToProto(document.kind));
  out->set_label(document.label);
  out->set_email(document.email);
  out->set_note(document.note);
  out->set_priority(static_cast<int32_t>(document.priority));
  out->set_weight(static_cast<int32_t>(document.weight));
  out->set_prefix(document.prefix);
  out->set_proxy_url(RedactUrl(document.proxy_url));
  for (const auto& [name, value] : document.headers) {
    (*out->mutable_headers())[name] = IsSecretHeader(name) ? std::string(kRedacted) : value;
  }
  for (const std::string& model : document.models) out->add_models(model);
  for (const std::string& model : document.excluded_models) out->add_excluded_models(model);
  for (const core::ModelAlias& alias : document.model_aliases) {
    v1::ModelAlias* to = out->add_model_aliases();
    to->set_alias(alias.alias);
    to->set_model(alias.model);
  }
  out->set_disable_cooling(document.disable_cooling);
  if (document.max_in_flight.has_value()) out->set_max_in_flight(*document.max_in_flight);
  if (document.max_in_flight_per_model.has_value()) {
    out->set_max_in_flight_per_model(*document.max_in_flight_per_model);
  }
  if (document.request_retry.has_value()) out->set_request_retry(*document.request_retry);
  if (document.refresh_interval_seconds.has_value()) {
    out->mutable_refresh_interval()->set_seconds(*document.refresh_interval_seconds);
  }
  out->set_base_url(document.base_url);
  if (!document.attributes_json.empty() &&
      !ParseAttributes(document.attributes_json, out->mutable_attributes())) {
    out->clear_attributes();
  }
  for (const auto& [key, value] : document.labels) (*out->mutable_labels())[key] = value;
  out->set_source(document.source);
  SetTime(document.create_time, out->mutable_create_time());
  if (document.kind == core::Kind::kOAuth) {
    out->set_refresh_owner(document.external_refresh ? v1::REFRESH_OWNER_EXTERNAL
                                                     : v1::REFRESH_OWNER_BROKER);
  }
}

void FillIntent(const core::Intent& intent, v1::Intent* out) {
  out->set_disabled(!intent.enabled);
  out->set_actor(intent.actor);
  out->set_reason(intent.reason);
  if (intent.since > absl::UnixEpoch()) SetTime(intent.since, out->mutable_since());
  if (intent.until.has_value()) SetTime(*intent.until, out->mutable_until());
}

void FillStatus(const core::CredentialView& view, bool with_history, v1::CredentialStatus* out) {
  out->set_state(ToProto(view.state));
  out->set_cause(ToProto(view.cause));
  out->set_auth_health(ToProto(view.auth));
  out->set_busy(view.busy);
  out->set_half_open(view.half_open);
  if (view.state == core::State::kWaiting) {
    SetTime(view.next_recover, out->mutable_next_recover_time());
  }
  for (const std::string& model : view.waiting_models) out->add_waiting_models(model);
  out->set_in_flight(static_cast<int32_t>(view.in_flight));
  out->set_material_version(static_cast<int64_t>(view.material_version));
  if (view.material_expire.has_value()) {
    SetTime(*view.material_expire, out->mutable_material_expire_time());
  }
  if (view.last_used > absl::InfinitePast()) {
    SetTime(view.last_used, out->mutable_last_used_time());
  }
  for (const core::ScopedRecord& scoped : view.records) {
    v1::AvailabilityRecord* record = out->add_availability();
    record->set_model(scoped.model);
    SetTime(scoped.record.block_until, record->mutable_block_until());
    SetTime(scoped.record.avoid_until, record->mutable_avoid_until());
    record->set_cause(ToProto(scoped.record.cause));
    record->set_level(scoped.record.level);
    record->set_raw_hint(scoped.record.raw_hint);
    SetTime(scoped.record.began, record->mutable_began());
  }
  for (const core::RateWindow& window : view.windows) {
    v1::RateWindow* to = out->add_rate_windows();
    to->set_name(window.name);
    if (window.limit.has_value()) to->set_limit(*window.limit);
    if (window.remaining.has_value()) to->set_remaining(*window.remaining);
    if (window.reset != absl::InfiniteFuture()) SetTime(window.reset, to->mutable_reset_time());
  }
  if (!with_history) return;
  for (const core::TransitionView& line : view.history) FillTransition(line, out->add_history());
}

}  // namespace

void FillTransition(const core::TransitionView& view, v1::Transition* out) {
  SetTime(absl::FromUnixMillis(view.line.at_ms), out->mutable_time());
  if (view.line.why != core::Why::kCreated) out->set_from(ToProto(view.line.from));
  if (view.line.why != core::Why::kDeleted) out->set_to(ToProto(view.line.to));
  out->set_why(ToProto(view.line.why));
  out->set_cause(ToProto(view.line.cause));
  out->set_model(view.model);
  out->set_actor(view.actor);
  if (view.line.until_ms != 0) {
    SetTime(absl::FromUnixMillis(view.line.until_ms), out->mutable_until());
  }
  out->set_number(static_cast<int64_t>(view.line.number));
}

void FillCredential(const core::CredentialView& view, bool with_history, v1::Credential* out) {
  FillDocument(*view.document, out);
  out->set_uid(UidText(view.uid));
  out->set_etag(engine::EtagText({view.uid, view.document->revision}));
  FillIntent(view.intent, out->mutable_intent());
  FillStatus(view, with_history, out->mutable_status());
}

engine::BatchOperation ToOperation(const v1::BatchOperation& operation) {
  using Kind = engine::BatchOperation::Kind;
  engine::BatchOperation out;
  const auto cap = [](int32_t value) {
    return value < 0 ? std::nullopt : std::optional<int32_t>(value);
  };
  switch (operation.operation_case()) {
    case v1::BatchOperation::kEnable:
      out.kind = Kind::kEnable;
      break;
    case v1::BatchOperation::kDisable:
      out.kind = Kind::kDisable;
      out.text = operation.disable().reason();
      if (operation.disable().has_until()) out.until = ToTime(operation.disable().until());
      break;
    case v1::BatchOperation::kSetPriority:
      out.kind = Kind::kPriority;
      out.number = operation.set_priority();
      break;
    case v1::BatchOperation::kSetWeight:
      out.kind = Kind::kWeight;
      out.number = operation.set_weight();
      break;
    case v1::BatchOperation::kSetPrefix:
      out.kind = Kind::kPrefix;
      out.text = operation.set_prefix();
      break;
    case v1::BatchOperation::kSetProxyUrl:
      out.kind = Kind::kProxyUrl;
      out.text = operation.set_proxy_url() == "none" ? std::string(core::kDirect)
                                                     : operation.set_proxy_url();
      break;
    case v1::BatchOperation::kSetMaxInFlight:
      out.kind = Kind::kMaxInFlight;
      out.cap = cap(operation.set_max_in_flight());
      break;
    case v1::BatchOperation::kSetMaxInFlightPerModel:
      out.kind = Kind::kMaxInFlightPerModel;
      out.cap = cap(operation.set_max_in_flight_per_model());
      break;
    case v1::BatchOperation::kSetGroup:
      out.kind = Kind::kGroup;
      out.text = operation.set_group();
      break;
    case v1::BatchOperation::kSetLabels:
      out.kind = Kind::kLabels;
      for (const auto& [key, value] : operation.set_labels().set()) {
        out.set_labels.emplace_back(key, value);
      }
      std::sort(out.set_labels.begin(), out.set_labels.end());
      out.remove_labels.assign(operation.set_labels().remove().begin(),
                               operation.set_labels().remove().end());
      break;
    case v1::BatchOperation::kReset:
      out.kind = Kind::kReset;
      break;
    case v1::BatchOperation::kDelete:
    case v1::BatchOperation::OPERATION_NOT_SET:
      out.kind = Kind::kDelete;
      break;
  }
  return out;
}

void FillItem(const engine::BatchItem& item, v1::BatchItemResult* out) {
  out->set_id(item.id);
  switch (item.status) {
    case engine::ItemStatus::kOk:
      out->set_status(v1::BATCH_ITEM_STATUS_OK);
      break;
    case engine::ItemStatus::kSkipped:
      out->set_status(v1::BATCH_ITEM_STATUS_SKIPPED);
      break;
    case engine::ItemStatus::kNotFound:
      out->set_status(v1::BATCH_ITEM_STATUS_NOT_FOUND);
      break;
    case engine::ItemStatus::kConflict:
      out->set_status(v1::BATCH_ITEM_STATUS_CONFLICT);
      break;
  }
  out->set_message(item.message);
  for (const engine::FieldChange& change : item.changes) {
    v1::FieldChange* to = out->add_changes();
    to->set_field(change.field);
    // A proxy's address is the one document field with a secret that a batch can change.
    const bool url = change.field == "proxy_url";
    to->set_old_value(url ? RedactUrl(change.old_value) : change.old_value);
    to->set_new_value(url ? RedactUrl(change.new_value) : change.new_value);
  }
}

}  // namespace credbroker::rpc
