// completion, version.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/ctl/command.h"
#include "client/ctl/command_line.h"

namespace credbroker::ctl {
namespace {

struct Entry {
  std::string name;
  std::string summary;
  std::vector<Flag> flags;
};

std::vector<Entry> Entries() {
  std::vector<Entry> entries;
  for (const auto& command : AllCommands()) {
    FlagSet flags;
    command->AddFlags(flags);
    entries.push_back({command->info().name,
                       command->info().summary,
                       {flags.flags().begin(), flags.flags().end()}});
  }
  return entries;
}

std::vector<Flag> GlobalFlags() {
  GlobalOptions options;
  FlagSet flags;
  AddGlobalFlags(flags, &options);
  return {flags.flags().begin(), flags.flags().end()};
}

// Words that may follow the command `name` ("" for the program).
std::vector<std::string> WordsBelow(const std::vector<Entry>& entries, const std::string& name) {
  std::vector<std::string> words;
  const std::string prefix = name.empty() ? "" : name + " ";
  for (const Entry& entry : entries) {
    if (entry.name.rfind(prefix, 0) != 0) continue;
    const std::string rest = entry.name.substr(prefix.size());
    const std::string word = rest.substr(0, rest.find(' '));
    if (words.empty() || words.back() != word) words.push_back(word);
  }
  return words;
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// Cases of "COMMAND:FLAG" with their words, for flags with choices, and of the files.
std::string BashValues(const std::vector<Flag>& flags, const std::string& command) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.positional()) continue;
    std::string pattern = absl::StrCat(Quoted(command), ":", flag.name);
    if (!flag.short_name.empty()) {
      absl::StrAppend(&pattern, "|", Quoted(command), ":", flag.short_name);
    }
    if (!flag.choices.empty()) {
      absl::StrAppend(&out, "    ", pattern, ") words='", absl::StrJoin(flag.choices, " "),
                      "'; flags= ;;\n");
    } else if (flag.file) {
      absl::StrAppend(&out, "    ", pattern, ") files=1; flags= ;;\n");
    } else if (!flag.value.empty()) {
      absl::StrAppend(&out, "    ", pattern, ") flags= ;;\n");
    }
  }
  return out;
}

// Used by bash, and by zsh through its bashcompinit.
std::string BashScript() {
  const std::vector<Entry> entries = Entries();
  const std::vector<Flag> global = GlobalFlags();
  std::vector<std::string> names;
  std::string cases;
  std::string values;
  std::string global_flags = "--help";
  for (const Flag& flag : global) absl::StrAppend(&global_flags, " ", flag.name);
  for (const Entry& entry : entries) {
    names.push_back(Quoted(entry.name));
    std::vector<std::string> words = WordsBelow(entries, entry.name);
    std::string flags;
    bool files = false;
    for (const Flag& flag : entry.flags) {
      if (!flag.positional()) {
        absl::StrAppend(&flags, " ", flag.name);
      } else {
        words.insert(words.end(), flag.choices.begin(), flag.choices.end());
        files = files || flag.file;
      }
    }
    absl::StrAppend(&cases, "    ", Quoted(entry.name), ") words='", absl::StrJoin(words, " "),
                    "'; flags='", global_flags, flags, "'; files=", files ? "1" : "", " ;;\n");
    values += BashValues(entry.flags, entry.name);
  }
  std::string any;
  for (const Flag& flag : global) {
    std::string pattern = absl::StrCat("*:", flag.name);
    if (!flag.short_name.empty()) absl::StrAppend(&pattern, "|*:", flag.short_name);
    absl::StrAppend(&any, "    ", pattern, ") words='", absl::StrJoin(flag.choices, " "),
                    "'; flags= ;;\n");
  }
  return absl::StrCat(
      "_credbrokerctl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local command='' word words='",
      absl::StrJoin(WordsBelow(entries, ""), " "), "' flags='", global_flags,
      "' files=''\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"${command:+$command }$word\" in\n"
      "    ",
      absl::StrJoin(names, "|"),
      "|policy) command=\"${command:+$command }$word\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case $command in\n    policy) words=test; flags=--help ;;\n",
      cases,
      "  esac\n"
      "  case $command:$previous in\n",
      values, any,
      "  esac\n"
      "  if [[ $current == -* ]]; then words=$flags; fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "  if [[ -n $files && $current != -* ]]; then\n"
      "    COMPREPLY+=($(compgen -f -- \"$current\"))\n"
      "  fi\n"
      "}\n"
      "complete -o filenames -F _credbrokerctl credbrokerctl\n");
}

