#include "server/engine/commands.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/engine/edit_work.h"
#include "server/engine/etag.h"
#include "server/engine/ledger_commands.h"
#include "server/engine/random_id.h"

namespace credbroker::engine {
namespace {

using core::CredentialView;
using core::Edit;
using core::SecretMaterial;
using store::RowKind;

absl::Status Missing(absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("no credential '", id, "'"));
}

// The condition an etag makes; a text that is no etag never matches.
absl::Status Expect(const std::string& etag, Edit& edit) {
  if (etag.empty()) return absl::OkStatus();
  const std::optional<Etag> parsed = ParseEtag(etag);
  if (!parsed) return absl::AbortedError("etag: it is not the current one");
  edit.expect_uid = parsed->uid;
  edit.expect_revision = parsed->revision;
  return absl::OkStatus();
}

// What is stored of the secret of `id`, merged with `given`. The caller is alone with the row.
absl::StatusOr<std::shared_ptr<const SecretMaterial>> MergeWithStored(const WorkContext& context,
                                                                      absl::string_view id,
                                                                      const SecretMaterial& given) {
  absl::StatusOr<CredentialView> view = ViewOf(context, id);
  if (!view.ok()) return view.status();
  absl::StatusOr<store::SecretEntry> stored =
      ReadSecret(*context.store, *context.sealer, *view->document);
  if (stored.ok()) return MergeSecrets(stored->secret.get(), given);
  if (absl::IsUnavailable(stored.status())) return stored.status();
  // None, or one that cannot be opened: a new one is the only repair.
  return MergeSecrets(nullptr, given);
}

class CreateWork : public EditWork {
 public:
  CreateWork(CreateRequest request, Done<CredentialView> done)
      : EditWork(request.caller, "Create"), request_(std::move(request)), done_(std::move(done)) {
    AddRow(request_.document->id);
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView* view,
                                               absl::Time now) override {
    if (view != nullptr) {
      return absl::AlreadyExistsError(
          absl::StrCat("there is a credential '", request_.document->id.view(), "'"));
    }
    auto document = std::make_shared<core::Document>(*request_.document);
    document->create_time = now;
    document->revision = 1;
    Edit edit{.op = Edit::Op::kCreate, .why = core::Why::kCreated};
    edit.document = std::move(document);
    edit.secret = request_.secret;
    edit.intent = request_.intent;
    if (edit.intent) {
      edit.intent->actor = caller().actor;
      edit.intent->since = now;
    }
    return edit;
  }
  void Answer(const WorkContext& context, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    std::move(done_)(ViewOf(context, request_.document->id));
  }

  const CreateRequest request_;
  Done<CredentialView> done_;
};

class UpdateWork : public EditWork {
 public:
  UpdateWork(UpdateRequest request, Done<CredentialView> done)
      : EditWork(request.caller, "Update"), request_(std::move(request)), done_(std::move(done)) {
    AddRow(request_.id);
  }

  absl::Status Read(const WorkContext& context) override {
    if (request_.secret == nullptr) return absl::OkStatus();
    auto merged = MergeWithStored(context, request_.id, *request_.secret);
    if (!merged.ok()) return merged.status();
    secret_ = *std::move(merged);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView* view,
                                               absl::Time) override {
    if (view == nullptr) return Missing(request_.id);
    Edit edit{.op = Edit::Op::kUpdate, .why = core::Why::kUpdated};
    if (absl::Status expected = Expect(request_.etag, edit); !expected.ok()) return expected;
    if (request_.patch) {
      auto document = std::make_shared<core::Document>(*view->document);
      if (absl::Status patched = request_.patch(*document); !patched.ok()) return patched;
      if (document->id != request_.id) return absl::InvalidArgumentError("id: it cannot change");
      edit.document = std::move(document);
    }
    if (secret_ != nullptr) {
      edit.secret = secret_;
      if (edit.document == nullptr) edit.why = core::Why::kSecretReplaced;
    }
    return edit;
  }
  absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) override {
    if (tasks().front().row) BuildSpent(context, request_.spent, writes);
    return absl::OkStatus();
  }
  void Note(const WorkContext& context) override {
    if (tasks().front().row) NoteSpent(context, request_.spent);
  }
  void Answer(const WorkContext& context, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    std::move(done_)(ViewOf(context, request_.id));
  }

  const UpdateRequest request_;
  std::shared_ptr<const SecretMaterial> secret_;
  Done<CredentialView> done_;
};

