#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/ctl/command.h"
#include "client/ctl/export_folder.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

class Export final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "export", "Write credentials as files, without their secrets",
        "A file goes to DIR/SOURCE/path, with --source to DIR/path. What exists stays unless "
        "--force\n"
        "is given. '-' prints one JSON array instead, with -o json one response a line.",
        "export ./backup\n"
        "export ./team --source team --force\n"
        "export - --filter 'provider = claude' | jq '.[].email'"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("DIR", "DIR", &target_, "folder, or '-' for standard output").Required().File();
    flags.Text("--filter", "FILTER", &filter_, "as in list");
    flags.Text("--group", "NAME", &group_, "only this group");
    flags.Text("--source", "NAME", &source_, "only this source");
    flags.EnumChoice("--state", "STATE", &state_, "available, waiting, disabled or all (default)");
    flags.Switch("--force", &force_, "replace files that exist");
  }

  absl::Status Run(Context& context) override {
    std::optional<ExportFolder> folder;
    if (target_ != "-") {
      auto opened = ExportFolder::Open(target_);
      if (!opened.ok()) return opened.status();
      folder.emplace(*std::move(opened));
    }
    v1::ExportCredentialsRequest request;
    request.set_filter(filter_);
    request.set_group(group_);
    request.set_source(source_);
    request.set_state(state_);
    grpc::ClientContext call;
    context.Prepare(call, kBulkTimeout);
    auto reader = context.admin().ExportCredentials(&call, request);
    const bool array = !folder.has_value() && !context.json();
    v1::ExportCredentialsResponse file;
    int64_t files = 0;
    int64_t written = 0;
    if (array) context.out() << "[";
    while (reader->Read(&file)) {
      ++files;
      if (folder.has_value()) {
        if (WriteFile(context, *folder, file)) ++written;
      } else if (array) {
        context.out() << (files > 1 ? ",\n" : "\n") << absl::StripSuffix(file.json(), "\n");
      } else {
        context.PrintJsonLine(file);
      }
    }
    if (array) context.out() << "\n]\n";
    if (absl::Status status = context.Finish(reader->Finish()); !status.ok()) return status;
    if (folder.has_value()) {
      (context.json() ? context.err() : context.out())
          << Count(written) << " of " << Count(files) << " files written, without secrets\n";
    }
    return absl::OkStatus();
  }

 private:
  bool WriteFile(Context& context, ExportFolder& folder,
                 const v1::ExportCredentialsResponse& file) const {
    std::string path = file.relative_path();
    if (source_.empty() && !file.source().empty()) path = absl::StrCat(file.source(), "/", path);
    std::string bytes = file.json();
    if (!absl::EndsWith(bytes, "\n")) bytes += '\n';
    const absl::Status status = folder.Write(path, bytes, force_);
    if (!status.ok()) {
      context.ItemFailed(path, status);
      return false;
    }
    context.ItemDone();
    if (context.json()) context.PrintJsonLine(file);
    return true;
  }

  std::string target_;
  std::string filter_;
  std::string group_;
  std::string source_;
  v1::StateFilter state_ = v1::STATE_FILTER_ALL;
  bool force_ = false;
};

}  // namespace

std::unique_ptr<Command> NewExport() { return std::make_unique<Export>(); }

}  // namespace credbroker::ctl
