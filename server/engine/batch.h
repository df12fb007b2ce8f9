// BatchUpdate and UndoBatch. Thread-safety: as Work.
#ifndef CREDBROKER_SERVER_ENGINE_BATCH_H_
#define CREDBROKER_SERVER_ENGINE_BATCH_H_

#include <memory>

#include "server/engine/admin_types.h"
#include "server/engine/selection.h"
#include "server/engine/work.h"

namespace credbroker::engine {

// Never null; problems with the request answer through `done`.
std::unique_ptr<Work> NewBatch(BatchRequest request, SelectionBook& selections,
                               Done<BatchResult> done);
std::unique_ptr<Work> NewUndo(UndoRequest request, Done<BatchResult> done);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_BATCH_H_
