// Requests and results of the control plane, without protobuf. Values; thread-compatible.
//
// Whoever builds a request has checked sizes, ranges and UTF-8; the engine and the pool check what
// needs the present state (existence, etags, names of groups and labels).
#ifndef CREDBROKER_SERVER_ENGINE_ADMIN_TYPES_H_
#define CREDBROKER_SERVER_ENGINE_ADMIN_TYPES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/edit.h"
#include "core/view.h"
#include "server/store/record.h"

namespace credbroker::engine {

// Who asks. A request_id that this actor used within 24 h changes nothing again: the answer names
// what the first one did, with the credential as it is now. With another operation or another
// digest it is INVALID_ARGUMENT.
struct Caller {
  std::string actor;            // principal, never empty
  std::string request_id;       // at most 128 bytes; empty: none
  std::string argument_digest;  // of the request without request_id; opaque, at most 64 bytes
};

struct CreateRequest {
  Caller caller;
  std::shared_ptr<const core::Document> document;      // revision and create_time are set here
  std::shared_ptr<const core::SecretMaterial> secret;  // null: no secret yet, not selectable
  std::optional<core::Intent> intent;                  // absent: enabled
};

struct UpdateRequest {
  Caller caller;
  std::string id;
  std::string etag;  // empty: unconditional
  // Changes the present document in place; runs under the pool's lock, so it must be short. It may
  // not change `id`. Null: the document stays. A non-OK status refuses the update.
  std::function<absl::Status(core::Document&)> patch;
  // Fields that are non-empty replace the stored ones, all others stay: an absent field never
  // removes a secret. Null: the secret stays.
  std::shared_ptr<const core::SecretMaterial> secret;
  // Refresh tokens that were exchanged for it: remembered in the same commit.
  std::vector<store::SpentToken> spent;
};

struct DeleteRequest {
  Caller caller;
  std::string id;
  std::string etag;  // empty: unconditional
  bool allow_missing = false;
};
struct DeleteResult {
  std::string batch_id;  // names the delete for UndoBatch; empty if there was nothing to delete
};

struct IntentRequest {
  Caller caller;
  std::string id;
  std::string etag;
  bool enabled = false;
  std::string reason;               // disable only
  std::optional<absl::Time> until;  // disable only; in the future
};
struct IntentResult {
  core::CredentialView view;
  core::Cause remaining = core::Cause::kNone;  // what still keeps it from being used
};

struct ResetRequest {
  Caller caller;
  std::string id;
};
struct ResetResult {
  core::CredentialView view;
  int cleared_records = 0;
  core::Cause remaining = core::Cause::kNone;
};

// One change to each row of a batch.
struct BatchOperation {
  enum class Kind : uint8_t {
    kEnable,
    kDisable,
    kPriority,
    kWeight,
    kPrefix,
    kProxyUrl,
    kMaxInFlight,
    kMaxInFlightPerModel,
    kGroup,
    kLabels,
    kReset,
    kDelete,
  };
  Kind kind = Kind::kEnable;
  int64_t number = 0;               // priority, weight
  std::string text;                 // disable: reason; prefix, proxy URL, group
  std::optional<absl::Time> until;  // disable
  std::optional<int32_t> cap;       // caps; absent: back to the default of group and provider
  std::vector<std::pair<std::string, std::string>> set_labels;
  std::vector<std::string> remove_labels;
};

// Tests a document; runs under the pool's lock, so it must be short and pure.
using DocumentFilter = std::function<bool(const core::Document&)>;

struct IdSelection {
  std::vector<std::string> ids;  // duplicates count once
};
struct FilterSelection {
  DocumentFilter filter;
  std::optional<int64_t> expected_count;  // required unless dry_run
};
struct TokenSelection {
  std::string token;  // of a dry run of the same actor, at most 10 min old
};

struct BatchRequest {
  Caller caller;
  std::variant<IdSelection, FilterSelection, TokenSelection> selection;
  std::vector<BatchOperation> operations;  // 1..16, no kind twice; kDelete only alone
  bool dry_run = false;
  std::string comment;
};

enum class ItemStatus : uint8_t { kOk, kSkipped, kNotFound, kConflict };

struct FieldChange {
  std::string field;      // path in Credential: "priority", "intent.disabled", "labels.tier"
  std::string old_value;  // as JSON text
  std::string new_value;
};

struct BatchItem {
  std::string id;
  ItemStatus status = ItemStatus::kOk;
  std::string message;               // for people; empty for OK
  std::vector<FieldChange> changes;  // dry runs only
};

struct BatchResult {
  std::string batch_id;          // empty: dry run, or nothing changed
  std::vector<BatchItem> items;  // one per row; a dry run lists at most the first 1,000
  int64_t matched = 0, ok = 0, skipped = 0, not_found = 0, conflict = 0;
  std::string selection_token;  // dry runs of BatchUpdate only
  bool undoable = false;
};

struct UndoRequest {
  Caller caller;
  std::string batch_id;
  bool dry_run = false;
};

// What an importer knows of a file or entry it applied: stored sealed, in the same commit as the
// edits. It may outlive its credential.
struct SourceDigest {
  std::string id;                    // credential id, "<source>/<relative path>"
  std::optional<std::string> value;  // opaque to the engine; nullopt erases it
};

struct ImportRequest {
  Caller caller;
  std::vector<core::Edit> edits;  // any number; one id at most once
  std::vector<SourceDigest> digests;
};
struct ImportResult {
  std::vector<absl::Status> rows;  // of `edits`, by position: not OK: this row was left out
};

template <typename T>
using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_ADMIN_TYPES_H_
