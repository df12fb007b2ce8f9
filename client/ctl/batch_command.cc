// batch, batch undo.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/input_file.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

Color ColorOf(v1::BatchItemStatus status) {
  switch (status) {
    case v1::BATCH_ITEM_STATUS_OK:
      return Color::kGreen;
    case v1::BATCH_ITEM_STATUS_SKIPPED:
      return Color::kDim;
    default:
      return Color::kRed;
  }
}

void PrintResults(Context& context,
                  const google::protobuf::RepeatedPtrField<v1::BatchItemResult>& results) {
  Table table({{"ID", false, true}, {"RESULT"}, {"CHANGE", false, true}, {"MESSAGE", false, true}});
  for (const v1::BatchItemResult& each : results) {
    const Cell status(Word(each.status()), ColorOf(each.status()));
    if (each.changes().empty()) table.Add({each.id(), status, "", each.message()});
    for (const v1::FieldChange& change : each.changes()) {
      table.Add({each.id(), status,
                 absl::StrCat(change.field(), ": ", change.old_value(), " -> ", change.new_value()),
                 each.message()});
    }
  }
  table.Print(context.out(), context.style());
  if (!table.empty()) context.out() << '\n';
}

// Rows that are not there or in conflict make the exit code 1.
void CountFailures(Context& context, int64_t failed) {
  if (failed == 0) return;
  context.ItemDone();
  context.ItemFailed(
      "", absl::AbortedError(absl::StrCat(Count(failed), failed == 1 ? " row was" : " rows were",
                                          " not changed as asked (not_found, conflict)")));
}

