// The control-plane commands about single credentials, and imports. Thread-safety: as Work.
#ifndef CREDBROKER_SERVER_ENGINE_COMMANDS_H_
#define CREDBROKER_SERVER_ENGINE_COMMANDS_H_

#include <memory>

#include "server/engine/admin_types.h"
#include "server/engine/work.h"

namespace credbroker::engine {

std::unique_ptr<Work> NewCreate(CreateRequest request, Done<core::CredentialView> done);
std::unique_ptr<Work> NewUpdate(UpdateRequest request, Done<core::CredentialView> done);
std::unique_ptr<Work> NewDelete(DeleteRequest request, Done<DeleteResult> done);
std::unique_ptr<Work> NewSetIntent(IntentRequest request, Done<IntentResult> done);
std::unique_ptr<Work> NewReset(ResetRequest request, Done<ResetResult> done);
std::unique_ptr<Work> NewImport(ImportRequest request, Done<ImportResult> done);

// `given` over `stored` (null: none): absent fields of `given` keep what is stored.
std::shared_ptr<const core::SecretMaterial> MergeSecrets(const core::SecretMaterial* stored,
                                                         const core::SecretMaterial& given);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_COMMANDS_H_
