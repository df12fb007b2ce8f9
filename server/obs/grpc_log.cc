// Apart from log.cc, so that only this file knows gRPC.
#include <grpc/support/log.h>

#include <cstring>

#include "server/obs/log.h"

namespace credbroker::obs {
namespace {

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  return LogLevel::kError;
}

void Forward(gpr_log_func_args* args) {
  const char* slash = std::strrchr(args->file, '/');
  Log(LevelOf(args->severity), "grpc", absl::NullSafeStringView(args->message),
      {{"file", slash != nullptr ? slash + 1 : args->file}, {"line", args->line}});
}

}  // namespace

void BridgeGrpcLog() {
  // Reads GRPC_VERBOSITY; without it the library drops everything until it is initialised.
  gpr_log_verbosity_init();
  gpr_set_log_function(&Forward);
}

}  // namespace credbroker::obs