std::string FishFlag(const Flag& flag, const std::string& condition) {
  std::string line =
      absl::StrCat("complete -c credbrokerctl", condition, " -l ", flag.name.substr(2));
  if (!flag.short_name.empty()) absl::StrAppend(&line, " -s ", flag.short_name.substr(1));
  if (!flag.value.empty()) absl::StrAppend(&line, flag.file ? " -r -F" : " -x");
  if (!flag.choices.empty()) {
    absl::StrAppend(&line, " -a ", Quoted(absl::StrJoin(flag.choices, " ")));
  }
  // Fish reads a backslash in single quotes; help has none.
  return absl::StrCat(line, " -d ", Quoted(absl::StrReplaceAll(flag.help, {{"'", ""}})), "\n");
}

std::string FishScript() {
  std::string out = "complete -c credbrokerctl -f\n";
  for (const Flag& flag : GlobalFlags()) out += FishFlag(flag, "");
  for (const Entry& entry : Entries()) {
    const std::vector<std::string> words = absl::StrSplit(entry.name, ' ');
    const std::string here = words.size() == 1
                                 ? "__fish_use_subcommand"
                                 : absl::StrCat("__fish_seen_subcommand_from ", words[0]);
    if (words.size() > 1 && words[0] == "policy") {
      out += "complete -c credbrokerctl -n __fish_use_subcommand -a policy -d 'Failure policy'\n";
    }
    absl::StrAppend(&out, "complete -c credbrokerctl -n ", Quoted(here), " -a ", words.back(),
                    " -d ", Quoted(absl::StrReplaceAll(entry.summary, {{"'", ""}})), "\n");
    const std::string inside =
        absl::StrCat(" -n ", Quoted("__fish_seen_subcommand_from " + words.back()));
    for (const Flag& flag : entry.flags) {
      if (!flag.positional()) {
        out += FishFlag(flag, inside);
      } else if (flag.file) {
        absl::StrAppend(&out, "complete -c credbrokerctl", inside, " -F\n");
      } else if (!flag.choices.empty()) {
        absl::StrAppend(&out, "complete -c credbrokerctl", inside, " -a ",
                        Quoted(absl::StrJoin(flag.choices, " ")), "\n");
      }
    }
  }
  return out;
}

class Completion final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "completion", "Print a completion script for a shell", "",
        "completion bash > /etc/bash_completion.d/credbrokerctl\n"
        "completion zsh > \"${fpath[1]}/_credbrokerctl\"\n"
        "completion fish > ~/.config/fish/completions/credbrokerctl.fish"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags
        .Choice(
            "SHELL", "SHELL", {"bash", "zsh", "fish"}, [this](size_t i) { shell_ = i; },
            "bash, zsh or fish")
        .Required();
  }

  absl::Status Run(Context& context) override {
    if (shell_ == 2) {
      context.out() << FishScript();
    } else if (shell_ == 1) {
      context.out() << "#compdef credbrokerctl\nautoload -U +X bashcompinit && bashcompinit\n"
                    << BashScript();
    } else {
      context.out() << BashScript();
    }
    return absl::OkStatus();
  }

 private:
  size_t shell_ = 0;
};

class Version final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {"version", "Print the version of this program",
                                          "The broker's version is in stats.", "version"};
    return kInfo;
  }

  void AddFlags(FlagSet&) override {}

  absl::Status Run(Context& context) override {
    if (context.json()) {
      context.out() << "{\"version\": \"" << CREDBROKER_VERSION << "\"}\n";
    } else {
      context.out() << "credbrokerctl " << CREDBROKER_VERSION << " (gRPC " << grpc::Version()
                    << ", protobuf "
                    << google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION) << ")\n";
    }
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Command> NewCompletion() { return std::make_unique<Completion>(); }
std::unique_ptr<Command> NewVersion() { return std::make_unique<Version>(); }

}  // namespace credbroker::ctl
