#include "server/engine/edit_work.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/material.h"
#include "core/provider_builtin.h"

namespace credbroker::engine {
namespace {

using store::RecordSealer;
using store::RowKind;

// Whether the rendered headers may differ (see core/material.h).
bool RendersDifferently(const core::Document& a, const core::Document& b) {
  return a.provider != b.provider || a.kind != b.kind || a.attributes_json != b.attributes_json ||
         a.external_refresh != b.external_refresh;
}

const core::ProviderSettings& ProviderOf(const core::Settings& settings, const std::string& name) {
  for (const core::ProviderSettings& provider : settings.providers) {
    if (provider.name == name) return provider;
  }
  return core::BuiltinProvider(name);
}

}  // namespace

absl::Status CheckLabels(const core::Settings& settings, const core::Document* before,
                         const core::Document& after) {
  for (const auto& label : after.labels) {
    // What the credential had may stay: the configuration may have dropped a key since.
    if (before != nullptr &&
        std::find(before->labels.begin(), before->labels.end(), label) != before->labels.end()) {
      continue;
    }
    const auto declared = std::find_if(settings.labels.begin(), settings.labels.end(),
                                       [&](const auto& each) { return each.first == label.first; });
    if (declared == settings.labels.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("labels.", label.first,
                       ": the key is not declared; add it to `labels` of the configuration"));
    }
    const std::vector<std::string>& values = declared->second;
    if (!values.empty() && std::find(values.begin(), values.end(), label.second) == values.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("labels.", label.first, ": '", label.second,
                       "' is not among its values in `labels` of the configuration"));
    }
  }
  return absl::OkStatus();
}

EditWork::EditWork(Caller caller, absl::string_view method)
    : caller_(std::move(caller)), method_(method) {
  if (!caller_.request_id.empty()) AddKey(absl::StrCat("\n", request_key()));
}

std::string EditWork::request_key() const {
  if (caller_.request_id.empty()) return "";
  return store::RequestKey(caller_.actor, caller_.request_id);
}

void EditWork::AddRow(std::string id) {
  AddKey(id);
  RowTask task;
  task.id = std::move(id);
  tasks_.push_back(std::move(task));
}

absl::StatusOr<bool> EditWork::Prepare(const WorkContext& context, const core::Pool& pool,
                                       absl::Time now, StepBudget& budget) {
  if (prepared_ == 0) prepared_at_ = now;
  while (prepared_ < tasks_.size()) {
    if (!budget.Spend()) return false;
    const size_t index = prepared_++;
    absl::Status status = PrepareRow(context, pool, index, now);
    if (!status.ok()) status = OnRefused(index, status);
    if (!status.ok()) return status;
  }
  return true;
}

absl::Status EditWork::PrepareRow(const WorkContext& context, const core::Pool& pool, size_t index,
                                  absl::Time now) {
  RowTask& task = tasks_[index];
  const std::optional<core::CredentialView> view = pool.Get(task.id, now);
  if (view) {
    task.before = view->document;
    task.intent_before = view->intent;
    task.uid_before = view->uid;
    task.had_material = view->material_version != 0;
  }
  absl::StatusOr<std::optional<core::Edit>> edit = MakeEdit(index, view ? &*view : nullptr, now);
  if (!edit.ok()) return edit.status();
  if (!*edit) return absl::OkStatus();
  core::Edit& wanted = **edit;
  wanted.id = task.id;
  wanted.actor = caller_.actor;
  // What an undo or a returning file brings back was fine once.
  if (wanted.document != nullptr && !wanted.revive_uid && !wanted.document->labels.empty()) {
    absl::Status labels =
        CheckLabels(*context.pool->settings(), task.before.get(), *wanted.document);
    if (!labels.ok()) return labels;
  }
  if (wanted.op == core::Edit::Op::kCreate) {
    if (context.quarantined != nullptr && context.quarantined->contains(task.id)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the stored credential '", task.id, "' cannot be read; it is set aside"));
    }
    if (!wanted.revive_uid) wanted.revive_uid = core::Uid((*context.next_uid)++);
  } else if (wanted.op == core::Edit::Op::kDelete) {
    task.health_before = pool.Health(task.id);
  }
  if (wanted.reset || wanted.secret != nullptr || wanted.revive_health != nullptr) {
    flush_health_ = true;
  }
  absl::StatusOr<core::RowEdit> row = pool.Prepare(wanted, now);
  if (!row.ok()) return row.status();
  task.row = *std::move(row);
  return absl::OkStatus();
}

