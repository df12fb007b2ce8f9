// The only file that includes CLI11: it is slow to compile.
#include "client/ctl/command_line.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/help.h"

namespace credbroker::ctl {
namespace {

void AddToParser(const Flag& flag, CLI::App& app) {
  std::string names = flag.name;
  if (!flag.short_name.empty()) names = absl::StrCat(flag.short_name, ",", names);
  if (flag.value.empty() && !flag.positional()) {
    app.add_flag_function(names, [&flag](std::int64_t) { (void)flag.set(""); });
    return;
  }
  CLI::Option* option = app.add_option(names, [&flag](const CLI::results_t& values) {
    for (const std::string& value : values) {
      if (const absl::Status status = flag.set(value); !status.ok()) {
        throw CLI::ValidationError(flag.name, std::string(status.message()));
      }
    }
    return true;
  });
  option->type_size(1);
  if (flag.repeated && flag.positional()) {
    option->expected(flag.required ? 1 : 0, CLI::detail::expected_max_vector_size);
  } else {
    option->expected(1);
    option->multi_option_policy(flag.repeated ? CLI::MultiOptionPolicy::TakeAll
                                              : CLI::MultiOptionPolicy::Throw);
  }
  // For positionals: may take more of the line. For flags: `--provider a b` leaves b alone.
  option->allow_extra_args(flag.repeated && flag.positional());
  option->required(flag.required);
}

// One command in the parser.
struct Entry {
  std::unique_ptr<Command> command;
  std::unique_ptr<FlagSet> flags = std::make_unique<FlagSet>();
  CLI::App* app = nullptr;
};

class Parser {
 public:
  Parser() {
    root_.set_help_flag("-h,--help", "");
    AddGlobalFlags(global_flags_, &options_);
    for (const Flag& flag : global_flags_.flags()) AddToParser(flag, root_);
    root_.require_subcommand(1);
    for (auto& command : AllCommands()) {
      Entry& entry = entries_.emplace_back();
      entry.command = std::move(command);
      entry.command->AddFlags(*entry.flags);
      entry.app = AppOf(entry.command->info().name);
      entry.app->require_subcommand(0, 1);
      for (const Flag& flag : entry.flags->flags()) AddToParser(flag, *entry.app);
    }
  }

  // The command to run; null: `*code` is the exit code already.
  Entry* Parse(const std::vector<std::string>& args, const Environment& env, ExitCode* code) {
    std::vector<std::string> reversed(args.rbegin(), args.rend());  // as CLI11 wants them
    *code = ExitCode::kOk;
    try {
      root_.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
      PrintHelp(env);
      return nullptr;
    } catch (const CLI::ParseError& error) {
      std::string what = error.what();
      if (what == "A subcommand is required") {
        const std::vector<std::string> rest = root_.remaining(true);
        what = rest.empty() ? "a command is required"
                            : absl::StrCat("'", rest.front(), "' is no command or flag here");
      }
      *env.err << "credbrokerctl: " << Printable(what) << "\n  see 'credbrokerctl" << Path()
               << " --help'\n";
      *code = ExitCode::kUsage;
      return nullptr;
    }
    return Chosen();
  }

  GlobalOptions& options() { return options_; }

 private:
  CLI::App* AppOf(const std::string& name) {
    CLI::App* app = &root_;
    size_t begin = 0;
    while (begin <= name.size()) {
      const size_t end = std::min(name.find(' ', begin), name.size());
      const std::string word = name.substr(begin, end - begin);
      const auto known =
          app->get_subcommands([&](const CLI::App* each) { return each->get_name() == word; });
      CLI::App* next = known.empty() ? nullptr : known.front();
      if (next == nullptr) {
        next = app->add_subcommand(word, "");
        next->set_help_flag("-h,--help", "");
        next->fallthrough();
        next->require_subcommand(1);
      }
      app = next;
      begin = end + 1;
    }
    return app;
  }

  // The deepest subcommand that was named.
  const CLI::App* Deepest() const {
    const CLI::App* app = &root_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return app;
  }

  Entry* Chosen() {
    const CLI::App* app = Deepest();
    for (Entry& entry : entries_) {
      if (entry.app == app) return &entry;
    }
    return nullptr;
  }

  std::string Path() const {
    std::string path;
    const CLI::App* app = &root_;
    while (!app->get_subcommands().empty()) {
      app = app->get_subcommands().front();
      absl::StrAppend(&path, " ", app->get_name());
    }
    return path;
  }

  void PrintHelp(const Environment& env) {
    const Entry* entry = Chosen();
    if (entry != nullptr) {
      *env.out << CommandHelp(entry->command->info(), *entry->flags, global_flags_);
      return;
    }
    std::vector<CommandInfo> infos;
    const std::string below = Path();
    for (const Entry& each : entries_) {
      const std::string name = absl::StrCat(" ", each.command->info().name);
      if (name.rfind(below, 0) == 0) infos.push_back(each.command->info());
    }
    *env.out << OverviewHelp(infos, global_flags_);
  }

  CLI::App root_;
  GlobalOptions options_;
  FlagSet global_flags_;
  std::vector<Entry> entries_;
};

absl::Status ChooseServer(const Environment& env, GlobalOptions* options) {
  if (options->server.empty()) options->server = env.variable("CREDBROKER_SERVER");
  if (options->server.empty()) options->server = kDefaultServer;
  auto server = ParseServer(options->server);
  if (!server.ok()) return server.status();
  options->server = *std::move(server);
  return absl::OkStatus();
}

}  // namespace

void AddGlobalFlags(FlagSet& flags, GlobalOptions* options) {
  flags.Text("--server", "ADDR", &options->server,
             absl::StrCat("the broker: unix:/path or host:port; default $CREDBROKER_SERVER, else ",
                          kDefaultServer));
  flags.Span("--timeout", &options->timeout,
             "give up after this; default 10s a call, 10m for import, export and batch");
  Flag& output = flags.Choice(
      "--output", "FORMAT", {"table", "wide", "json"},
      [options](size_t i) { options->output = static_cast<Output>(i); },
      "table, wide or json (the response as protobuf JSON; fields without value included)");
  output.short_name = "-o";
  flags.Choice(
      "--color", "WHEN", {"auto", "always", "never"},
      [options](size_t i) { options->color = static_cast<ColorMode>(i); },
      "auto (on terminals, unless NO_COLOR is set), always or never");
}

ExitCode RunCtl(const std::vector<std::string>& args, const Environment& env) {
  Parser parser;
  ExitCode code = ExitCode::kOk;
  Entry* entry = parser.Parse(args, env, &code);
  if (entry == nullptr) return code;
  if (const absl::Status status = ChooseServer(env, &parser.options()); !status.ok()) {
    *env.err << "credbrokerctl: " << ErrorText(status) << '\n';
    return ExitCode::kUsage;
  }
  Context context(env, parser.options());
  const absl::Status status = entry->command->Run(context);
  env.out->flush();
  if (!status.ok()) {
    context.PrintError(status);
    return ExitCodeOf(status);
  }
  if (!*env.out) {
    context.PrintError(absl::UnknownError("the output cannot be written"));
    return ExitCode::kOther;
  }
  return context.Code();
}

}  // namespace credbroker::ctl
