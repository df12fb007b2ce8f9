// The texts of --help, from the same flags the parser reads.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_CTL_HELP_H_
#define CREDBROKER_CLIENT_CTL_HELP_H_

#include <string>
#include <vector>

#include "client/ctl/command.h"
#include "client/ctl/flags.h"

namespace credbroker::ctl {

std::string CommandHelp(const CommandInfo& info, const FlagSet& flags, const FlagSet& global);
// Of the program, or of a group of commands such as `policy`.
std::string OverviewHelp(const std::vector<CommandInfo>& infos, const FlagSet& global);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_HELP_H_