absl::Status EditWork::Build(const WorkContext& context, std::vector<store::Write>& writes) {
  for (size_t index = 0; index < tasks_.size(); ++index) {
    RowTask& task = tasks_[index];
    if (!task.row) continue;
    const size_t before = writes.size();
    absl::Status built = BuildRow(context, task, writes);
    if (built.ok()) continue;
    if (!absl::IsUnavailable(built)) built = OnRefused(index, built);
    if (!built.ok()) return built;
    writes.resize(before);
    task.row.reset();
  }
  if (absl::Status built = BuildMore(context, writes); !built.ok()) return built;
  if (!writes.empty() && !caller_.request_id.empty()) {
    writes.push_back(context.sealer->Put(RowKind::kRequestId, request_key(),
                                         store::EncodeRequest(ToRemember())));
  }
  return absl::OkStatus();
}

absl::Status EditWork::BuildRow(const WorkContext& context, RowTask& task,
                                std::vector<store::Write>& writes) {
  core::RowEdit& row = *task.row;
  const RecordSealer& sealer = *context.sealer;
  if (row.op == core::Edit::Op::kDelete) return BuildDelete(context, task, writes);
  const bool has_intent = row.intent.has_value() || task.intent_before != core::Intent();
  if (row.document != nullptr) {
    writes.push_back(
        sealer.Put(RowKind::kDocument, task.id,
                   store::EncodeDocument(*row.document, row.uid, row.prepared, has_intent)));
  }
  if (row.intent) {
    writes.push_back(
        sealer.Put(RowKind::kIntent, task.id, store::EncodeIntent(*row.intent, row.uid)));
  }
  if (row.revive_health != nullptr) {
    writes.push_back(
        sealer.Put(RowKind::kHealth, task.id, store::EncodeHealth(*row.revive_health)));
  }
  if (row.op == core::Edit::Op::kCreate &&
      context.ledger->FindTombstone(task.id, row.prepared) != nullptr &&
      context.ledger->FindTombstone(task.id, row.prepared)->uid == row.uid) {
    writes.push_back(RecordSealer::Erase(RowKind::kTombstone, task.id));
  }
  return BuildSecret(context, task, writes);
}

absl::Status EditWork::BuildSecret(const WorkContext& context, RowTask& task,
                                   std::vector<store::Write>& writes) {
  core::RowEdit& row = *task.row;
  const core::Document& document = row.document != nullptr ? *row.document : *task.before;
  const std::string binding = store::SecretBinding(document);
  std::shared_ptr<const core::SecretMaterial> secret = row.secret;
  const bool rebind = secret == nullptr && task.before != nullptr && row.document != nullptr &&
                      store::SecretBinding(*task.before) != binding;
  const bool render = secret != nullptr || (task.before != nullptr && row.document != nullptr &&
                                            RendersDifferently(*task.before, *row.document));
  if (!rebind && !render) return absl::OkStatus();
  absl::Time written = row.prepared;
  if (secret == nullptr) {
    if (!task.had_material) return absl::OkStatus();  // none, or one set aside: nothing to move
    absl::StatusOr<store::SecretEntry> stored =
        ReadSecret(*context.store, *context.sealer, *task.before);
    if (!stored.ok()) return stored.status();
    secret = std::move(stored->secret);
    written = stored->written;
  }
  if (rebind || row.secret != nullptr) {
    const core::Secret plain = store::EncodeSecret(*secret, row.uid, written);
    writes.push_back(context.sealer->Put(RowKind::kSecret, task.id, plain.reveal(), binding));
  }
  if (render) {
    auto material = core::RenderMaterial(document, row.uid, *secret,
                                         ProviderOf(*context.pool->settings(), document.provider));
    if (!material.ok()) return material.status();
    row.material = *std::move(material);
  }
  return absl::OkStatus();
}

