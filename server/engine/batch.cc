#include "server/engine/batch.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/engine/batch_work.h"

namespace credbroker::engine {
namespace {

using core::CredentialView;
using core::Edit;

class UpdateBatch : public BatchWork {
 public:
  UpdateBatch(BatchRequest request, SelectionBook& selections, Done<BatchResult> done)
      : BatchWork(request.caller, "BatchUpdate", request.dry_run, std::move(done)),
        request_(std::move(request)),
        selections_(selections) {
    comment_ = request_.comment;
    for (const BatchOperation& operation : request_.operations) {
      has_reset_ |= operation.kind == BatchOperation::Kind::kReset;
      delete_ |= operation.kind == BatchOperation::Kind::kDelete;
    }
  }

  absl::Status Open(const WorkContext& context) override {
    if (delete_ && request_.operations.size() != 1) {
      return absl::InvalidArgumentError("operations: delete goes only alone");
    }
    absl::Status selected = absl::OkStatus();
    if (const auto* ids = std::get_if<IdSelection>(&request_.selection)) {
      absl::flat_hash_set<std::string> seen;
      for (const std::string& id : ids->ids) {
        if (seen.insert(id).second) AddRow(id);
      }
    } else if (const auto* filter = std::get_if<FilterSelection>(&request_.selection)) {
      selected = SelectByFilter(context, *filter);
    } else {
      selected = SelectByToken(context, std::get<TokenSelection>(request_.selection));
    }
    MakeItems();
    frozen_.rows.resize(tasks().size());
    return selected;
  }

 private:
  absl::Status SelectByFilter(const WorkContext& context, const FilterSelection& selection) {
    frozen_.filter = selection.filter;
    std::vector<std::string> ids;
    std::string after;
    do {
      context.pool->Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
        StepBudget budget;
        after = pool.Scan(after, 256, now, [&](const core::CredentialRow& row) {
          if (frozen_.filter(*row.document)) ids.push_back(row.document->id);
          return budget.Spend();
        });
      });
    } while (!after.empty());
    if (!request_.dry_run && !selection.expected_count) {
      return absl::InvalidArgumentError("expected_count: is required with a filter");
    }
    if (selection.expected_count && *selection.expected_count != static_cast<int64_t>(ids.size())) {
      return absl::FailedPreconditionError(
          absl::StrCat("EXPECTED_COUNT_MISMATCH: the filter matches ", ids.size(), ", not ",
                       *selection.expected_count));
    }
    for (std::string& id : ids) AddRow(std::move(id));
    return absl::OkStatus();
  }

  absl::Status SelectByToken(const WorkContext& context, const TokenSelection& selection) {
    expected_ = selections_.Find(selection.token, caller().actor, context.pool->Now());
    if (expected_ == nullptr) {
      return absl::FailedPreconditionError(
          "SELECTION_EXPIRED: the selection is unknown or older than 10 min");
    }
    frozen_.filter = expected_->filter;
    for (const auto& [id, etag] : expected_->rows) AddRow(id);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t index, const CredentialView* view,
                                               absl::Time now) override {
    auto& [id, etag] = frozen_.rows[index];
    id = tasks()[index].id;
    if (view != nullptr) etag = {.uid = view->uid, .revision = view->document->revision};
    if (expected_ != nullptr && expected_->rows[index].second != etag) {
      return view == nullptr ? Leave(index, ItemStatus::kNotFound, "deleted since the dry run")
                             : Leave(index, ItemStatus::kConflict, "changed since the dry run");
    }
    if (view == nullptr) return Leave(index, ItemStatus::kNotFound, "no such credential");
    if (frozen_.filter && !frozen_.filter(*view->document)) {
      return Leave(index, ItemStatus::kSkipped, "no longer matches the filter");
    }
    if (delete_) {
      item(index).deleted = true;
      return Edit{.op = Edit::Op::kDelete, .why = core::Why::kDeleted};
    }
    const Editable before{.document = *view->document, .intent = view->intent};
    Editable after = before;
    for (const BatchOperation& operation : request_.operations) {
      absl::Status applied = ApplyOperation(operation, caller().actor, now, after);
      if (!applied.ok()) return applied;
    }
    return EditTo(index, before, std::move(after), core::Why::kBatchApplied, has_reset_);
  }

