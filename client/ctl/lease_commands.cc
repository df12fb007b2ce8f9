// acquire, renew, release.
#include <optional>
#include <string>
#include <vector>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include "absl/strings/str_cat.h"

#include "client/ctl/acquire_flags.h"
#include "client/ctl/command.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

class Acquire final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "acquire", "Lease a credential for one upstream attempt",
        "Tables name the request headers and hide their values; -o json is the whole Grant, "
        "secrets\n"
        "included (values of headers are base64). Report the outcome, or release the lease.",
        "acquire --provider claude --model claude-sonnet-4\n"
        "acquire --provider claude --provider openai --session user-7 --max-wait 5s\n"
        "acquire --pin team/alice --show-secrets\n"
        "-o json acquire --provider openai | jq -r .leaseId"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    acquire_.AddSelection(flags);
    acquire_.AddLease(flags);
    flags.Switch("--show-secrets", &show_secrets_, "print the headers' values and the proxy");
  }

  absl::Status Run(Context& context) override {
    const auto request = acquire_.Request();
    if (!request.ok()) return request.status();
    const auto grant = context.Call(context.broker(), &v1::BrokerService::Stub::Acquire, *request,
                                    kCallTimeout + acquire_.max_wait());
    if (!grant.ok()) return grant.status();
    if (context.json()) {
      context.PrintJson(*grant);
    } else {
      Print(context, *grant);
    }
    return absl::OkStatus();
  }

 private:
  void Print(Context& context, const v1::Grant& grant) const {
    const absl::Time now = context.now();
    Facts facts;
    facts.Add("lease", grant.lease_id());
    facts.Add("credential", grant.credential_id());
    facts.Add("group", grant.group());
    facts.Add("provider", grant.provider());
    facts.Add("kind", Word(grant.kind()));
    facts.Add("model", grant.model());
    facts.Add("expires", AbsoluteIf(grant.has_expire_time(), grant.expire_time(), now));
    facts.Add("secret expires",
              AbsoluteIf(grant.has_material_expire_time(), grant.material_expire_time(), now));
    facts.Add("base url", grant.base_url());
    facts.Add("proxy", show_secrets_ ? grant.proxy_url() : WithoutPassword(grant.proxy_url()));
    for (const v1::Header& header : grant.request_headers()) {
      facts.Add("header",
                header.name() + ": " + (show_secrets_ ? header.value() : "*** (--show-secrets)"));
    }
    for (const auto& [name, value] : grant.attributes().fields()) {
      std::string json;
      if (google::protobuf::util::MessageToJsonString(value, &json).ok()) {
        facts.Add("attribute", absl::StrCat(name, ": ", json));
      }
    }
    if (grant.probe()) {
      facts.Add("probe", Cell("yes: half-open; report soon", Color::kYellow));
    }
    if (grant.session_rebound()) facts.Add("session", "moved here from another credential");
    facts.Add("request id", grant.request_id());
    if (grant.has_waited() && ToDuration(grant.waited()) > absl::ZeroDuration()) {
      facts.Add("waited", SpanWords(ToDuration(grant.waited())));
    }
    facts.Print(context.out(), context.style());
  }

  AcquireFlags acquire_;
  bool show_secrets_ = false;
};

class Renew final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {"renew", "Move a lease's expiry to now + ttl", "",
                                          "renew LEASE\nrenew LEASE --ttl 10m"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("LEASE", "LEASE", &lease_, "the lease's id").Required();
    flags.Span("--ttl", &ttl_, "from now, 1s to 1h; default 2m");
  }

  absl::Status Run(Context& context) override {
    v1::RenewRequest request;
    request.set_lease_id(lease_);
    if (ttl_.has_value()) FromDuration(*ttl_, request.mutable_ttl());
    const auto response = context.Call(context.broker(), &v1::BrokerService::Stub::Renew, request);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
    } else {
      context.out() << "expires " << Absolute(ToTime(response->expire_time()), context.now())
                    << '\n';
    }
    return absl::OkStatus();
  }

 private:
  std::string lease_;
  std::optional<absl::Duration> ttl_;
};

class Release final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "release", "End leases without an outcome",
        "Neither success nor failure. A lease that had ended, or never was, is no error.",
        "release LEASE\nrelease LEASE1 LEASE2"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Texts("LEASE", "LEASE", &leases_, "a lease's id").Required();
  }

  absl::Status Run(Context& context) override {
    for (const std::string& lease : leases_) {
      v1::ReleaseRequest request;
      request.set_lease_id(lease);
      const auto response =
          context.Call(context.broker(), &v1::BrokerService::Stub::Release, request);
      if (!response.ok()) {
        context.ItemFailed(lease, response.status());
        continue;
      }
      context.ItemDone();
      if (context.json()) {
        context.PrintJson(*response);
      } else {
        context.out() << (response->released() ? "released\n" : "it had ended already\n");
      }
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::string> leases_;
};

}  // namespace

std::unique_ptr<Command> NewAcquire() { return std::make_unique<Acquire>(); }
std::unique_ptr<Command> NewRenew() { return std::make_unique<Renew>(); }
std::unique_ptr<Command> NewRelease() { return std::make_unique<Release>(); }

}  // namespace credbroker::ctl
