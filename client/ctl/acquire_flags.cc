#include "client/ctl/acquire_flags.h"

#include "client/ctl/words.h"

namespace credbroker::ctl {

void AcquireFlags::AddSelection(FlagSet& flags) {
  flags.Texts("--provider", "NAME", &providers_, "a provider that would do");
  flags.Text("--model", "NAME", &model_, "the model the user asked for");
  flags.Text("--group", "NAME", &group_, "default \"default\"");
  flags.Text("--session", "KEY", &session_, "calls with one key go to one credential");
  flags.Text("--pin", "ID", &pin_, "only this credential");
  flags.Texts("--exclude", "ID", &excluded_, "never this credential");
  flags.EnumChoice("--kind", "KIND", &kind_, "only this kind");
  flags.Pairs("--label", &labels_, "only credentials with this label");
}

void AcquireFlags::AddLease(FlagSet& flags) {
  flags.Text("--request-id", "TEXT", &request_id_, "makes the call repeatable");
  flags.Span("--ttl", &ttl_, "life of the lease without renew, 1s to 1h; default 2m");
  flags.Span("--max-wait", &max_wait_, "wait so long for a credential, at most 60s; default 0s");
}

absl::StatusOr<v1::AcquireRequest> AcquireFlags::Request() const {
  if (providers_.empty() && pin_.empty()) {
    return absl::InvalidArgumentError("--provider or --pin is required");
  }
  v1::AcquireRequest request;
  request.set_group(group_);
  request.mutable_providers()->Assign(providers_.begin(), providers_.end());
  request.set_model(model_);
  request.set_session_key(session_);
  request.set_credential_id(pin_);
  request.mutable_excluded_credential_ids()->Assign(excluded_.begin(), excluded_.end());
  request.set_kind(kind_);
  *request.mutable_labels() = labels_;
  request.set_request_id(request_id_);
  if (ttl_.has_value()) FromDuration(*ttl_, request.mutable_ttl());
  if (max_wait_.has_value()) FromDuration(*max_wait_, request.mutable_max_wait());
  return request;
}

}  // namespace credbroker::ctl