absl::Status EditWork::BuildDelete(const WorkContext& context, const RowTask& task,
                                   std::vector<store::Write>& writes) {
  store::Tombstone tombstone{.uid = task.uid_before,
                             .document = task.before,
                             .secret = nullptr,
                             .intent = task.intent_before,
                             .health = task.health_before,
                             .deleted = prepared_at_,
                             .expires = prepared_at_ + kLedgerRetention,
                             .actor = caller_.actor,
                             .batch_id = batch_id_,
                             .retired = retires()};
  absl::StatusOr<store::SecretEntry> secret =
      ReadSecret(*context.store, *context.sealer, *task.before);
  if (secret.ok()) {
    tombstone.secret = std::move(secret->secret);
  } else if (absl::IsUnavailable(secret.status())) {
    return secret.status();  // else: none, or none that can be read
  }
  const core::Secret plain = store::EncodeTombstone(tombstone);
  writes.push_back(context.sealer->Put(RowKind::kTombstone, task.id, plain.reveal()));
  for (const RowKind kind :
       {RowKind::kDocument, RowKind::kSecret, RowKind::kIntent, RowKind::kHealth}) {
    writes.push_back(RecordSealer::Erase(kind, task.id));
  }
  return absl::OkStatus();
}

bool EditWork::Install(const WorkContext& context, core::Pool& pool, absl::Time now,
                       core::Effects& effects, StepBudget& budget) {
  while (installed_ < tasks_.size()) {
    if (!budget.Spend()) return false;
    RowTask& task = tasks_[installed_++];
    if (!task.row) continue;
    pool.Install(*task.row, now, effects);
    if (task.row->op == core::Edit::Op::kDelete) {
      context.ledger->AddTombstone(task.id, {.uid = task.uid_before, .deleted = prepared_at_});
    } else if (task.row->op == core::Edit::Op::kCreate) {
      const Ledger::TombstoneName* old = context.ledger->FindTombstone(task.id, prepared_at_);
      if (old != nullptr && old->uid == task.row->uid) context.ledger->DropTombstone(task.id);
    }
  }
  return true;
}

store::RequestEntry EditWork::ToRemember() const {
  store::RequestEntry entry;
  entry.principal = caller_.actor;
  entry.request_id = caller_.request_id;
  entry.method = method_;
  entry.argument_digest = caller_.argument_digest;
  if (!tasks_.empty()) entry.answer = tasks_.front().id;
  entry.batch_id = batch_id_;
  entry.time = prepared_at_;
  return entry;
}

void EditWork::Replay(const WorkContext& context, const store::RequestEntry& entry) {
  if (entry.method != method_ || entry.argument_digest != caller_.argument_digest) {
    Answer(context,
           absl::InvalidArgumentError("request_id: it was used for another request within 24 h"));
    return;
  }
  AnswerAgain(context, entry);
}

void EditWork::Finish(const WorkContext& context, const absl::Status& status) {
  if (status.ok() && !dry_run()) {
    bool changed = false;
    for (const RowTask& task : tasks_) changed |= task.row.has_value();
    if (changed && !caller_.request_id.empty()) context.ledger->AddRequest(ToRemember());
    Note(context);
  }
  Answer(context, status);
}

absl::StatusOr<core::CredentialView> ViewOf(const WorkContext& context, absl::string_view id) {
  std::optional<core::CredentialView> view;
  context.pool->Locked(
      [&](core::Pool& pool, absl::Time now, core::Effects&) { view = pool.Get(id, now); });
  if (!view) return absl::NotFoundError(absl::StrCat("no credential '", id, "'"));
  return *std::move(view);
}

}  // namespace credbroker::engine