class Batch final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "batch", "Change many credentials at once",
        "Choose rows by ids ('-' reads them from standard input, one a line), by --filter with\n"
        "--expected-count, or by the --selection of a dry run. A dry run shows the preview and "
        "prints\n"
        "the token that applies to exactly these rows, for 10 minutes. 'batch undo ID' puts a "
        "batch\n"
        "back for 24 hours; a reset cannot be undone.",
        "batch team/alice team/bob --set-priority 5\n"
        "batch --filter 'provider = claude' --disable --reason upkeep --dry-run\n"
        "batch --selection TOKEN --disable --reason upkeep\n"
        "batch --filter 'labels.tier = free' --expected-count 120 --set-weight 1\n"
        "list --state disabled -o json | jq -r '.credentials[].id' | credbrokerctl batch - "
        "--delete\n"
        "batch undo BATCH"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Texts("ID", "ID", &ids_, "ids; '-' for standard input");
    flags.Text("--filter", "FILTER", &filter_, "rows that match; as in list, document fields only");
    flags.Number("--expected-count", &expected_, 0, 100'000'000,
                 "how many rows the filter matches; required with --filter unless --dry-run");
    flags.Text("--selection", "TOKEN", &selection_, "the rows of a dry run");
    constexpr int64_t kMost = 1'000'000;
    flags.Number("--set-priority", &priority_, -kMost, kMost, "higher is served first");
    flags.Number("--set-weight", &weight_, -kMost, kMost, "0 and less: by pin only");
    flags.OptionalText("--set-prefix", "TEXT", &prefix_, "'' removes it");
    flags
        .OptionalText("--set-proxy", "URL|@FILE", &proxy_,
                      "'' removes it; one with a password only from a file")
        .File();
    flags.Number("--set-max-in-flight", &cap_, -1, kMost, "0: unlimited; -1: back to the default");
    flags.Number("--set-max-in-flight-per-model", &model_cap_, -1, kMost, "the same per model");
    flags.OptionalText("--set-group", "NAME", &group_, "move to this group");
    flags.Pairs("--set-label", labels_.mutable_set(), "set a label");
    flags.Texts("--unset-label", "KEY", &unset_labels_, "remove a label");
    flags.Switch("--enable", &enable_, "allow them to be used");
    flags.Switch("--disable", &disable_, "take them out of use");
    flags.Text("--reason", "TEXT", &reason_, "of --disable");
    flags.When("--until", &until_, "of --disable: enabled again then");
    flags.Switch("--reset", &reset_, "clear cooldowns; cannot be undone");
    flags.Switch("--delete", &delete_, "delete them; alone");
    flags.Switch("--dry-run", &dry_run_, "change nothing; preview and selection token");
    flags.Text("--comment", "TEXT", &comment_, "for the audit");
    flags.Text("--request-id", "TEXT", &request_id_, "makes the call repeatable");
  }

  absl::Status Run(Context& context) override {
    v1::BatchUpdateRequest request;
    if (absl::Status s = Select(context, &request); !s.ok()) return s;
    if (absl::Status s = AddOperations(context, &request); !s.ok()) return s;
    request.set_dry_run(dry_run_);
    request.set_comment(comment_);
    request.set_request_id(request_id_);
    const auto response =
        context.Call(context.admin(), &v1::AdminService::Stub::BatchUpdate, request, kBulkTimeout);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
    } else {
      Print(context, *response);
    }
    CountFailures(context, response->not_found_count() + response->conflict_count());
    return absl::OkStatus();
  }

 private:
  absl::Status Select(Context& context, v1::BatchUpdateRequest* request) const {
    const int ways =
        (ids_.empty() ? 0 : 1) + (filter_.empty() ? 0 : 1) + (selection_.empty() ? 0 : 1);
    if (ways != 1) {
      return absl::InvalidArgumentError(
          "give ids, or --filter, or --selection: exactly one of them");
    }
    if (expected_.has_value() && filter_.empty()) {
      return absl::InvalidArgumentError("--expected-count: goes with --filter only");
    }
    if (!filter_.empty()) {
      if (!expected_.has_value() && !dry_run_) {
        return absl::InvalidArgumentError(
            "--expected-count: is required with --filter; --dry-run shows the number");
      }
      request->mutable_filter()->set_filter(filter_);
      if (expected_.has_value()) request->mutable_filter()->set_expected_count(*expected_);
      return absl::OkStatus();
    }
    if (!selection_.empty()) {
      request->set_selection_token(selection_);
      return absl::OkStatus();
    }
    for (const std::string& id : ids_) {
      if (id != "-") {
        request->mutable_ids()->add_ids(id);
        continue;
      }
      for (std::string line; std::getline(context.in(), line);) {
        const absl::string_view word = absl::StripAsciiWhitespace(line);
        if (!word.empty()) request->mutable_ids()->add_ids(std::string(word));
      }
    }
    if (request->ids().ids().empty()) {
      return absl::InvalidArgumentError("-: standard input names no id");
    }
    return absl::OkStatus();
  }

  absl::Status AddOperations(Context& context, v1::BatchUpdateRequest* request) const {
    if (enable_ && disable_) return absl::InvalidArgumentError("--enable: not with --disable");
    if (!disable_ && (!reason_.empty() || until_.has_value())) {
      return absl::InvalidArgumentError(
          absl::StrCat(reason_.empty() ? "--until" : "--reason", ": goes with --disable only"));
    }
    const auto add = [request] { return request->add_operations(); };
    if (priority_) add()->set_set_priority(static_cast<int32_t>(*priority_));
    if (weight_) add()->set_set_weight(static_cast<int32_t>(*weight_));
    if (prefix_) add()->set_set_prefix(*prefix_);
    if (proxy_) {
      auto address = ProxyAddress(context, *proxy_, "--set-proxy");
      if (!address.ok()) return address.status();
      add()->set_set_proxy_url(*std::move(address));
    }
    if (cap_) add()->set_set_max_in_flight(static_cast<int32_t>(*cap_));
    if (model_cap_) add()->set_set_max_in_flight_per_model(static_cast<int32_t>(*model_cap_));
    if (group_) add()->set_set_group(*group_);
    if (!labels_.set().empty() || !unset_labels_.empty()) {
      v1::LabelChange& change = *add()->mutable_set_labels();
      change = labels_;
      change.mutable_remove()->Assign(unset_labels_.begin(), unset_labels_.end());
    }
    if (reset_) add()->mutable_reset();
    if (enable_) add()->mutable_enable();
    if (disable_) {
      v1::DisableOperation& operation = *add()->mutable_disable();
      operation.set_reason(reason_);
      if (until_) FromTime(until_->At(context.now()), operation.mutable_until());
    }
    if (delete_ && !request->operations().empty()) {
      return absl::InvalidArgumentError("--delete: goes alone");
    }
    if (delete_) add()->mutable_delete_();
    if (request->operations().empty()) {
      return absl::InvalidArgumentError(
          "nothing to do: give --set-..., --enable, --disable, "
          "--reset or --delete");
    }
    return absl::OkStatus();
  }

  void Print(Context& context, const v1::BatchUpdateResponse& response) const {
    PrintResults(context, response.results());
    context.out() << (dry_run_ ? "would change " : "changed ") << Count(response.ok_count())
                  << " of " << Count(response.matched_count()) << " (skipped "
                  << Count(response.skipped_count()) << ", not found "
                  << Count(response.not_found_count()) << ", conflict "
                  << Count(response.conflict_count()) << ")\n";
    for (const std::string& warning : response.warnings()) {
      context.out() << Paint("warning: " + Printable(warning), Color::kYellow, context.style())
                    << '\n';
    }
    if (!response.selection_token().empty()) {
      context.out()
          << "nothing was changed; to apply to exactly these rows within 10 minutes, give\n"
          << "the same flags with --selection " << Printable(response.selection_token())
          << " instead of ids or filter\n";
    }
    if (!response.batch_id().empty()) {
      context.out() << "batch " << Printable(response.batch_id());
      if (response.undoable()) {
        context.out() << "; undo within 24 h: credbrokerctl batch undo "
                      << Printable(response.batch_id());
      }
      context.out() << '\n';
    }
  }

  std::vector<std::string> ids_;
  std::string filter_;
  std::optional<int64_t> expected_;
  std::string selection_;
  std::optional<int64_t> priority_;
  std::optional<int64_t> weight_;
  std::optional<std::string> prefix_;
  std::optional<std::string> proxy_;
  std::optional<int64_t> cap_;
  std::optional<int64_t> model_cap_;
  std::optional<std::string> group_;
  v1::LabelChange labels_;
  std::vector<std::string> unset_labels_;
  bool enable_ = false;
  bool disable_ = false;
  std::string reason_;
  std::optional<Moment> until_;
  bool reset_ = false;
  bool delete_ = false;
  bool dry_run_ = false;
  std::string comment_;
  std::string request_id_;
};

