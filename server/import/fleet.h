// What an importer needs of the engine: reads of credentials and of its own records, and one way to
// change them. EngineFleet (engine_fleet.h) is the real one, the tests have a fake.
//
// Thread-safety: implementations allow calls from any thread. All calls may block on I/O.
#ifndef CREDBROKER_SERVER_IMPORT_FLEET_H_
#define CREDBROKER_SERVER_IMPORT_FLEET_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/change.h"
#include "core/credential.h"
#include "core/view.h"
#include "server/engine/admin_types.h"
#include "server/store/record.h"

namespace credbroker::import {

// A credential as it was when it was deleted, at most 24 h ago.
struct Retired {
  core::Uid uid;
  std::shared_ptr<const core::Document> document;
  std::shared_ptr<const core::SecretMaterial> secret;  // null: it had none that can be read
  core::Intent intent;
  std::shared_ptr<const core::HealthRecord> health;  // may be null
  absl::Time deleted = absl::InfinitePast();
};

class Fleet {
 public:
  struct Present {
    std::shared_ptr<const core::Document> document;
    core::Uid uid;
  };

  virtual ~Fleet() = default;
  virtual absl::Time Now() const = 0;
  // Keys the hashes of tokens: constant for the life of the store, never empty.
  virtual std::string salt() const = 0;
  virtual std::optional<Present> Find(absl::string_view id) const = 0;
  // Each credential once. `visit` may not call the fleet.
  virtual void Visit(absl::FunctionRef<void(const core::Document&)> visit) const = 0;
  // kNotFound: it has none.
  virtual absl::StatusOr<std::shared_ptr<const core::SecretMaterial>> ReadSecret(
      absl::string_view id) const = 0;
  // The tombstone of `id`; nothing if there is none or it is older than 24 h.
  virtual absl::StatusOr<std::optional<Retired>> ReadRetired(absl::string_view id) const = 0;
  // The record of `id`; nothing if there is none or it cannot be read.
  virtual absl::StatusOr<std::optional<std::string>> ReadDigest(absl::string_view id) const = 0;
  // Records whose id begins with `parent` and "/": of a source, or of the entries of a file.
  virtual absl::StatusOr<std::vector<engine::SourceDigest>> ReadDigests(
      absl::string_view parent) const = 0;
  // INVALID_ARGUMENT: a label that is new in `after` (before: null, or what it was) is not
  // declared.
  virtual absl::Status CheckLabels(const core::Document* before,
                                   const core::Document& after) const = 0;
  // Refresh tokens that were exchanged here in the last 90 days.
  virtual absl::StatusOr<std::vector<store::SpentToken>> ReadSpentTokens() const = 0;
  // All rows that are accepted and all records but those of a refused row, or on error nothing. One
  // status per edit; ABORTED: it was changed since it was read. Waits until it is durable.
  virtual absl::StatusOr<std::vector<absl::Status>> Apply(engine::ImportRequest request) = 0;
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_FLEET_H_
