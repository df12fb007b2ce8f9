// Between protobuf and the core: the only place that knows both. Everything here expects requests
// that validate.h passed.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_SERVER_RPC_CONVERT_H_
#define CREDBROKER_SERVER_RPC_CONVERT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/command.h"
#include "core/view.h"
#include "credbroker/v1/admin.pb.h"
#include "credbroker/v1/broker.pb.h"
#include "server/engine/engine.h"

namespace credbroker::rpc {

// --- enums and times ---
v1::CredentialKind ToProto(core::Kind kind);
v1::CredentialState ToProto(core::State state);
v1::AuthHealth ToProto(core::AuthHealth health);
v1::Cause ToProto(core::Cause cause);
v1::Advice ToProto(core::Advice advice);
v1::Outcome ToProto(core::Outcome outcome);
v1::FailureScope ToProto(core::Scope scope);
v1::FailureAction ToProto(core::Action action);
v1::TransitionReason ToProto(core::Why why);
v1::ReportDisposition ToProto(core::Disposition disposition);
std::optional<core::Kind> ToKind(v1::CredentialKind kind);  // unspecified: nothing
core::Outcome ToOutcome(v1::Outcome outcome);               // unspecified: kOther
void SetTime(absl::Time time, google::protobuf::Timestamp* out);
void SetSpan(absl::Duration span, google::protobuf::Duration* out);
std::string UidText(core::Uid uid);

// --- data plane (convert_broker.cc) ---

// A command over a request, without a copy of its text. Borrows from both arguments.
class AcquireArguments {
 public:
  // `longest_wait`: what the call's deadline leaves for max_wait.
  AcquireArguments(const v1::AcquireRequest& request, absl::string_view principal,
                   absl::Duration longest_wait);
  AcquireArguments(const AcquireArguments&) = delete;
  AcquireArguments& operator=(const AcquireArguments&) = delete;
  const core::AcquireCommand& command() const { return command_; }

 private:
  // Room for what most calls have: none of them needs memory.
  absl::InlinedVector<absl::string_view, 4> providers_;
  absl::InlinedVector<absl::string_view, 8> excluded_;
  absl::InlinedVector<std::pair<absl::string_view, absl::string_view>, 8> labels_;
  core::AcquireCommand command_;
};

struct GrantExtras {
  absl::string_view lease_id;
  absl::string_view default_base_url;  // of the provider; empty: none
  uint64_t epoch = 0;
  absl::Duration waited;
};
void FillGrant(const v1::AcquireRequest& request, const core::Grant& grant,
               const GrantExtras& extras, v1::Grant* out);

// Borrows from `item`; `headers` is the room its header list needs.
using HeaderList = std::vector<std::pair<std::string, std::string>>;
HeaderList ToHeaders(const google::protobuf::RepeatedPtrField<v1::Header>& headers);
engine::ReportItem ToReportItem(const v1::ReportItem& item, const HeaderList& headers);
void FillResult(const v1::ReportItem& item, const core::ReportReply& reply, v1::ReportResult* out);

// --- control plane (convert_admin.cc, convert_document.cc) ---

// Without history unless `with_history`. Values of headers that authenticate and the password of a
// proxy are shown as "***".
void FillCredential(const core::CredentialView& view, bool with_history, v1::Credential* out);
void FillTransition(const core::TransitionView& view, v1::Transition* out);
// INVALID_ARGUMENT where attributes are no JSON object that can be kept.
absl::StatusOr<std::shared_ptr<const core::Document>> ToDocument(const v1::Credential& credential,
                                                                 core::Kind kind);
// Sets the fields the mask names. "***" keeps what is stored. Errors as ToDocument.
absl::Status PatchDocument(const v1::Credential& credential,
                           const google::protobuf::FieldMask& mask, core::Document& document);
std::shared_ptr<const core::SecretMaterial> ToSecret(const v1::SecretMaterial& secret);
// The kind a secret speaks for where the request names none.
core::Kind KindOf(const v1::SecretMaterial& secret);
engine::BatchOperation ToOperation(const v1::BatchOperation& operation);
void FillItem(const engine::BatchItem& item, v1::BatchItemResult* out);
v1::Verdict ToProto(core::Candidacy candidacy, core::Cause cause);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_CONVERT_H_
