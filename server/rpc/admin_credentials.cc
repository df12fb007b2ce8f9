// One credential at a time: create, read, update, delete, intent, reset.
#include <memory>
#include <utility>

#include "server/rpc/admin_service.h"
#include "server/rpc/convert.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {

grpc::Status AdminService::CheckToken(const std::string& id,
                                      const core::SecretMaterial& secret) const {
  if (secret.refresh_token.empty() || !options_.tokens.check) return grpc::Status::OK;
  return options_.tokens.check(id, secret.refresh_token);
}

void AdminService::OwnToken(const std::string& id, const core::SecretMaterial* secret) const {
  if (secret == nullptr || secret->refresh_token.empty() || !options_.tokens.own) return;
  options_.tokens.own(id, secret->refresh_token);
}

void AdminService::Create(const CallInfo& info,
                          To<v1::CreateCredentialRequest, v1::Credential> responder) {
  const v1::CreateCredentialRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  engine::CreateRequest create;
  create.caller = CallerOf(info, request.request_id());
  auto document = ToDocument(request.credential(), KindOf(request.secret()));
  if (!document.ok()) return responder.Finish(FromAbsl(document.status()));
  create.document = *std::move(document);
  create.secret = ToSecret(request.secret());
  const std::string id = create.document->id;
  if (grpc::Status status = CheckToken(id, *create.secret); !status.ok()) {
    return responder.Finish(status);
  }
  if (request.credential().intent().disabled()) {
    const v1::Intent& wanted = request.credential().intent();
    core::Intent intent;
    intent.enabled = false;
    intent.actor = create.caller.actor;
    intent.reason = wanted.reason();
    intent.since = engine_.Now();
    if (wanted.has_until()) intent.until = ToTime(wanted.until());
    if (intent.until.has_value() && *intent.until <= intent.since) {
      return responder.Finish(BadField("credential.intent.until", "must be in the future"));
    }
    create.intent = std::move(intent);
  }
  const auto secret = create.secret;
  engine_.Create(std::move(create),
                 [this, responder, id, secret](absl::StatusOr<core::CredentialView> view) {
                   if (!view.ok()) return responder.Finish(FromAbsl(view.status()));
                   OwnToken(id, secret.get());
                   FillCredential(*view, true, &responder.reply());
                   responder.Finish();
                 });
}

void AdminService::Update(const CallInfo& info,
                          To<v1::UpdateCredentialRequest, v1::Credential> responder) {
  const v1::UpdateCredentialRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  engine::UpdateRequest update;
  update.caller = CallerOf(info, request.request_id());
  update.id = request.credential().id();
  update.etag = request.credential().etag();
  if (!request.update_mask().paths().empty()) {
    // The request lives until the answer, and the patch runs before it.
    update.patch = [&request](core::Document& document) {
      return PatchDocument(request.credential(), request.update_mask(), document);
    };
  }
  if (request.has_secret()) update.secret = ToSecret(request.secret());
  const std::string id = update.id;
  const auto secret = update.secret;
  if (secret != nullptr) {
    if (grpc::Status status = CheckToken(id, *secret); !status.ok()) {
      return responder.Finish(status);
    }
  }
  engine_.Update(std::move(update),
                 [this, responder, id, secret](absl::StatusOr<core::CredentialView> view) {
                   if (!view.ok()) return responder.Finish(FromAbsl(view.status()));
                   OwnToken(id, secret.get());
                   FillCredential(*view, true, &responder.reply());
                   responder.Finish();
                 });
}

void AdminService::Delete(const CallInfo& info,
                          To<v1::DeleteCredentialRequest, v1::DeleteCredentialResponse> responder) {
  const v1::DeleteCredentialRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  engine::DeleteRequest remove{.caller = CallerOf(info, request.request_id()),
                               .id = request.id(),
                               .etag = request.etag(),
                               .allow_missing = request.allow_missing()};
  engine_.Delete(std::move(remove), [this, responder](absl::StatusOr<engine::DeleteResult> result) {
    if (!result.ok()) return responder.Finish(FromAbsl(result.status()));
    v1::DeleteCredentialResponse& reply = responder.reply();
    reply.set_batch_id(result->batch_id);
    // Tombstones live for 24 h.
    if (!result->batch_id.empty()) {
      SetTime(engine_.Now() + absl::Hours(24), reply.mutable_tombstone_expire_time());
    }
    responder.Finish();
  });
}

