// What the admin service needs of the importer, as functions.
#ifndef CREDBROKER_SERVER_RPC_IMPORT_STREAM_H_
#define CREDBROKER_SERVER_RPC_IMPORT_STREAM_H_

#include "server/rpc/admin_service.h"

namespace credbroker::import {
class Importer;
}  // namespace credbroker::import

namespace credbroker::rpc {

// `importer` outlives the service.
ImportHandler MakeImportHandler(import::Importer& importer);
// `importer` outlives the server.
TokenRules MakeTokenRules(import::Importer& importer);
ExportFormat MakeExportFormat();

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_IMPORT_STREAM_H_