class BatchUndo final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "batch undo", "Put back what a batch changed",
        "Per row and field, only where the value is still the batch's. Possible for 24 hours; the\n"
        "undo is itself a batch.",
        "batch undo BATCH --dry-run\nbatch undo BATCH"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("BATCH", "BATCH", &batch_, "the batch's id").Required();
    flags.Switch("--dry-run", &dry_run_, "change nothing; preview");
    flags.Text("--request-id", "TEXT", &request_id_, "makes the call repeatable");
  }

  absl::Status Run(Context& context) override {
    v1::UndoBatchRequest request;
    request.set_batch_id(batch_);
    request.set_dry_run(dry_run_);
    request.set_request_id(request_id_);
    const auto response =
        context.Call(context.admin(), &v1::AdminService::Stub::UndoBatch, request, kBulkTimeout);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
    } else {
      PrintResults(context, response->results());
      context.out() << (dry_run_ ? "would put back " : "put back ") << Count(response->ok_count())
                    << " (skipped " << Count(response->skipped_count()) << ", conflict "
                    << Count(response->conflict_count()) << ")\n";
      if (!response->batch_id().empty()) {
        context.out() << "batch " << Printable(response->batch_id()) << '\n';
      }
    }
    CountFailures(context, response->conflict_count());
    return absl::OkStatus();
  }

 private:
  std::string batch_;
  bool dry_run_ = false;
  std::string request_id_;
};

}  // namespace

std::unique_ptr<Command> NewBatch() { return std::make_unique<Batch>(); }
std::unique_ptr<Command> NewBatchUndo() { return std::make_unique<BatchUndo>(); }

}  // namespace credbroker::ctl