void AdminService::Get(const CallInfo&, To<v1::GetCredentialRequest, v1::Credential> responder) {
  if (grpc::Status status = Validate(responder.request()); !status.ok()) {
    return responder.Finish(status);
  }
  // Older lines of the history are read from the store.
  Defer(responder, [this, responder] {
    const std::string& id = responder.request().id();
    const std::optional<core::CredentialView> view = engine_.Get(id);
    if (!view.has_value()) {
      return responder.Finish(
          Error(v1::ERROR_REASON_NO_SUCH_CREDENTIAL, "no such credential", {{"id", id}}));
    }
    FillCredential(*view, true, &responder.reply());
    if (const auto written = engine_.ReadSecretTime(id); written.ok()) {
      SetTime(*written, responder.reply().mutable_status()->mutable_material_time());
    }
    uint64_t oldest = view->history.empty() ? UINT64_MAX : view->history.back().line.number;
    // A store that does not answer costs the old lines, not the call.
    if (const auto older = engine_.ReadHistory(id); older.ok()) {
      for (const core::TransitionView& line : *older) {
        if (line.line.number >= oldest) continue;
        oldest = line.line.number;
        FillTransition(line, responder.reply().mutable_status()->add_history());
      }
    }
    responder.Finish();
  });
}

void AdminService::Disable(const CallInfo& info,
                           To<v1::DisableRequest, v1::DisableResponse> responder) {
  const v1::DisableRequest& request = responder.request();
  if (grpc::Status status = Validate(request, engine_.Now()); !status.ok()) {
    return responder.Finish(status);
  }
  engine::IntentRequest intent{.caller = CallerOf(info, request.request_id()),
                               .id = request.id(),
                               .etag = request.etag(),
                               .enabled = false,
                               .reason = request.reason()};
  if (request.has_until()) intent.until = ToTime(request.until());
  const bool wait = request.wait() && options_.sessions != nullptr;
  engine_.SetIntent(
      std::move(intent), [this, responder, wait](absl::StatusOr<engine::IntentResult> result) {
        if (!result.ok()) return responder.Finish(FromAbsl(result.status()));
        FillCredential(result->view, false, responder.reply().mutable_credential());
        responder.reply().set_live_leases(static_cast<int32_t>(result->view.in_flight));
        if (!wait) return responder.Finish();
        // Every session that knows it was told before we were.
        options_.sessions->WhenSettled(result->view.uid, [responder] { responder.Finish(); });
      });
}

void AdminService::Enable(const CallInfo& info,
                          To<v1::EnableRequest, v1::EnableResponse> responder) {
  const v1::EnableRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  engine::IntentRequest intent{.caller = CallerOf(info, request.request_id()),
                               .id = request.id(),
                               .etag = request.etag(),
                               .enabled = true};
  engine_.SetIntent(std::move(intent), [responder](absl::StatusOr<engine::IntentResult> result) {
    if (!result.ok()) return responder.Finish(FromAbsl(result.status()));
    FillCredential(result->view, false, responder.reply().mutable_credential());
    responder.reply().set_remaining_cause(ToProto(result->remaining));
    responder.Finish();
  });
}

void AdminService::Reset(
    const CallInfo& info,
    To<v1::ResetAvailabilityRequest, v1::ResetAvailabilityResponse> responder) {
  const v1::ResetAvailabilityRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  engine::ResetRequest reset{.caller = CallerOf(info, request.request_id()), .id = request.id()};
  engine_.Reset(std::move(reset), [responder](absl::StatusOr<engine::ResetResult> result) {
    if (!result.ok()) return responder.Finish(FromAbsl(result.status()));
    FillCredential(result->view, false, responder.reply().mutable_credential());
    responder.reply().set_cleared_records(result->cleared_records);
    responder.reply().set_remaining_cause(ToProto(result->remaining));
    responder.Finish();
  });
}

}  // namespace credbroker::rpc
