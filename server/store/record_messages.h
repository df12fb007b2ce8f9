// Core values <-> record messages, for the record_*.cc files only. Thread-safe: pure functions.
#ifndef CREDBROKER_SERVER_STORE_RECORD_MESSAGES_H_
#define CREDBROKER_SERVER_STORE_RECORD_MESSAGES_H_

#include "credbroker/store/v1/records.pb.h"
#include "server/store/record.h"

namespace credbroker::store {

void PutDocument(const core::Document& in, core::Uid uid, absl::Time updated,
                 v1::DocumentRecord* out);
absl::StatusOr<DocumentEntry> GetDocument(const v1::DocumentRecord& in);
void PutSecret(const core::SecretMaterial& in, core::Uid uid, absl::Time written,
               v1::SecretRecord* out);
absl::StatusOr<SecretEntry> GetSecret(const v1::SecretRecord& in);
// Overwrites what is secret in it.
void WipeSecret(v1::SecretRecord* record);
void PutIntent(const core::Intent& in, core::Uid uid, v1::IntentRecord* out);
IntentEntry GetIntent(const v1::IntentRecord& in);
void PutHealth(const core::HealthRecord& in, v1::HealthRecord* out);
absl::StatusOr<std::shared_ptr<const core::HealthRecord>> GetHealth(const v1::HealthRecord& in);

// kDataLoss if the bytes are not such a message.
template <typename Message>
absl::Status ParseRecord(absl::string_view bytes, Message* out) {
  if (!out->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("bad record: not parsable");
  }
  return absl::OkStatus();
}

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_RECORD_MESSAGES_H_
