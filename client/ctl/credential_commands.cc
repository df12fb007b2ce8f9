// create, update, delete.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/command.h"
#include "client/ctl/credential_input.h"
#include "client/ctl/display.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

void PrintSaved(Context& context, const char* what, const v1::Credential& credential) {
  if (context.json()) {
    context.PrintJson(credential);
    return;
  }
  const Cell state = StateCell(credential.status());
  context.out() << Printable(credential.id()) << ": " << what << ", "
                << Paint(state.text, state.color, context.style()) << ", secret version "
                << credential.status().material_version() << '\n';
}

void WarnOfOwnership(Context& context, const std::optional<v1::SecretMaterial>& secret) {
  if (secret.has_value() && !secret->refresh_token().empty()) {
    context.err() << "WARNING: the broker now owns this refresh token. Whatever else still uses it "
                     "must stop.\n";
  }
}

class Create final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "create", "Create a credential",
        "Secrets come from files or standard input ('-'), never from the command line.",
        "create team/key-1 --provider openai --api-key-file key.txt --label tier=paid\n"
        "create team/alice --provider claude --secret-file - < secret.json"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("ID", "ID", &id_, "unique in the broker").Required();
    flags.Text("--provider", "NAME", &provider_, "the provider; or in --from");
    document_.AddFlags(flags);
    secret_.AddFlags(flags);
    flags.Switch("--disabled", &disabled_, "starts disabled");
    flags.Text("--request-id", "TEXT", &request_id_, "makes the call repeatable");
  }

  absl::Status Run(Context& context) override {
    auto document = document_.Read(context);
    if (!document.ok()) return document.status();
    auto secret = secret_.Read(context);
    if (!secret.ok()) return secret.status();
    if (!secret->has_value()) {
      return absl::InvalidArgumentError(
          "--secret-file or --api-key-file (or another ...-file) is "
          "required: a credential needs a secret");
    }
    v1::CreateCredentialRequest request;
    *request.mutable_credential() = std::move(document->credential);
    request.mutable_credential()->set_id(id_);
    if (!provider_.empty()) request.mutable_credential()->set_provider(provider_);
    if (request.credential().provider().empty()) {
      return absl::InvalidArgumentError("--provider: is required");
    }
    if (disabled_) request.mutable_credential()->mutable_intent()->set_disabled(true);
    *request.mutable_secret() = **secret;
    request.set_request_id(request_id_);
    const auto credential =
        context.Call(context.admin(), &v1::AdminService::Stub::CreateCredential, request);
    if (!credential.ok()) return credential.status();
    PrintSaved(context, "created", *credential);
    WarnOfOwnership(context, *secret);
    return absl::OkStatus();
  }

 private:
  std::string id_;
  std::string provider_;
  DocumentInput document_;
  SecretInput secret_;
  bool disabled_ = false;
  std::string request_id_;
};

class Update final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "update", "Change a credential's document or secret",
        "Only what is given changes. A document of --from with an etag is taken only while that "
        "etag\n"
        "is the current one. Enable, disable and batch change the operator's intent.",
        "update team/alice --priority 5 --note 'paid plan'\n"
        "update team/alice --clear note --clear labels\n"
        "update team/alice --api-key-file new-key.txt\n"
        "update team/alice --from edited.json"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("ID", "ID", &id_, "the credential").Required();
    document_.AddFlags(flags);
    flags.Texts("--clear", "FIELD", &clear_, "clear a field, e.g. note or labels.tier");
    secret_.AddFlags(flags);
    flags.Text("--etag", "ETAG", &etag_, "only if it is the current one");
    flags.Text("--request-id", "TEXT", &request_id_, "makes the call repeatable");
  }

  absl::Status Run(Context& context) override {
    auto document = document_.Read(context);
    if (!document.ok()) return document.status();
    const auto secret = secret_.Read(context);
    if (!secret.ok()) return secret.status();
    v1::UpdateCredentialRequest request;
    *request.mutable_credential() = std::move(document->credential);
    request.mutable_credential()->set_id(id_);
    if (!etag_.empty()) request.mutable_credential()->set_etag(etag_);
    for (const std::string& field : clear_) {
      if (document->fields.count(field) > 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("--clear: '", field, "' is also given a value"));
      }
      document->fields.insert(field);
    }
    for (const std::string& field : document->fields)
      request.mutable_update_mask()->add_paths(field);
    if (secret->has_value()) *request.mutable_secret() = **secret;
    if (document->fields.empty() && !secret->has_value()) {
      return absl::InvalidArgumentError("nothing to change: give a field, --clear or a secret");
    }
    request.set_request_id(request_id_);
    const auto credential =
        context.Call(context.admin(), &v1::AdminService::Stub::UpdateCredential, request);
    if (!credential.ok()) return credential.status();
    PrintSaved(context, "updated", *credential);
    WarnOfOwnership(context, *secret);
    return absl::OkStatus();
  }

 private:
  std::string id_;
  DocumentInput document_;
  std::vector<std::string> clear_;
  SecretInput secret_;
  std::string etag_;
  std::string request_id_;
};

class Delete final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "delete", "Delete credentials and revoke their leases",
        "'batch undo' brings one back for 24 hours.",
        "delete team/alice\ndelete team/alice team/bob --allow-missing"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Texts("ID", "ID", &ids_, "a credential's id").Required();
    flags.Text("--etag", "ETAG", &etag_, "only if it is the current one");
    flags.Switch("--allow-missing", &allow_missing_, "a missing credential is no error");
    flags.Text("--request-id", "TEXT", &request_id_, "makes the call repeatable");
  }

  absl::Status Run(Context& context) override {
    if (ids_.size() > 1 && !(etag_.empty() && request_id_.empty())) {
      return absl::InvalidArgumentError(
          absl::StrCat(etag_.empty() ? "--request-id" : "--etag", ": goes with one ID only"));
    }
    for (const std::string& id : ids_) {
      v1::DeleteCredentialRequest request;
      request.set_id(id);
      request.set_etag(etag_);
      request.set_allow_missing(allow_missing_);
      request.set_request_id(request_id_);
      const auto response =
          context.Call(context.admin(), &v1::AdminService::Stub::DeleteCredential, request);
      if (!response.ok()) {
        context.ItemFailed(id, response.status());
        continue;
      }
      context.ItemDone();
      if (context.json()) {
        context.PrintJson(*response);
      } else if (response->batch_id().empty()) {
        context.out() << Printable(id) << ": there was nothing to delete\n";
      } else {
        context.out() << Printable(id) << ": deleted; undo within 24 h: credbrokerctl batch undo "
                      << Printable(response->batch_id()) << '\n';
      }
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::string> ids_;
  std::string etag_;
  bool allow_missing_ = false;
  std::string request_id_;
};

}  // namespace

std::unique_ptr<Command> NewCreate() { return std::make_unique<Create>(); }
std::unique_ptr<Command> NewUpdate() { return std::make_unique<Update>(); }
std::unique_ptr<Command> NewDelete() { return std::make_unique<Delete>(); }

}  // namespace credbroker::ctl
