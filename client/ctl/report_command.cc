#include <optional>
#include <string>
#include <vector>

#include "client/ctl/command.h"
#include "client/ctl/input_file.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

class Report final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "report", "Say what happened upstream, and end the lease",
        "Give --status where an HTTP status was received; the broker derives the outcome. Else "
        "give\n"
        "--outcome or --network-error. With --early the lease goes on.",
        "report LEASE --status 200\n"
        "report LEASE --status 429 --header 'retry-after: 30'\n"
        "report LEASE --status 400 --body @error.json\n"
        "report LEASE --outcome cancelled\n"
        "report LEASE --network-error timeout"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("LEASE", "LEASE", &lease_, "the lease's id").Required();
    flags.Number("--status", &status_, 100, 599, "HTTP status of the upstream");
    flags.Headers("--header", &headers_, "a header of the upstream's answer");
    flags.EnumChoice("--outcome", "WORD", &outcome_, "wins over --status; one of");
    flags.Text("--error-code", "CODE", &error_code_, "the error's code in the body");
    flags.Text("--body", "TEXT|@FILE", &body_, "the beginning of the error's body, at most 4 KiB")
        .File();
    flags.EnumChoice("--network-error", "WORD", &network_error_, "no answer came; one of");
    flags.Switch("--early", &early_, "a first notice: the lease goes on");
    flags.Number("--material-version", &version_, 1, std::numeric_limits<int64_t>::max(),
                 "the Grant's; default the lease's");
  }

  absl::Status Run(Context& context) override {
    if (!status_.has_value() && outcome_ == v1::OUTCOME_UNSPECIFIED &&
        network_error_ == v1::NETWORK_ERROR_KIND_UNSPECIFIED) {
      return absl::InvalidArgumentError("--status, --outcome or --network-error is required");
    }
    const auto body = TextOrFile(context, body_, kMaxBody);
    if (!body.ok()) return body.status();
    const auto response = context.Call(context.broker(), &v1::BrokerService::Stub::Report,
                                       Request(body->substr(0, kMaxBody)));
    if (!response.ok()) return response.status();
    if (context.json()) context.PrintJson(*response);
    for (const v1::ReportResult& result : response->results()) {
      if (!context.json()) Print(context, result);
      if (result.disposition() == v1::REPORT_DISPOSITION_UNKNOWN) {
        context.ItemFailed("", absl::NotFoundError("the broker does not know this lease"));
      }
    }
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kMaxBody = 4 << 10;

  v1::ReportRequest Request(const std::string& body) const {
    v1::ReportRequest request;
    v1::ReportItem& item = *request.add_items();
    item.set_lease_id(lease_);
    item.set_outcome(outcome_);
    if (outcome_ == v1::OUTCOME_UNSPECIFIED && !status_.has_value()) {
      item.set_outcome(v1::OUTCOME_NETWORK_ERROR);
    }
    item.set_http_status(static_cast<int32_t>(status_.value_or(0)));
    item.set_error_code(error_code_);
    item.mutable_headers()->Assign(headers_.begin(), headers_.end());
    item.set_body_excerpt(body);
    item.set_network_error(network_error_);
    item.set_early(early_);
    item.set_material_version(version_.value_or(0));
    return request;
  }

  static void Print(Context& context, const v1::ReportResult& result) {
    Facts facts;
    facts.Add("report", Word(result.disposition()));
    facts.Add("credential", result.credential_id());
    facts.Add("outcome", Word(result.outcome()));
    facts.Add("advice", Word(result.advice()));
    facts.Add("state", StateCell(result.state()));
    facts.Add("cause", Word(result.cause()));
    facts.Add("recovers", AbsoluteIf(result.has_next_recover_time(), result.next_recover_time(),
                                     context.now()));
    facts.Print(context.out(), context.style());
  }

  std::string lease_;
  std::optional<int64_t> status_;
  std::vector<v1::Header> headers_;
  v1::Outcome outcome_ = v1::OUTCOME_UNSPECIFIED;
  std::string error_code_;
  std::string body_;
  v1::NetworkErrorKind network_error_ = v1::NETWORK_ERROR_KIND_UNSPECIFIED;
  bool early_ = false;
  std::optional<int64_t> version_;
};

}  // namespace

std::unique_ptr<Command> NewReport() { return std::make_unique<Report>(); }

}  // namespace credbroker::ctl
