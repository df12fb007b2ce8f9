// A command of credbrokerctl, and the list of all.
#ifndef CREDBROKER_CLIENT_CTL_COMMAND_H_
#define CREDBROKER_CLIENT_CTL_COMMAND_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "client/ctl/context.h"
#include "client/ctl/flags.h"

namespace credbroker::ctl {

struct CommandInfo {
  // "list"; "batch undo" is below "batch".
  const char* name;
  // One line, no full stop.
  const char* summary;
  // Paragraphs for --help; may be empty.
  const char* text;
  // One a line, without "credbrokerctl ".
  const char* examples;
};

// Parsed and run at most once. Not thread-safe.
class Command {
 public:
  virtual ~Command() = default;
  virtual const CommandInfo& info() const = 0;
  virtual void AddFlags(FlagSet& flags) = 0;
  // INVALID_ARGUMENT for flags that do not go together; the message names them.
  virtual absl::Status Run(Context& context) = 0;
};

using CommandList = std::vector<std::unique_ptr<Command>>;

std::unique_ptr<Command> NewImport();
std::unique_ptr<Command> NewExport();
std::unique_ptr<Command> NewList();
std::unique_ptr<Command> NewGet();
std::unique_ptr<Command> NewAcquire();
std::unique_ptr<Command> NewRenew();
std::unique_ptr<Command> NewReport();
std::unique_ptr<Command> NewRelease();
std::unique_ptr<Command> NewDisable();
std::unique_ptr<Command> NewEnable();
std::unique_ptr<Command> NewReset();
std::unique_ptr<Command> NewBatch();
std::unique_ptr<Command> NewBatchUndo();
std::unique_ptr<Command> NewCreate();
std::unique_ptr<Command> NewUpdate();
std::unique_ptr<Command> NewDelete();
std::unique_ptr<Command> NewExplain();
std::unique_ptr<Command> NewStats();
std::unique_ptr<Command> NewWatch();
std::unique_ptr<Command> NewPolicyTest();
std::unique_ptr<Command> NewCompletion();
std::unique_ptr<Command> NewVersion();

// In the order of the help.
CommandList AllCommands();

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_COMMAND_H_
