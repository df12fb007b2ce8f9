// Document, secret and intent records.
#include <algorithm>
#include <utility>

#include "server/store/record_messages.h"
#include "server/store/record_time.h"

namespace credbroker::store {
namespace {

using core::Secret;
using core::SecretMaterial;

// The fields of a secret that have a name of their own, once for all directions.
template <typename Visit>
void EachField(Visit visit) {
  visit(&SecretMaterial::access_token, &v1::SecretRecord::mutable_access_token);
  visit(&SecretMaterial::refresh_token, &v1::SecretRecord::mutable_refresh_token);
  visit(&SecretMaterial::id_token, &v1::SecretRecord::mutable_id_token);
  visit(&SecretMaterial::api_key, &v1::SecretRecord::mutable_api_key);
  visit(&SecretMaterial::client_secret, &v1::SecretRecord::mutable_client_secret);
  visit(&SecretMaterial::service_account, &v1::SecretRecord::mutable_service_account_json);
  visit(&SecretMaterial::cookie, &v1::SecretRecord::mutable_cookie);
}

template <typename Strings>
void CopyStrings(const std::vector<std::string>& in, Strings* out) {
  for (const std::string& text : in) *out->Add() = text;
}

}  // namespace

void PutDocument(const core::Document& in, core::Uid uid, absl::Time updated,
                 v1::DocumentRecord* out) {
  out->set_id(in.id);
  out->set_uid(uid.number());
  out->set_revision(in.revision);
  out->set_group(in.group);
  out->set_provider(in.provider);
  out->set_kind(PutEnum<api::CredentialKind>(in.kind));
  out->set_source(in.source);
  out->set_source_path(in.source_path);
  out->set_email(in.email);
  out->set_label(in.label);
  out->set_note(in.note);
  out->set_priority(in.priority);
  out->set_weight(in.weight);
  out->set_prefix(in.prefix);
  out->set_proxy_url(in.proxy_url);
  out->set_base_url(in.base_url);
  for (const auto& [name, value] : in.headers) {
    v1::StoredHeader* header = out->add_headers();
    header->set_name(name);
    header->set_value(value);
  }
  CopyStrings(in.models, out->mutable_models());
  CopyStrings(in.excluded_models, out->mutable_excluded_models());
  for (const core::ModelAlias& alias : in.model_aliases) {
    v1::StoredAlias* stored = out->add_model_aliases();
    stored->set_alias(alias.alias);
    stored->set_model(alias.model);
  }
  out->set_disable_cooling(in.disable_cooling);
  if (in.max_in_flight) out->set_max_in_flight(*in.max_in_flight);
  if (in.max_in_flight_per_model) out->set_max_in_flight_per_model(*in.max_in_flight_per_model);
  if (in.request_retry) out->set_request_retry(*in.request_retry);
  if (in.refresh_interval_seconds) out->set_refresh_interval_seconds(*in.refresh_interval_seconds);
  out->set_external_refresh(in.external_refresh);
  out->set_attributes_json(in.attributes_json);
  out->set_extra_json(in.extra_json);
  for (const auto& [key, value] : in.labels) (*out->mutable_labels())[key] = value;
  PutTime(in.create_time, out->mutable_create_time());
  PutTime(updated, out->mutable_update_time());
}

absl::StatusOr<DocumentEntry> GetDocument(const v1::DocumentRecord& in) {
  auto out = std::make_shared<core::Document>();
  if (in.uid() == 0) return BadRecord("document without uid");
  if (in.id().empty()) return BadRecord("document without id");
  if (!GetEnum(in.kind(), 3, out->kind)) return BadRecord("unknown credential kind");
  out->id = in.id();
  out->revision = in.revision();
  out->group = in.group();
  out->provider = in.provider();
  out->source = in.source();
  out->source_path = in.source_path();
  out->email = in.email();
  out->label = in.label();
  out->note = in.note();
  out->priority = in.priority();
  out->weight = in.weight();
  out->prefix = in.prefix();
  out->proxy_url = in.proxy_url();
  out->base_url = in.base_url();
  for (const v1::StoredHeader& header : in.headers()) {
    out->headers.emplace_back(header.name(), header.value());
  }
  out->models.assign(in.models().begin(), in.models().end());
  out->excluded_models.assign(in.excluded_models().begin(), in.excluded_models().end());
  for (const v1::StoredAlias& alias : in.model_aliases()) {
    out->model_aliases.push_back({.alias = alias.alias(), .model = alias.model()});
  }
  out->disable_cooling = in.disable_cooling();
  if (in.has_max_in_flight()) out->max_in_flight = in.max_in_flight();
  if (in.has_max_in_flight_per_model()) {
    out->max_in_flight_per_model = in.max_in_flight_per_model();
  }
  if (in.has_request_retry()) out->request_retry = in.request_retry();
  if (in.has_refresh_interval_seconds()) {
    out->refresh_interval_seconds = in.refresh_interval_seconds();
  }
  out->external_refresh = in.external_refresh();
  out->attributes_json = in.attributes_json();
  out->extra_json = in.extra_json();
  out->labels.assign(in.labels().begin(), in.labels().end());
  std::sort(out->labels.begin(), out->labels.end());
  out->create_time = GetTime(in.create_time());
  return DocumentEntry{.uid = core::Uid(in.uid()), .document = std::move(out)};
}

void PutSecret(const SecretMaterial& in, core::Uid uid, absl::Time written, v1::SecretRecord* out) {
  out->set_uid(uid.number());
  out->set_version(in.version);
  EachField([&](auto field, auto record_field) {
    const absl::string_view bytes = (in.*field).reveal();
    if (!bytes.empty()) (out->*record_field)()->assign(bytes.data(), bytes.size());
  });
  for (const auto& [name, secret] : in.extra) {
    (*out->mutable_extra_secrets())[name] = std::string(secret.reveal());
  }
  if (in.expire_time) PutTime(*in.expire_time, out->mutable_expire_time());
  PutTime(written, out->mutable_time());
}

absl::StatusOr<SecretEntry> GetSecret(const v1::SecretRecord& in) {
  if (in.uid() == 0 || in.version() == 0) return BadRecord("secret without uid or version");
  auto out = std::make_shared<SecretMaterial>();
  out->version = in.version();
  out->access_token = Secret(in.access_token());
  out->refresh_token = Secret(in.refresh_token());
  out->id_token = Secret(in.id_token());
  out->api_key = Secret(in.api_key());
  out->client_secret = Secret(in.client_secret());
  out->service_account = Secret(in.service_account_json());
  out->cookie = Secret(in.cookie());
  for (const auto& [name, bytes] : in.extra_secrets()) out->extra[name] = Secret(bytes);
  if (in.has_expire_time()) out->expire_time = GetTime(in.expire_time());
  return SecretEntry{
      .uid = core::Uid(in.uid()), .secret = std::move(out), .written = GetTime(in.time())};
}

void WipeSecret(v1::SecretRecord* record) {
  EachField([&](auto, auto record_field) { core::WipeString(*(record->*record_field)()); });
  for (auto& [name, bytes] : *record->mutable_extra_secrets()) core::WipeString(bytes);
}

void PutIntent(const core::Intent& in, core::Uid uid, v1::IntentRecord* out) {
  out->set_uid(uid.number());
  out->set_disabled(!in.enabled);
  out->set_actor(in.actor);
  out->set_reason(in.reason);
  PutTime(in.since, out->mutable_since());
  if (in.until) PutTime(*in.until, out->mutable_until());
}

IntentEntry GetIntent(const v1::IntentRecord& in) {
  IntentEntry out{.uid = core::Uid(in.uid()), .intent = {}};
  out.intent.enabled = !in.disabled();
  out.intent.actor = in.actor();
  out.intent.reason = in.reason();
  out.intent.since = GetTime(in.since());
  if (in.has_until()) out.intent.until = GetTime(in.until());
  return out;
}

std::string EncodeDocument(const core::Document& document, core::Uid uid, absl::Time updated,
                           bool has_intent) {
  v1::DocumentRecord record;
  PutDocument(document, uid, updated, &record);
  record.set_has_intent(has_intent);
  return record.SerializeAsString();
}

absl::StatusOr<DocumentEntry> DecodeDocument(absl::string_view bytes) {
  v1::DocumentRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  absl::StatusOr<DocumentEntry> entry = GetDocument(record);
  if (entry.ok()) entry->has_intent = record.has_intent();
  return entry;
}

Secret EncodeSecret(const SecretMaterial& secret, core::Uid uid, absl::Time written) {
  v1::SecretRecord record;
  PutSecret(secret, uid, written, &record);
  Secret bytes = Secret::OfSize(record.ByteSizeLong());
  record.SerializeToArray(bytes.mutable_data(), static_cast<int>(bytes.size()));
  WipeSecret(&record);
  return bytes;
}

absl::StatusOr<SecretEntry> DecodeSecret(absl::string_view bytes) {
  v1::SecretRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  absl::StatusOr<SecretEntry> entry = GetSecret(record);
  WipeSecret(&record);
  return entry;
}

std::string EncodeIntent(const core::Intent& intent, core::Uid uid) {
  v1::IntentRecord record;
  PutIntent(intent, uid, &record);
  return record.SerializeAsString();
}

absl::StatusOr<IntentEntry> DecodeIntent(absl::string_view bytes) {
  v1::IntentRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  if (record.uid() == 0) return BadRecord("intent without uid");
  return GetIntent(record);
}

}  // namespace credbroker::store
