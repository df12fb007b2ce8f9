// Durable edits: what an operator, an import or a batch wants for one credential. Pool::Prepare
// turns an Edit into a RowEdit without touching anything; once it is committed, Pool::Install shows
// it.
#ifndef CREDBROKER_CORE_EDIT_H_
#define CREDBROKER_CORE_EDIT_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "core/change.h"
#include "core/credential.h"

namespace credbroker::core {

// Exactly the optional parts present are changed.
struct Edit {
  enum class Op : uint8_t { kCreate, kUpdate, kDelete };
  Op op = Op::kUpdate;
  Why why = Why::kUpdated;
  std::string id;
  std::string actor;                        // principal who ordered it
  std::optional<uint64_t> expect_revision;  // etag; with expect_uid
  std::optional<Uid> expect_uid;
  std::shared_ptr<const Document> document;  // whole new document (revision is set by Prepare)
  std::optional<Intent> intent;
  std::shared_ptr<const SecretMaterial> secret;  // whole new secret (version is set by Prepare)
  bool reset = false;                            // ResetAvailability: records, policy disable
  std::optional<Uid> revive_uid;                 // kCreate: keep this incarnation (retired, back)
  std::shared_ptr<const HealthRecord> revive_health;
};

// The prepared form: absolute new values, ready for the store and for Install.
struct RowEdit {
  Edit::Op op = Edit::Op::kUpdate;
  Why why = Why::kUpdated;
  std::string id;
  std::string actor;
  Uid uid;
  absl::Time prepared;  // reset and a new secret clear only records that began before this
  std::shared_ptr<const Document> document;
  std::optional<Intent> intent;
  std::shared_ptr<const SecretMaterial> secret;
  std::shared_ptr<const Material> material;  // rendered when secret or document changed
  bool reset = false;
  std::shared_ptr<const HealthRecord> revive_health;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_EDIT_H_
