// Durable commands that touch no credential, and what other commands add to the ledger.
//
// Thread-safety: as Work.
#ifndef CREDBROKER_SERVER_ENGINE_LEDGER_COMMANDS_H_
#define CREDBROKER_SERVER_ENGINE_LEDGER_COMMANDS_H_

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "server/engine/admin_types.h"
#include "server/engine/work.h"

namespace credbroker::engine {

std::unique_ptr<Work> NewSessionsLive(bool live, Done<bool> done);
std::unique_ptr<Work> NewSpend(std::vector<store::SpentToken> tokens, Done<bool> done);

// The rows of spent refresh tokens, and, once they are committed, their place in the ledger.
void BuildSpent(const WorkContext& context, absl::Span<const store::SpentToken> tokens,
                std::vector<store::Write>& writes);
void NoteSpent(const WorkContext& context, absl::Span<const store::SpentToken> tokens);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_LEDGER_COMMANDS_H_
