#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/filter.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

std::string InFlight(const v1::Credential& credential) {
  std::string text = absl::StrCat(credential.status().in_flight());
  if (credential.max_in_flight() > 0) absl::StrAppend(&text, "/", credential.max_in_flight());
  return text;
}

class List final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "list", "List credentials",
        "Shows the available ones unless --state says otherwise. Filters compare fields:\n"
        "  provider = claude AND priority >= 5 AND email = \"ops-*\"\n"
        "Fields: id group provider kind label email note source prefix proxy_url base_url "
        "priority\n"
        "weight max_in_flight disable_cooling labels.KEY disabled create_time update_time state "
        "cause\n"
        "auth_health busy half_open in_flight next_recover_time material_expire_time.",
        "list\n"
        "list --state waiting --order-by next_recover_time\n"
        "list --state all --provider claude --group team --all\n"
        "list --state disabled --filter 'cause = reauth_required' -o wide\n"
        "list --all -o json | jq -r '.credentials[].id'"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.EnumChoice("--state", "STATE", &state_, "available (default), waiting, disabled or all");
    flags.Text("--filter", "FILTER", &filter_, "only those that match");
    flags.Texts("--provider", "NAME", &providers_, "only this provider");
    flags.Text("--group", "NAME", &group_, "only this group");
    flags.Text(
        "--order-by", "FIELDS", &order_by_,
        "comma list of id, priority, create_time, update_time, next_recover_time, in_flight; "
        "each with optional ' desc'");
    flags.Number("--page-size", &page_size_, 1, 1000, "rows a page; default 100");
    flags.Text("--page-token", "TOKEN", &page_token_, "go on with the next page");
    flags.Switch("--all", &all_, "all pages");
  }

  absl::Status Run(Context& context) override {
    v1::ListCredentialsRequest request;
    const auto filter = WithProviders(filter_, providers_);
    if (!filter.ok()) return filter.status();
    request.set_filter(*filter);
    request.set_state(state_);
    request.set_group(group_);
    request.set_order_by(order_by_);
    request.set_page_size(static_cast<int32_t>(page_size_.value_or(all_ ? 1000 : 0)));
    request.set_page_token(page_token_);
    v1::ListCredentialsResponse whole;
    do {
      auto page = context.Call(context.admin(), &v1::AdminService::Stub::ListCredentials, request);
      if (!page.ok()) return page.status();
      request.set_page_token(page->next_page_token());
      auto rows = std::move(*whole.mutable_credentials());
      rows.MergeFrom(page->credentials());
      whole = *std::move(page);
      *whole.mutable_credentials() = std::move(rows);
    } while (all_ && !request.page_token().empty());
    if (context.json()) {
      context.PrintJson(whole);
    } else {
      Print(context, whole);
    }
    return absl::OkStatus();
  }

 private:
  void Print(Context& context, const v1::ListCredentialsResponse& list) const {
    std::vector<Table::Column> columns = {{"ID", false, true}, {"PROVIDER"}, {"STATE"},
                                          {"CAUSE"},           {"RECOVERS"}, {"IN FLIGHT", true},
                                          {"PRIORITY", true}};
    if (context.wide()) {
      columns.insert(columns.end(), {{"WEIGHT", true},
                                     {"GROUP"},
                                     {"KIND"},
                                     {"AUTH"},
                                     {"EXPIRES"},
                                     {"LAST USED"},
                                     {"WAITING MODELS", false, true},
                                     {"EMAIL"},
                                     {"LABEL"},
                                     {"LABELS"}});
    }
    Table table(std::move(columns));
    for (const v1::Credential& each : list.credentials()) table.Add(Row(context, each));
    table.Print(context.out(), context.style());
    if (!table.empty()) context.out() << '\n';
    context.out() << Count(list.credentials_size()) << " of " << Count(list.total_size())
                  << " shown (" << StateWords(list.counts()) << ")\n";
    if (!list.next_page_token().empty()) {
      context.out() << "next page: --page-token " << Printable(list.next_page_token())
                    << ", or --all\n";
    }
  }

  static std::vector<Cell> Row(Context& context, const v1::Credential& each) {
    const v1::CredentialStatus& status = each.status();
    const absl::Time now = context.now();
    std::vector<Cell> row = {
        each.id(),
        each.provider(),
        StateCell(status),
        Word(status.cause()),
        RelativeIf(status.has_next_recover_time(), status.next_recover_time(), now),
        InFlight(each),
        absl::StrCat(each.priority())};
    if (context.wide()) {
      std::string models;
      for (const std::string& model : status.waiting_models()) {
        absl::StrAppend(&models, models.empty() ? "" : ", ", model);
      }
      const std::vector<Cell> more = {
          each.has_weight() ? absl::StrCat(each.weight()) : "",
          each.group(),
          Word(each.kind()),
          Word(status.auth_health()),
          RelativeIf(status.has_material_expire_time(), status.material_expire_time(), now),
          RelativeIf(status.has_last_used_time(), status.last_used_time(), now),
          models,
          each.email(),
          each.label(),
          Pairs(each.labels())};
      row.insert(row.end(), more.begin(), more.end());
    }
    return row;
  }

  v1::StateFilter state_ = v1::STATE_FILTER_UNSPECIFIED;
  std::string filter_;
  std::vector<std::string> providers_;
  std::string group_;
  std::string order_by_;
  std::optional<int64_t> page_size_;
  std::string page_token_;
  bool all_ = false;
};

}  // namespace

std::unique_ptr<Command> NewList() { return std::make_unique<List>(); }

}  // namespace credbroker::ctl
