// disable, enable, reset.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

// "available", or "still waiting: rate_limited, recovers in 29 s".
std::string StateNow(const v1::Credential& credential, v1::Cause remaining, absl::Time now) {
  const v1::CredentialStatus& status = credential.status();
  std::string text = StateCell(status).text;
  if (remaining != v1::CAUSE_UNSPECIFIED) {
    text = absl::StrCat("still ", text, ": ", Word(remaining));
    if (status.has_next_recover_time()) {
      absl::StrAppend(&text, ", recovers ", Relative(ToTime(status.next_recover_time()), now));
    }
  }
  return text;
}

// Over several ids: one call each; a failure of one does not stop the others.
class PerId : public Command {
 public:
  void AddFlags(FlagSet& flags) override {
    flags.Texts("ID", "ID", &ids_, "a credential's id").Required();
    AddMore(flags);
  }

  absl::Status Run(Context& context) override {
    if (const absl::Status status = Check(ids_.size()); !status.ok()) return status;
    for (const std::string& id : ids_) {
      const absl::Status status = RunOne(context, id);
      if (status.ok()) {
        context.ItemDone();
      } else {
        context.ItemFailed(id, status);
      }
    }
    return absl::OkStatus();
  }

 protected:
  virtual void AddMore(FlagSet& flags) { (void)flags; }
  virtual absl::Status Check(size_t ids) const {
    (void)ids;
    return absl::OkStatus();
  }
  virtual absl::Status RunOne(Context& context, const std::string& id) = 0;

 private:
  std::vector<std::string> ids_;
};

absl::Status OneEtag(const std::string& etag, size_t ids) {
  if (!etag.empty() && ids > 1) return absl::InvalidArgumentError("--etag: goes with one ID only");
  return absl::OkStatus();
}

class Disable final : public PerId {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {"disable",
                                          "Take credentials out of use until enabled again",
                                          "Live leases go on until they end; --wait answers once "
                                          "no session hands it out any more.",
                                          "disable team/alice --reason 'rotating the key'\n"
                                          "disable team/alice team/bob --until 2h\n"
                                          "disable team/alice --until 2026-12-24T08:00:00Z"};
    return kInfo;
  }

 protected:
  void AddMore(FlagSet& flags) override {
    flags.When("--until", &until_, "enabled again by itself then: a span such as 2h, or RFC 3339");
    flags.Text("--reason", "TEXT", &reason_, "for people, at most 512 bytes");
    flags.Switch("--wait", &wait_, "answer when no session hands it out any more");
    flags.Text("--etag", "ETAG", &etag_, "only if it is the current one");
  }
  absl::Status Check(size_t ids) const override { return OneEtag(etag_, ids); }

  absl::Status RunOne(Context& context, const std::string& id) override {
    v1::DisableRequest request;
    request.set_id(id);
    request.set_reason(reason_);
    request.set_etag(etag_);
    request.set_wait(wait_);
    if (until_.has_value()) FromTime(until_->At(context.now()), request.mutable_until());
    // Sessions that cannot be heard are lost after their ttl, 60 s at most.
    const auto response = context.Call(context.admin(), &v1::AdminService::Stub::Disable, request,
                                       wait_ ? absl::Seconds(75) : kCallTimeout);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
      return absl::OkStatus();
    }
    const v1::Intent& intent = response->credential().intent();
    context.out() << Printable(id) << ": " << Paint("disabled", Color::kRed, context.style());
    if (intent.has_until()) {
      context.out() << " until " << Absolute(ToTime(intent.until()), context.now());
    }
    if (response->live_leases() > 0) {
      context.out() << ", " << Count(response->live_leases()) << " live lease"
                    << (response->live_leases() == 1 ? "" : "s");
    }
    context.out() << '\n';
    return absl::OkStatus();
  }

 private:
  std::optional<Moment> until_;
  std::string reason_;
  bool wait_ = false;
  std::string etag_;
};

class Enable final : public PerId {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "enable", "Allow credentials to be used",
        "Sets the operator's intent, nothing else; what still keeps one from being used is shown.",
        "enable team/alice\nenable team/alice team/bob"};
    return kInfo;
  }

 protected:
  void AddMore(FlagSet& flags) override {
    flags.Text("--etag", "ETAG", &etag_, "only if it is the current one");
  }
  absl::Status Check(size_t ids) const override { return OneEtag(etag_, ids); }

  absl::Status RunOne(Context& context, const std::string& id) override {
    v1::EnableRequest request;
    request.set_id(id);
    request.set_etag(etag_);
    const auto response = context.Call(context.admin(), &v1::AdminService::Stub::Enable, request);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
    } else {
      context.out() << Printable(id) << ": enabled, "
                    << StateNow(response->credential(), response->remaining_cause(), context.now())
                    << '\n';
    }
    return absl::OkStatus();
  }

 private:
  std::string etag_;
};

class Reset final : public PerId {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "reset", "Clear cooldowns and 'disabled by policy'",
        "Never clears an operator's disable nor 'must log in again'.", "reset team/alice"};
    return kInfo;
  }

 protected:
  absl::Status RunOne(Context& context, const std::string& id) override {
    v1::ResetAvailabilityRequest request;
    request.set_id(id);
    const auto response =
        context.Call(context.admin(), &v1::AdminService::Stub::ResetAvailability, request);
    if (!response.ok()) return response.status();
    if (context.json()) {
      context.PrintJson(*response);
    } else {
      context.out() << Printable(id) << ": " << Count(response->cleared_records())
                    << (response->cleared_records() == 1 ? " record" : " records") << " cleared, "
                    << StateNow(response->credential(), response->remaining_cause(), context.now())
                    << '\n';
    }
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Command> NewDisable() { return std::make_unique<Disable>(); }
std::unique_ptr<Command> NewEnable() { return std::make_unique<Enable>(); }
std::unique_ptr<Command> NewReset() { return std::make_unique<Reset>(); }

}  // namespace credbroker::ctl
