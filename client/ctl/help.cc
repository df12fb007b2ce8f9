#include "client/ctl/help.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/ctl/exit_code.h"

namespace credbroker::ctl {
namespace {

constexpr size_t kHelpColumn = 30;
constexpr size_t kLineWidth = 98;

// `text` beginning at `indent` columns, wrapped; the cursor stands there already.
std::string Wrap(absl::string_view text, size_t indent) {
  std::string out;
  size_t column = indent;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column > indent && column + 1 + word.size() > kLineWidth) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += word.size();
  }
  return out + "\n";
}

std::string Left(const Flag& flag) {
  std::string left = "  ";
  if (!flag.short_name.empty()) absl::StrAppend(&left, flag.short_name, ", ");
  absl::StrAppend(&left, flag.name);
  if (!flag.value.empty() && !flag.positional()) absl::StrAppend(&left, " ", flag.value);
  return left;
}

void AppendFlag(const Flag& flag, std::string* out) {
  std::string left = Left(flag);
  if (left.size() + 2 > kHelpColumn) {
    absl::StrAppend(out, left, "\n", std::string(kHelpColumn, ' '));
  } else {
    absl::StrAppend(out, left, std::string(kHelpColumn - left.size(), ' '));
  }
  std::string help = flag.help;
  // Enums with many values; the short ones are spelled out in the sentence.
  if (flag.choices.size() > 2 && !absl::StrContains(help, flag.choices.front())) {
    absl::StrAppend(&help, ": ", absl::StrJoin(flag.choices, ", "));
  }
  if (flag.repeated) absl::StrAppend(&help, " (repeatable)");
  if (flag.required && !flag.positional()) absl::StrAppend(&help, " (required)");
  absl::StrAppend(out, Wrap(help, kHelpColumn));
}

std::string Usage(const CommandInfo& info, const FlagSet& flags) {
  std::string usage = absl::StrCat("Usage: credbrokerctl ", info.name, " [FLAGS]");
  for (const Flag& flag : flags.flags()) {
    std::string part;
    if (flag.positional()) {
      part = absl::StrCat(flag.name, flag.repeated ? "..." : "");
    } else if (flag.required) {
      part = absl::StrCat(flag.name, " ", flag.value);
    } else {
      continue;
    }
    absl::StrAppend(&usage, " ", flag.required ? part : absl::StrCat("[", part, "]"));
  }
  return usage + "\n";
}

std::string Indented(absl::string_view lines, absl::string_view before) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&out, before, line, "\n");
  }
  return out;
}

}  // namespace

std::string CommandHelp(const CommandInfo& info, const FlagSet& flags, const FlagSet& global) {
  std::string out = absl::StrCat(info.summary, ".\n\n", Usage(info, flags));
  if (*info.text != '\0') absl::StrAppend(&out, "\n", info.text, "\n");
  if (!flags.flags().empty()) absl::StrAppend(&out, "\nFlags:\n");
  for (const Flag& flag : flags.flags()) AppendFlag(flag, &out);
  absl::StrAppend(&out, "\nGlobal flags:\n");
  for (const Flag& flag : global.flags()) AppendFlag(flag, &out);
  absl::StrAppend(&out, "\nExamples:\n", Indented(info.examples, "  credbrokerctl "));
  return out;
}

std::string OverviewHelp(const std::vector<CommandInfo>& infos, const FlagSet& global) {
  std::string out =
      "credbrokerctl talks to a credbroker.\n\nUsage: credbrokerctl [FLAGS] COMMAND ...\n\n"
      "Commands ('credbrokerctl COMMAND --help' has flags and examples):\n";
  for (const CommandInfo& info : infos) {
    const std::string left = absl::StrCat("  ", info.name);
    absl::StrAppend(&out, left, std::string(16 - left.size(), ' '), info.summary, "\n");
  }
  absl::StrAppend(&out, "\nGlobal flags:\n");
  for (const Flag& flag : global.flags()) AppendFlag(flag, &out);
  absl::StrAppend(&out, "\nExit codes:\n", kExitCodeHelp);
  absl::StrAppend(&out,
                  "\nExamples:\n"
                  "  credbrokerctl import ./auths --source team\n"
                  "  credbrokerctl list --state waiting\n"
                  "  credbrokerctl acquire --provider claude --model claude-sonnet-4\n"
                  "  credbrokerctl report LEASE --status 429 --header 'retry-after: 30'\n");
  return out;
}

}  // namespace credbroker::ctl
