// Between core values and the bytes of rows: one function pair per kind of record (proto
// credbroker/store/v1), and RecordSealer, which turns them into sealed writes and back.
//
// Decoding trusts nothing: wrong enumerators, times and missing parts make kDataLoss, never a value
// outside its type. Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_SERVER_STORE_RECORD_H_
#define CREDBROKER_SERVER_STORE_RECORD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/change.h"
#include "core/credential.h"
#include "core/view.h"
#include "server/store/sealer.h"
#include "server/store/store.h"

namespace credbroker::store {

struct DocumentEntry {
  core::Uid uid;
  std::shared_ptr<const core::Document> document;
  bool has_intent = false;  // an intent row belongs to it
};
std::string EncodeDocument(const core::Document& document, core::Uid uid, absl::Time updated,
                           bool has_intent);
absl::StatusOr<DocumentEntry> DecodeDocument(absl::string_view bytes);

struct SecretEntry {
  core::Uid uid;
  std::shared_ptr<const core::SecretMaterial> secret;
  absl::Time written = absl::UnixEpoch();  // when it came
};
core::Secret EncodeSecret(const core::SecretMaterial& secret, core::Uid uid, absl::Time written);
absl::StatusOr<SecretEntry> DecodeSecret(absl::string_view bytes);

struct IntentEntry {
  core::Uid uid;
  core::Intent intent;
};
std::string EncodeIntent(const core::Intent& intent, core::Uid uid);
absl::StatusOr<IntentEntry> DecodeIntent(absl::string_view bytes);

std::string EncodeHealth(const core::HealthRecord& health);
absl::StatusOr<std::shared_ptr<const core::HealthRecord>> DecodeHealth(absl::string_view bytes);

std::string EncodeBackoff(const core::BackoffRecord& backoff);
absl::StatusOr<core::BackoffRecord> DecodeBackoff(absl::string_view bytes);

struct HistoryEntry {
  core::Uid uid;
  core::TransitionView line;  // the interned ids inside it are not set
};
std::string EncodeHistory(const core::TransitionView& line, core::Uid uid);
absl::StatusOr<HistoryEntry> DecodeHistory(absl::string_view bytes);

// A field a batch changed; values are JSON text, nullopt: absent.
struct FieldEdit {
  std::string field;
  std::optional<std::string> old_value, new_value;
  friend bool operator==(const FieldEdit&, const FieldEdit&) = default;
};
struct BatchRow {
  std::string id;
  core::Uid uid;
  std::vector<FieldEdit> fields;
  bool deleted = false;
};
struct BatchPart {
  std::string batch_id;
  uint32_t part = 0;
  absl::Time time = absl::UnixEpoch();
  std::string actor, comment, undoes;
  bool has_reset = false;
  std::vector<BatchRow> rows;
};
std::string EncodeBatch(const BatchPart& part);
absl::StatusOr<BatchPart> DecodeBatch(absl::string_view bytes);

struct Tombstone {
  core::Uid uid;
  std::shared_ptr<const core::Document> document;
  std::shared_ptr<const core::SecretMaterial> secret;  // null: it had none that could be read
  std::optional<core::Intent> intent;
  std::shared_ptr<const core::HealthRecord> health;  // may be null
  absl::Time deleted = absl::UnixEpoch();
  absl::Time expires = absl::UnixEpoch();
  std::string actor, batch_id;
  bool retired = false;  // its file went away; else somebody deleted it
};
core::Secret EncodeTombstone(const Tombstone& tombstone);
absl::StatusOr<Tombstone> DecodeTombstone(absl::string_view bytes);

struct RequestEntry {
  std::string principal, request_id, method, argument_digest;
  std::string answer;  // what is needed to answer again; the writer's own form
  std::string batch_id;
  absl::Time time = absl::UnixEpoch();
};
std::string EncodeRequest(const RequestEntry& entry);
absl::StatusOr<RequestEntry> DecodeRequest(absl::string_view bytes);

// A refresh token that was exchanged here; the hash is the importer's (token_book.h).
struct SpentToken {
  uint64_t hash = 0;
  absl::Time when = absl::UnixEpoch();
  std::string credential_id;
  friend bool operator==(const SpentToken&, const SpentToken&) = default;
};
std::string EncodeSpentToken(const SpentToken& token);
absl::StatusOr<SpentToken> DecodeSpentToken(absl::string_view bytes);

struct LeaseMarker {
  bool live = false;
  uint64_t epoch = 0;
  absl::Time since = absl::UnixEpoch();
};
std::string EncodeLeaseMarker(const LeaseMarker& marker);
absl::StatusOr<LeaseMarker> DecodeLeaseMarker(absl::string_view bytes);

inline constexpr uint32_t kSchemaVersion = 1;
struct Meta {
  uint32_t schema_version = kSchemaVersion;
  absl::Time created = absl::UnixEpoch();
  std::string server_version;
  core::Uid last_uid;
};
std::string EncodeMeta(const Meta& meta);
// kDataLoss also when the known bytes inside are wrong; kUnimplemented: a newer schema.
absl::StatusOr<Meta> DecodeMeta(absl::string_view bytes);

// --- keys ---
inline constexpr char kMetaKey[] = "meta";
inline constexpr char kLeaseMarkerKey[] = "live-sessions";
// Lines kept per incarnation: the 8 that are in memory too, and 32 more.
inline constexpr uint64_t kStoredHistory = 40;
std::string HistoryKey(absl::string_view id, core::Uid uid, uint64_t number);
std::string HistoryPrefix(absl::string_view id, core::Uid uid);
struct HistoryName {
  absl::string_view id;
  core::Uid uid;
  uint64_t number = 0;
};
std::optional<HistoryName> ParseHistoryKey(absl::string_view key);
std::string BatchKey(absl::string_view batch_id, uint32_t part);
std::string RequestKey(absl::string_view principal, absl::string_view request_id);
std::string SpentTokenKey(uint64_t hash);
// Of provider and model, or of an egress: its proxy may hold a password, so `blind` stands for it.
std::string BackoffKey(const core::BackoffRecord& backoff, absl::string_view blind);

// What a secret is only good for: provider, group, proxy and base URL of the document and its
// attributes token_url and client_id. A secret beside a document with another binding does not
// open, so that rewriting or replaying a row cannot send a token elsewhere.
std::string SecretBinding(const core::Document& document);

// Seals and opens rows of one store.
class RecordSealer {
 public:
  // Versions of rows are `first_version`, +1, ...: unique for as long as owners start above those
  // of the owner before (epoch << 40).
  RecordSealer(std::shared_ptr<const Keyring> keyring, absl::string_view store_id,
               uint64_t first_version);

  Write Put(RowKind kind, std::string key, absl::string_view plain,
            absl::string_view binding = "") const;
  static Write Erase(RowKind kind, std::string key);
  absl::StatusOr<core::Secret> Open(const Row& row, absl::string_view binding = "") const;
  // 16 bytes that stand for a secret text in a key: the same for the same text, and nothing to
  // anybody without the keyring.
  std::string Blind(absl::string_view text) const;

 private:
  const core::Secret blind_key_;
  const Sealer sealer_;
  const std::string store_id_;
  mutable std::atomic<uint64_t> next_version_;
};

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_RECORD_H_