class DeleteWork : public EditWork {
 public:
  DeleteWork(DeleteRequest request, Done<DeleteResult> done)
      : EditWork(request.caller, "Delete"), request_(std::move(request)), done_(std::move(done)) {
    AddRow(request_.id);
    batch_id_ = RandomId();
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView* view,
                                               absl::Time) override {
    Edit edit{.op = Edit::Op::kDelete, .why = core::Why::kDeleted};
    if (view == nullptr) {
      if (!request_.allow_missing) return Missing(request_.id);
      return std::optional<Edit>();
    }
    if (absl::Status expected = Expect(request_.etag, edit); !expected.ok()) return expected;
    return edit;
  }
  absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) override {
    const RowTask& task = tasks().front();
    if (!task.row) {
      batch_id_.clear();
      return absl::OkStatus();
    }
    store::BatchPart part;
    part.batch_id = batch_id_;
    part.time = prepared_at();
    part.actor = caller().actor;
    part.rows.push_back({.id = task.id, .uid = task.uid_before, .fields = {}, .deleted = true});
    writes.push_back(context.sealer->Put(RowKind::kBatch, batch_id_, store::EncodeBatch(part)));
    return absl::OkStatus();
  }
  void Note(const WorkContext& context) override {
    if (!batch_id_.empty()) context.ledger->AddBatch(batch_id_, {prepared_at(), 1});
  }
  void AnswerAgain(const WorkContext&, const store::RequestEntry& entry) override {
    std::move(done_)(DeleteResult{.batch_id = entry.batch_id});
  }
  void Answer(const WorkContext&, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    std::move(done_)(DeleteResult{.batch_id = batch_id_});
  }

  const DeleteRequest request_;
  Done<DeleteResult> done_;
};

class IntentWork : public EditWork {
 public:
  IntentWork(IntentRequest request, Done<IntentResult> done)
      : EditWork(request.caller, "SetIntent"),
        request_(std::move(request)),
        done_(std::move(done)) {
    AddRow(request_.id);
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView* view,
                                               absl::Time now) override {
    if (view == nullptr) return Missing(request_.id);
    if (!request_.enabled && request_.until && *request_.until <= now) {
      return absl::InvalidArgumentError("until: it must be in the future");
    }
    Edit edit{.op = Edit::Op::kUpdate,
              .why = request_.enabled ? core::Why::kEnabled : core::Why::kDisabled};
    core::Intent intent{.enabled = request_.enabled, .actor = caller().actor, .since = now};
    if (!request_.enabled) {
      intent.reason = request_.reason;
      intent.until = request_.until;
    }
    if (absl::Status expected = Expect(request_.etag, edit); !expected.ok()) return expected;
    const core::Intent& old = view->intent;
    if (old.enabled == intent.enabled && old.reason == intent.reason && old.until == intent.until &&
        request_.etag.empty()) {
      return std::optional<Edit>();  // as wanted: repeats do not count as edits
    }
    edit.intent = std::move(intent);
    return edit;
  }
  void Answer(const WorkContext& context, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    absl::StatusOr<CredentialView> view = ViewOf(context, request_.id);
    if (!view.ok()) return std::move(done_)(view.status());
    const core::Cause remaining = view->cause;
    std::move(done_)(IntentResult{.view = *std::move(view), .remaining = remaining});
  }

  const IntentRequest request_;
  Done<IntentResult> done_;
};

class ResetWork : public EditWork {
 public:
  ResetWork(ResetRequest request, Done<ResetResult> done)
      : EditWork(request.caller, "Reset"), request_(std::move(request)), done_(std::move(done)) {
    AddRow(request_.id);
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView* view,
                                               absl::Time) override {
    if (view == nullptr) return Missing(request_.id);
    records_ = view->records.size();
    Edit edit{.op = Edit::Op::kUpdate, .why = core::Why::kReset};
    edit.reset = true;
    return edit;
  }
  void Answer(const WorkContext& context, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    absl::StatusOr<CredentialView> view = ViewOf(context, request_.id);
    if (!view.ok()) return std::move(done_)(view.status());
    const size_t left = view->records.size();
    const core::Cause remaining = view->cause;
    std::move(done_)(
        ResetResult{.view = *std::move(view),
                    .cleared_records = records_ > left ? static_cast<int>(records_ - left) : 0,
                    .remaining = remaining});
  }

  const ResetRequest request_;
  size_t records_ = 0;
  Done<ResetResult> done_;
};

