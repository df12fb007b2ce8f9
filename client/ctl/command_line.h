// From the arguments to an exit code.
#ifndef CREDBROKER_CLIENT_CTL_COMMAND_LINE_H_
#define CREDBROKER_CLIENT_CTL_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "client/ctl/context.h"
#include "client/ctl/environment.h"
#include "client/ctl/exit_code.h"
#include "client/ctl/flags.h"

namespace credbroker::ctl {

// Parses `args` (without the program's name), runs the command, says on env.err what went wrong.
// Never throws. Not thread-safe: one call at a time per Environment.
ExitCode RunCtl(const std::vector<std::string>& args, const Environment& env);

// --server, --timeout, --output, --color: accepted before and after the command.
void AddGlobalFlags(FlagSet& flags, GlobalOptions* options);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_COMMAND_LINE_H_
