// Records that serve undo, repeated requests and the store itself.
#include <utility>

#include "server/store/record_messages.h"
#include "server/store/record_time.h"

namespace credbroker::store {
namespace {

// Sealed like every row, so a wrong keyring shows before anything else is read.
constexpr char kMetaCheck[] = "credbroker store";

}  // namespace

std::string EncodeBatch(const BatchPart& part) {
  v1::BatchRecord record;
  record.set_batch_id(part.batch_id);
  record.set_part(part.part);
  PutTime(part.time, record.mutable_time());
  record.set_actor(part.actor);
  record.set_comment(part.comment);
  record.set_undoes_batch_id(part.undoes);
  record.set_has_reset(part.has_reset);
  for (const BatchRow& row : part.rows) {
    v1::BatchRow* stored = record.add_rows();
    stored->set_id(row.id);
    stored->set_uid(row.uid.number());
    stored->set_deleted(row.deleted);
    for (const FieldEdit& edit : row.fields) {
      v1::BatchField* field = stored->add_fields();
      field->set_field(edit.field);
      if (edit.old_value) field->set_old_value(*edit.old_value);
      if (edit.new_value) field->set_new_value(*edit.new_value);
    }
  }
  return record.SerializeAsString();
}

absl::StatusOr<BatchPart> DecodeBatch(absl::string_view bytes) {
  v1::BatchRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  if (record.batch_id().empty()) return BadRecord("batch without id");
  BatchPart out;
  out.batch_id = record.batch_id();
  out.part = record.part();
  out.time = GetTime(record.time());
  out.actor = record.actor();
  out.comment = record.comment();
  out.undoes = record.undoes_batch_id();
  out.has_reset = record.has_reset();
  for (const v1::BatchRow& stored : record.rows()) {
    BatchRow row;
    row.id = stored.id();
    row.uid = core::Uid(stored.uid());
    row.deleted = stored.deleted();
    for (const v1::BatchField& field : stored.fields()) {
      FieldEdit edit{.field = field.field(), .old_value = {}, .new_value = {}};
      if (field.has_old_value()) edit.old_value = field.old_value();
      if (field.has_new_value()) edit.new_value = field.new_value();
      row.fields.push_back(std::move(edit));
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

core::Secret EncodeTombstone(const Tombstone& tombstone) {
  v1::TombstoneRecord record;
  PutDocument(*tombstone.document, tombstone.uid, tombstone.deleted, record.mutable_document());
  if (tombstone.secret != nullptr) {
    PutSecret(*tombstone.secret, tombstone.uid, tombstone.deleted, record.mutable_secret());
  }
  if (tombstone.intent) PutIntent(*tombstone.intent, tombstone.uid, record.mutable_intent());
  if (tombstone.health != nullptr) PutHealth(*tombstone.health, record.mutable_health());
  PutTime(tombstone.deleted, record.mutable_delete_time());
  PutTime(tombstone.expires, record.mutable_expire_time());
  record.set_actor(tombstone.actor);
  record.set_retired(tombstone.retired);
  record.set_batch_id(tombstone.batch_id);
  core::Secret bytes = core::Secret::OfSize(record.ByteSizeLong());
  record.SerializeToArray(bytes.mutable_data(), static_cast<int>(bytes.size()));
  WipeSecret(record.mutable_secret());
  return bytes;
}

absl::StatusOr<Tombstone> DecodeTombstone(absl::string_view bytes) {
  v1::TombstoneRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  absl::StatusOr<DocumentEntry> document = GetDocument(record.document());
  if (!document.ok()) return document.status();
  Tombstone out;
  out.uid = document->uid;
  out.document = std::move(document->document);
  if (record.has_secret()) {
    absl::StatusOr<SecretEntry> secret = GetSecret(record.secret());
    WipeSecret(record.mutable_secret());
    if (!secret.ok()) return secret.status();
    out.secret = std::move(secret->secret);
  }
  if (record.has_intent()) out.intent = GetIntent(record.intent()).intent;
  if (record.has_health()) {
    auto health = GetHealth(record.health());
    if (!health.ok()) return health.status();
    out.health = *std::move(health);
  }
  out.deleted = GetTime(record.delete_time());
  out.expires = GetTime(record.expire_time());
  out.actor = record.actor();
  out.batch_id = record.batch_id();
  out.retired = record.retired();
  return out;
}

std::string EncodeRequest(const RequestEntry& entry) {
  v1::RequestIdRecord record;
  record.set_principal(entry.principal);
  record.set_request_id(entry.request_id);
  record.set_method(entry.method);
  record.set_argument_digest(entry.argument_digest);
  record.set_response(entry.answer);
  record.set_batch_id(entry.batch_id);
  PutTime(entry.time, record.mutable_time());
  return record.SerializeAsString();
}

absl::StatusOr<RequestEntry> DecodeRequest(absl::string_view bytes) {
  v1::RequestIdRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  return RequestEntry{.principal = record.principal(),
                      .request_id = record.request_id(),
                      .method = record.method(),
                      .argument_digest = record.argument_digest(),
                      .answer = record.response(),
                      .batch_id = record.batch_id(),
                      .time = GetTime(record.time())};
}

std::string EncodeSpentToken(const SpentToken& token) {
  v1::SpentTokenRecord record;
  record.set_token_hash(SpentTokenKey(token.hash));
  PutTime(token.when, record.mutable_time());
  record.set_credential_id(token.credential_id);
  return record.SerializeAsString();
}

absl::StatusOr<SpentToken> DecodeSpentToken(absl::string_view bytes) {
  v1::SpentTokenRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  if (record.token_hash().size() != 8) return BadRecord("token hash");
  SpentToken token;
  for (const char byte : record.token_hash()) {
    token.hash = token.hash << 8 | static_cast<unsigned char>(byte);
  }
  token.when = GetTime(record.time());
  token.credential_id = record.credential_id();
  return token;
}

std::string EncodeLeaseMarker(const LeaseMarker& marker) {
  v1::LeaseMarkerRecord record;
  record.set_live(marker.live);
  record.set_epoch(marker.epoch);
  PutTime(marker.since, record.mutable_since());
  return record.SerializeAsString();
}

absl::StatusOr<LeaseMarker> DecodeLeaseMarker(absl::string_view bytes) {
  v1::LeaseMarkerRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  return LeaseMarker{
      .live = record.live(), .epoch = record.epoch(), .since = GetTime(record.since())};
}

std::string EncodeMeta(const Meta& meta) {
  v1::MetaRecord record;
  record.set_schema_version(meta.schema_version);
  record.set_check(kMetaCheck);
  PutTime(meta.created, record.mutable_create_time());
  record.set_server_version(meta.server_version);
  record.set_last_uid(meta.last_uid.number());
  return record.SerializeAsString();
}

absl::StatusOr<Meta> DecodeMeta(absl::string_view bytes) {
  v1::MetaRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  if (record.check() != kMetaCheck) return BadRecord("meta check");
  if (record.schema_version() > kSchemaVersion) {
    return absl::UnimplementedError(absl::StrCat("the store has records of version ",
                                                 record.schema_version(), ", this build knows ",
                                                 kSchemaVersion));
  }
  return Meta{.schema_version = record.schema_version(),
              .created = GetTime(record.create_time()),
              .server_version = record.server_version(),
              .last_uid = core::Uid(record.last_uid())};
}

}  // namespace credbroker::store
