#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/acquire_flags.h"
#include "client/ctl/call_error.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

class Explain final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "explain", "Say for each candidate why acquire would or would not choose it",
        "Takes nothing. The exit code is 0 also where acquire would refuse.",
        "explain --provider claude --model claude-sonnet-4\n"
        "explain --provider claude --session user-7 --verdict waiting --verdict model_waiting\n"
        "explain --pin team/alice"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    acquire_.AddSelection(flags);
    Flag& verdict = flags.EnumWords(
        "--verdict", "VERDICT", v1::Verdict_descriptor(),
        [this](int number) { verdicts_.push_back(number); }, "only these verdicts");
    verdict.repeated = true;
    flags.Number("--page-size", &page_size_, 1, 1000, "candidates a page; default 100");
    flags.Text("--page-token", "TOKEN", &page_token_, "go on with the next page");
    flags.Switch("--all", &all_, "all pages");
  }

  absl::Status Run(Context& context) override {
    const auto acquire = acquire_.Request();
    if (!acquire.ok()) return acquire.status();
    v1::ExplainRequest request;
    *request.mutable_acquire() = *acquire;
    request.set_page_size(static_cast<int32_t>(page_size_.value_or(all_ ? 1000 : 0)));
    request.set_page_token(page_token_);
    for (const int verdict : verdicts_) request.add_verdicts(static_cast<v1::Verdict>(verdict));
    v1::ExplainResponse whole;
    do {
      auto page = context.Call(context.admin(), &v1::AdminService::Stub::Explain, request);
      if (!page.ok()) return page.status();
      request.set_page_token(page->next_page_token());
      auto rows = std::move(*whole.mutable_candidates());
      rows.MergeFrom(page->candidates());
      whole = *std::move(page);
      *whole.mutable_candidates() = std::move(rows);
    } while (all_ && !request.page_token().empty());
    if (context.json()) {
      context.PrintJson(whole);
    } else {
      Print(context, whole);
    }
    return absl::OkStatus();
  }

 private:
  static Color ColorOf(v1::Verdict verdict) {
    if (verdict == v1::VERDICT_CHOSEN) return Color::kGreen;
    return verdict == v1::VERDICT_ELIGIBLE ? Color::kNone : Color::kYellow;
  }

  static void Print(Context& context, const v1::ExplainResponse& response) {
    Facts facts;
    if (response.answer().code() == 0) {
      facts.Add("answer", Cell(absl::StrCat("would grant ", response.chosen_credential_id(),
                                            response.probe() ? " as a probe" : ""),
                               Color::kGreen));
    } else {
      const std::string text = ErrorText(response.answer());
      facts.Add("answer", Cell("would refuse: " + text.substr(0, text.find('\n')), Color::kRed));
    }
    facts.Add("model", response.model());
    facts.Add("strategy", response.strategy());
    facts.Add("session", response.bound_credential_id().empty()
                             ? ""
                             : "bound to " + response.bound_credential_id());
    std::vector<std::string> verdicts;
    for (const auto& each : response.verdict_counts()) {
      verdicts.push_back(absl::StrCat(Word(each.verdict()), " ", Count(each.count())));
    }
    facts.Add("verdicts", absl::StrJoin(verdicts, ", "));
    facts.Add("causes", CauseWords(response.cause_counts()));
    facts.Print(context.out(), context.style());
    Table table({{"CREDENTIAL", false, true},
                 {"PROVIDER"},
                 {"VERDICT"},
                 {"STATE"},
                 {"CAUSE"},
                 {"RECOVERS"},
                 {"PRIORITY", true},
                 {"WEIGHT", true},
                 {"IN FLIGHT", true},
                 {"DETAIL", false, true}});
    for (const v1::Candidate& each : response.candidates()) {
      Cell state = StateCell(each.state());
      if (each.half_open()) state.text += " (half-open)";
      table.Add({each.credential_id(), each.provider(),
                 Cell(Word(each.verdict()), ColorOf(each.verdict())), state, Word(each.cause()),
                 RelativeIf(each.has_next_recover_time(), each.next_recover_time(), context.now()),
                 absl::StrCat(each.priority()), absl::StrCat(each.weight()),
                 absl::StrCat(each.in_flight()), each.detail()});
    }
    if (!table.empty()) context.out() << '\n';
    table.Print(context.out(), context.style());
    if (!response.next_page_token().empty()) {
      context.out() << '\n'
                    << Count(response.candidates_size()) << " of " << Count(response.total_size())
                    << " shown; next page: --page-token " << Printable(response.next_page_token())
                    << ", or --all\n";
    }
  }

  AcquireFlags acquire_;
  std::vector<int> verdicts_;
  std::optional<int64_t> page_size_;
  std::string page_token_;
  bool all_ = false;
};

}  // namespace

std::unique_ptr<Command> NewExplain() { return std::make_unique<Explain>(); }

}  // namespace credbroker::ctl
