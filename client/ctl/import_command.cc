#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/import_files.h"
#include "client/ctl/input_file.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

// A message holds at most 1 MiB; gRPC's own default is 4 MiB.
constexpr size_t kPart = 512 << 10;

Cell ActionCell(v1::ImportAction action) {
  Color color = Color::kNone;
  switch (action) {
    case v1::IMPORT_ACTION_CREATED:
    case v1::IMPORT_ACTION_UPDATED:
    case v1::IMPORT_ACTION_REVIVED:
      color = Color::kGreen;
      break;
    case v1::IMPORT_ACTION_REJECTED:
      color = Color::kRed;
      break;
    default:
      color = Color::kDim;
  }
  return Cell(Word(action), color);
}

class Import final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "import", "Import credential files",
        "PATH is a folder (every *.json in it, recursively; .cds files and dot-directories are "
        "left\n"
        "out), one file, a file with an array, '-' for standard input, or with --keys lists of "
        "API\n"
        "keys, one a line. Ids are SOURCE/path without .json. A bad file is reported and skipped, "
        "the\n"
        "others go in; then the exit code is 1. Importing again takes only what a file changed.\n"
        "\n"
        "THE BROKER BECOMES THE OWNER OF THE REFRESH TOKENS: a tool that goes on refreshing them\n"
        "destroys the logins.",
        "import ./auths --source team --group default --dry-run\n"
        "import ./auths --source team\n"
        "import keys.txt --keys --provider openai --source keys --label tier=free\n"
        "import new-login.json --source team --mode fail"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("PATH", "PATH", &path_, "folder, file or '-'").Required().File();
    flags.Text("--source", "NAME", &source_, "names the source; ids begin with it").Required();
    flags.Text("--group", "NAME", &group_, "default \"default\"");
    flags.Text("--provider", "NAME", &provider_, "of key lists, and of files without a type");
    flags.Switch("--keys", &keys_, "the files are lists of API keys");
    flags.EnumChoice("--mode", "MODE", &mode_, "an id that exists: update (default), skip or fail");
    flags.Switch("--dry-run", &dry_run_, "show the plan, change nothing");
    flags.Pairs("--label", &labels_, "a label for what is created");
    flags.Text("--comment", "TEXT", &comment_, "for the audit");
    flags.Number("--max-results", &max_results_, 1, 100'000, "rows shown; default 1,000");
  }

  absl::Status Run(Context& context) override {
    if (keys_ && provider_.empty()) {
      return absl::InvalidArgumentError("--provider: is required with --keys");
    }
    auto found = FindImportFiles(path_, keys_);
    if (!found.ok()) return found.status();
    if (found->files.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("PATH: no credential file in '", path_, "' (",
                                                     Count(found->ignored), " others ignored)"));
    }
    v1::ImportCredentialsResponse response;
    if (absl::Status s = Send(context, *found, &response); !s.ok()) return s;
    for (const FoundFile& file : found->files) {
      if (file.problem.empty()) continue;
      v1::ImportResult& result = *response.add_results();
      result.set_relative_path(Printable(file.relative));
      result.set_action(v1::IMPORT_ACTION_REJECTED);
      result.set_reason(v1::ERROR_REASON_INVALID_FILE);
      result.set_message(file.problem + "; it was not sent");
      response.set_rejected_count(response.rejected_count() + 1);
      response.set_file_count(response.file_count() + 1);
    }
    if (context.json()) {
      context.PrintJson(response);
    } else {
      Print(context, *found, response);
    }
    Warn(context, response);
    if (response.rejected_count() > 0) {
      context.ItemDone();
      context.ItemFailed("", absl::InvalidArgumentError(
                                 absl::StrCat(Count(response.rejected_count()), " rejected")));
    }
    return absl::OkStatus();
  }

 private:
  using Writer = grpc::ClientWriter<v1::ImportCredentialsRequest>;

  absl::Status Send(Context& context, FoundFiles& found, v1::ImportCredentialsResponse* response) {
    grpc::ClientContext call;
    context.Prepare(call, kBulkTimeout);
    std::unique_ptr<Writer> writer = context.admin().ImportCredentials(&call, response);
    v1::ImportCredentialsRequest header;
    FillHeader(header.mutable_header());
    bool open = writer->Write(header);
    int64_t sent = 0;
    for (FoundFile& file : found.files) {
      if (!open) break;
      if (file.problem.empty()) open = SendFile(context, file, *writer);
      Progress(context, ++sent, static_cast<int64_t>(found.files.size()));
    }
    if (context.env().err_is_terminal) context.err() << "\r\x1b[K" << std::flush;
    // A refused stream says why only in its status.
    if (open) (void)writer->WritesDone();
    return context.Finish(writer->Finish());
  }

  void FillHeader(v1::ImportHeader* header) const {
    header->set_source(source_);
    header->set_group(group_);
    header->set_provider(provider_);
    header->set_mode(mode_);
    header->set_dry_run(dry_run_);
    header->set_key_per_line(keys_);
    header->set_max_results(static_cast<int32_t>(max_results_.value_or(0)));
    *header->mutable_labels() = labels_;
    header->set_comment(comment_);
  }

  // False: the server ended the stream.
  static bool SendFile(Context& context, FoundFile& file, Writer& writer) {
    const auto bytes = ReadInput(context, file.path, static_cast<size_t>(kMaxImportFile));
    if (!bytes.ok() || bytes->size() > static_cast<size_t>(kMaxImportFile)) {
      file.problem = bytes.ok() ? "is larger than 64 MiB" : "cannot be read";
      return true;
    }
    size_t begin = 0;
    do {
      v1::ImportCredentialsRequest part;
      v1::ImportFile& message = *part.mutable_file();
      message.set_relative_path(file.relative);
      message.set_content(bytes->substr(begin, kPart));
      begin += kPart;
      message.set_continued(begin < bytes->size());
      if (!writer.Write(part)) return false;
    } while (begin < bytes->size());
    return true;
  }

  static void Progress(Context& context, int64_t sent, int64_t all) {
    if (!context.env().err_is_terminal || (sent % 64 != 0 && sent != all)) return;
    context.err() << "\rsent " << Count(sent) << " of " << Count(all) << " files" << std::flush;
  }

  void Print(Context& context, const FoundFiles& found,
             const v1::ImportCredentialsResponse& response) const {
    Table table({{"ACTION"},
                 {"PATH", false, true},
                 {"CREDENTIAL", false, true},
                 {"REASON"},
                 {"MESSAGE", false, true}});
    for (const v1::ImportResult& each : response.results()) {
      std::string message = each.message();
      if (!each.changed_fields().empty()) {
        absl::StrAppend(&message, message.empty() ? "" : "; ",
                        "changed: ", absl::StrJoin(each.changed_fields(), ", "));
      }
      table.Add({ActionCell(each.action()),
                 each.index() > 0 ? absl::StrCat(each.relative_path(), "[", each.index(), "]")
                                  : each.relative_path(),
                 each.credential_id(), Word(each.reason()), message});
    }
    table.Print(context.out(), context.style());
    if (!table.empty()) context.out() << '\n';
    if (response.results_truncated()) {
      context.out() << "more results than shown; see --max-results\n";
    }
    context.out() << (dry_run_ ? "dry run, nothing was changed: " : "")
                  << Count(response.file_count()) << " files: " << Count(response.created_count())
                  << " created, " << Count(response.updated_count()) << " updated, "
                  << Count(response.unchanged_count()) << " unchanged, ";
    if (response.revived_count() > 0) {
      context.out() << Count(response.revived_count()) << " revived, ";
    }
    context.out() << Count(response.skipped_count()) << " skipped, "
                  << Count(response.rejected_count()) << " rejected";
    if (found.ignored > 0) context.out() << " (" << Count(found.ignored) << " other files ignored)";
    context.out() << '\n';
  }

  void Warn(Context& context, const v1::ImportCredentialsResponse& response) const {
    bool said = keys_;  // API keys have no refresh token
    for (const std::string& warning : response.warnings()) {
      context.err() << "WARNING: " << Printable(warning) << '\n';
      said = said || absl::StrContains(warning, "refresh token");
    }
    const int64_t taken =
        response.created_count() + response.updated_count() + response.revived_count();
    if (said || taken == 0) return;
    context.err() << "WARNING: the broker " << (dry_run_ ? "would own" : "now owns")
                  << " the refresh tokens of these files. Whatever else refreshes them must stop,\n"
                     "  or the logins are destroyed.\n";
  }

  std::string path_;
  std::string source_;
  std::string group_;
  std::string provider_;
  bool keys_ = false;
  v1::ImportMode mode_ = v1::IMPORT_MODE_UNSPECIFIED;
  bool dry_run_ = false;
  google::protobuf::Map<std::string, std::string> labels_;
  std::string comment_;
  std::optional<int64_t> max_results_;
};

}  // namespace

std::unique_ptr<Command> NewImport() { return std::make_unique<Import>(); }

}  // namespace credbroker::ctl
