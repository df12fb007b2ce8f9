#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/input_file.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

class PolicyTest final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "policy test", "Run the failure policy over a made-up answer", "Touches nothing.",
        "policy test --provider claude --status 429 --header 'retry-after: 30'\n"
        "policy test --provider openai --kind api_key --status 401\n"
        "policy test --provider openai --status 429 --error-code insufficient_quota"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("--provider", "NAME", &provider_, "whose policy").Required();
    flags.Number("--status", &status_, 100, 599, "HTTP status");
    flags.Headers("--header", &headers_, "a header of the answer");
    flags.Text("--error-code", "CODE", &error_code_, "the error's code in the body");
    flags.Text("--body", "TEXT|@FILE", &body_, "the beginning of the body, at most 4 KiB").File();
    flags.Text("--model", "NAME", &model_, "the lease's model");
    flags.EnumChoice("--kind", "KIND", &kind_,
                     "the credential's kind; default oauth; one of oauth, "
                     "api_key, service_account");
    flags.EnumChoice("--outcome", "WORD", &outcome_, "wins over --status; one of");
    flags.EnumChoice("--network-error", "WORD", &network_error_, "no answer came; one of");
    flags.Number("--level", &level_, 0, 1000, "the ladder's level before; default 0");
    flags.When("--at", &time_, "when it happened, for hints that are dates; default now");
  }

  absl::Status Run(Context& context) override {
    v1::TestPolicyRequest request;
    request.set_provider(provider_);
    request.set_http_status(static_cast<int32_t>(status_.value_or(0)));
    request.mutable_headers()->Assign(headers_.begin(), headers_.end());
    request.set_error_code(error_code_);
    const auto body = TextOrFile(context, body_, 4 << 10);
    if (!body.ok()) return body.status();
    request.set_body_excerpt(body->substr(0, 4 << 10));
    request.set_model(model_);
    request.set_kind(kind_);
    request.set_outcome(outcome_);
    request.set_network_error(network_error_);
    if (network_error_ != v1::NETWORK_ERROR_KIND_UNSPECIFIED &&
        outcome_ == v1::OUTCOME_UNSPECIFIED && !status_.has_value()) {
      request.set_outcome(v1::OUTCOME_NETWORK_ERROR);
    }
    request.set_level(static_cast<int32_t>(level_.value_or(0)));
    if (time_.has_value()) FromTime(time_->At(context.now()), request.mutable_time());
    const auto response =
        context.Call(context.admin(), &v1::AdminService::Stub::TestPolicy, request);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
    } else {
      Print(context, *response);
    }
    return absl::OkStatus();
  }

 private:
  static void Print(Context& context, const v1::TestPolicyResponse& response) {
    Facts facts;
    facts.Add("row", response.matched_row());
    facts.Add("outcome", Word(response.outcome()));
    facts.Add("scope", Word(response.scope()));
    facts.Add("action", Word(response.action()));
    facts.Add("cause", Word(response.cause()));
    if (response.has_duration()) {
      facts.Add("duration", SpanWords(ToDuration(response.duration())) + " (before jitter)");
    }
    if (response.has_block_duration()) {
      facts.Add("waits", SpanWords(ToDuration(response.block_duration())));
    }
    facts.Add("from", response.hint());
    facts.Add("advice", Word(response.advice()));
    if (response.level() > 0) facts.Add("level", absl::StrCat(response.level()));
    facts.Print(context.out(), context.style());
  }

  std::string provider_;
  std::optional<int64_t> status_;
  std::vector<v1::Header> headers_;
  std::string error_code_;
  std::string body_;
  std::string model_;
  v1::CredentialKind kind_ = v1::CREDENTIAL_KIND_UNSPECIFIED;
  v1::Outcome outcome_ = v1::OUTCOME_UNSPECIFIED;
  v1::NetworkErrorKind network_error_ = v1::NETWORK_ERROR_KIND_UNSPECIFIED;
  std::optional<int64_t> level_;
  std::optional<Moment> time_;
};

}  // namespace

std::unique_ptr<Command> NewPolicyTest() { return std::make_unique<PolicyTest>(); }

}  // namespace credbroker::ctl