  std::string KeepSelection(absl::Time now) override {
    frozen_.actor = caller().actor;
    return selections_.Keep(std::move(frozen_), now);
  }

  const BatchRequest request_;
  SelectionBook& selections_;
  FrozenSelection frozen_;  // as found at Prepare
  std::shared_ptr<const FrozenSelection> expected_;
  bool delete_ = false;
};

class UndoWork : public BatchWork {
 public:
  UndoWork(UndoRequest request, Done<BatchResult> done)
      : BatchWork(request.caller, "UndoBatch", request.dry_run, std::move(done)),
        request_(std::move(request)) {
    undoes_ = request_.batch_id;
    AddKey(absl::StrCat("\nbatch\n", undoes_));
  }

  absl::Status Open(const WorkContext& context) override {
    absl::StatusOr<store::BatchPart> batch =
        ReadBatch(context, request_.batch_id, context.pool->Now());
    if (!batch.ok()) return batch.status();
    undone_ = std::move(batch->rows);
    for (const store::BatchRow& row : undone_) AddRow(row.id);
    MakeItems();
    tombstones_.resize(undone_.size());
    return absl::OkStatus();
  }

  absl::Status Read(const WorkContext& context) override {
    for (size_t index = 0; index < undone_.size(); ++index) {
      const store::BatchRow& row = undone_[index];
      if (!row.deleted) continue;
      absl::StatusOr<store::Row> stored =
          ReadRow(*context.store, store::RowKind::kTombstone, row.id);
      if (absl::IsNotFound(stored.status())) continue;
      if (!stored.ok()) return stored.status();
      absl::StatusOr<core::Secret> plain = context.sealer->Open(*stored);
      if (!plain.ok()) continue;
      absl::StatusOr<store::Tombstone> tombstone = store::DecodeTombstone(plain->reveal());
      if (tombstone.ok() && tombstone->uid == row.uid) tombstones_[index] = *std::move(tombstone);
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t index, const CredentialView* view,
                                               absl::Time now) override {
    const store::BatchRow& undone = undone_[index];
    if (undone.deleted) return Revive(index, view);
    if (view == nullptr) return Leave(index, ItemStatus::kNotFound, "deleted since");
    if (view->uid != undone.uid) return Leave(index, ItemStatus::kConflict, "created anew since");
    if (undone.fields.empty()) return Leave(index, ItemStatus::kSkipped, "nothing to put back");
    const Editable before{.document = *view->document, .intent = view->intent};
    Editable after = before;
    const std::vector<std::string> conflicts = PutBack(undone.fields, caller().actor, now, after);
    std::optional<Edit> edit =
        EditTo(index, before, std::move(after), core::Why::kBatchUndone, /*reset=*/false);
    if (!conflicts.empty()) {
      item(index).status = ItemStatus::kConflict;
      item(index).message = absl::StrCat("changed since: ", absl::StrJoin(conflicts, ", "));
    }
    return edit;
  }

  std::optional<Edit> Revive(size_t index, const CredentialView* view) {
    if (view != nullptr) return Leave(index, ItemStatus::kConflict, "exists again");
    const std::optional<store::Tombstone>& tombstone = tombstones_[index];
    if (!tombstone) return Leave(index, ItemStatus::kNotFound, "what was deleted is gone");
    auto document = std::make_shared<core::Document>(*tombstone->document);
    ++document->revision;
    Edit edit{.op = Edit::Op::kCreate, .why = core::Why::kRevived};
    edit.document = std::move(document);
    edit.secret = tombstone->secret;
    edit.intent = tombstone->intent;
    edit.revive_uid = tombstone->uid;
    edit.revive_health = tombstone->health;
    return edit;
  }

  const UndoRequest request_;
  std::vector<store::BatchRow> undone_;
  std::vector<std::optional<store::Tombstone>> tombstones_;
};

}  // namespace

std::unique_ptr<Work> NewBatch(BatchRequest request, SelectionBook& selections,
                               Done<BatchResult> done) {
  return std::make_unique<UpdateBatch>(std::move(request), selections, std::move(done));
}

std::unique_ptr<Work> NewUndo(UndoRequest request, Done<BatchResult> done) {
  return std::make_unique<UndoWork>(std::move(request), std::move(done));
}

}  // namespace credbroker::engine
