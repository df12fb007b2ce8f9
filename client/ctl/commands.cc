#include "client/ctl/command.h"

namespace credbroker::ctl {

CommandList AllCommands() {
  CommandList commands;
  for (auto* make :
       {&NewList,   &NewGet,        &NewStats,      &NewWatch,   &NewExplain, &NewAcquire,
        &NewRenew,  &NewReport,     &NewRelease,    &NewDisable, &NewEnable,  &NewReset,
        &NewBatch,  &NewBatchUndo,  &NewCreate,     &NewUpdate,  &NewDelete,  &NewImport,
        &NewExport, &NewPolicyTest, &NewCompletion, &NewVersion}) {
    commands.push_back(make());
  }
  return commands;
}

}  // namespace credbroker::ctl