class ImportWork : public EditWork {
 public:
  ImportWork(ImportRequest request, Done<ImportResult> done)
      : EditWork(request.caller, "Import"), request_(std::move(request)), done_(std::move(done)) {
    for (const Edit& edit : request_.edits) AddRow(edit.id);
    for (const SourceDigest& digest : request_.digests) {
      AddKey(absl::StrCat("\nsource\n", digest.id));
    }
    result_.rows.resize(request_.edits.size());
    batch_id_ = RandomId();
  }

  absl::Status Read(const WorkContext& context) override {
    for (Edit& edit : request_.edits) {
      if (edit.op != Edit::Op::kUpdate || edit.secret == nullptr) continue;
      auto merged = MergeWithStored(context, edit.id, *edit.secret);
      if (merged.ok()) {
        edit.secret = *std::move(merged);
      } else if (!absl::IsNotFound(merged.status())) {  // the pool refuses that row by itself
        return merged.status();
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t index, const CredentialView*,
                                               absl::Time) override {
    return request_.edits[index];
  }
  bool retires() const override { return true; }
  absl::Status OnRefused(size_t index, const absl::Status& status) override {
    result_.rows[index] = status;
    return absl::OkStatus();
  }
  absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) override {
    // What was refused was not applied: its record would hide the file from the next import.
    absl::flat_hash_set<std::string> refused;
    for (size_t i = 0; i < request_.edits.size(); ++i) {
      if (!result_.rows[i].ok()) refused.insert(request_.edits[i].id);
    }
    for (const SourceDigest& digest : request_.digests) {
      if (refused.contains(digest.id)) continue;
      if (digest.value) {
        writes.push_back(context.sealer->Put(RowKind::kSourceDigest, digest.id, *digest.value));
      } else {
        writes.push_back(store::RecordSealer::Erase(RowKind::kSourceDigest, digest.id));
      }
    }
    return absl::OkStatus();
  }
  void Answer(const WorkContext&, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    std::move(done_)(std::move(result_));
  }

  ImportRequest request_;
  ImportResult result_;
  Done<ImportResult> done_;
};

}  // namespace

std::shared_ptr<const SecretMaterial> MergeSecrets(const SecretMaterial* stored,
                                                   const SecretMaterial& given) {
  auto merged = std::make_shared<SecretMaterial>();
  static const SecretMaterial none;
  const SecretMaterial& old = stored != nullptr ? *stored : none;
  using Field = core::Secret SecretMaterial::*;
  for (const Field field :
       {&SecretMaterial::access_token, &SecretMaterial::refresh_token, &SecretMaterial::id_token,
        &SecretMaterial::api_key, &SecretMaterial::client_secret, &SecretMaterial::service_account,
        &SecretMaterial::cookie}) {
    (*merged).*field = ((given.*field).empty() ? old.*field : given.*field).Clone();
  }
  for (const SecretMaterial* from : {&old, &given}) {
    for (const auto& [name, secret] : from->extra) {
      if (!secret.empty()) merged->extra[name] = secret.Clone();
    }
  }
  // The time belongs to the access token: a new token without one has none.
  merged->expire_time = given.expire_time;
  if (!given.expire_time && given.access_token.empty()) merged->expire_time = old.expire_time;
  merged->version = old.version;
  return merged;
}

std::unique_ptr<Work> NewCreate(CreateRequest request, Done<CredentialView> done) {
  return std::make_unique<CreateWork>(std::move(request), std::move(done));
}
std::unique_ptr<Work> NewUpdate(UpdateRequest request, Done<CredentialView> done) {
  return std::make_unique<UpdateWork>(std::move(request), std::move(done));
}
std::unique_ptr<Work> NewDelete(DeleteRequest request, Done<DeleteResult> done) {
  return std::make_unique<DeleteWork>(std::move(request), std::move(done));
}
std::unique_ptr<Work> NewSetIntent(IntentRequest request, Done<IntentResult> done) {
  return std::make_unique<IntentWork>(std::move(request), std::move(done));
}
std::unique_ptr<Work> NewReset(ResetRequest request, Done<ResetResult> done) {
  return std::make_unique<ResetWork>(std::move(request), std::move(done));
}
std::unique_ptr<Work> NewImport(ImportRequest request, Done<ImportResult> done) {
  return std::make_unique<ImportWork>(std::move(request), std::move(done));
}

}  // namespace credbroker::engine
