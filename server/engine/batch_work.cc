#include "server/engine/batch_work.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/engine/random_id.h"

namespace credbroker::engine {
namespace {

// Keeps a row of the store well below what any backend takes as one value.
constexpr size_t kRowsPerPart = 1000;
constexpr size_t kListedInDryRun = 1000;
constexpr size_t kRememberedItems = 1000;

}  // namespace

BatchWork::BatchWork(Caller caller, absl::string_view method, bool dry_run, Done<BatchResult> done)
    : EditWork(std::move(caller), method), dry_run_(dry_run), done_(std::move(done)) {
  batch_id_ = RandomId();
}

std::optional<core::Edit> BatchWork::Leave(size_t index, ItemStatus status, std::string message) {
  items_[index].status = status;
  items_[index].message = std::move(message);
  return std::nullopt;
}

std::optional<core::Edit> BatchWork::EditTo(size_t index, const Editable& before, Editable after,
                                            core::Why why, bool reset) {
  Item& mine = items_[index];
  mine.fields = Differences(before, after);
  if (mine.fields.empty() && !reset) {
    return Leave(index, ItemStatus::kSkipped, "already as wanted");
  }
  core::Edit edit{.op = core::Edit::Op::kUpdate, .why = why};
  edit.reset = reset;
  const auto of_intent = [](const store::FieldEdit& field) {
    return field.field.compare(0, 7, "intent.") == 0;
  };
  if (std::any_of(mine.fields.begin(), mine.fields.end(), of_intent)) {
    edit.intent = std::move(after.intent);
  }
  if (!std::all_of(mine.fields.begin(), mine.fields.end(), of_intent)) {
    edit.document = std::make_shared<const core::Document>(std::move(after.document));
  }
  return edit;
}

absl::Status BatchWork::OnRefused(size_t index, const absl::Status& status) {
  if (absl::IsNotFound(status)) {
    Leave(index, ItemStatus::kNotFound, std::string(status.message()));
  } else if (absl::IsAborted(status) || absl::IsAlreadyExists(status)) {
    Leave(index, ItemStatus::kConflict, std::string(status.message()));
  } else {
    return status;
  }
  items_[index].fields.clear();
  return absl::OkStatus();
}

absl::Status BatchWork::BuildMore(const WorkContext& context, std::vector<store::Write>& writes) {
  store::BatchPart part{.batch_id = batch_id_,
                        .part = 0,
                        .time = prepared_at(),
                        .actor = caller().actor,
                        .comment = comment_,
                        .undoes = undoes_,
                        .has_reset = has_reset_,
                        .rows = {}};
  const auto put = [&] {
    part.part = parts_++;
    writes.push_back(context.sealer->Put(
        store::RowKind::kBatch, store::BatchKey(batch_id_, part.part), store::EncodeBatch(part)));
    part.rows.clear();
  };
  for (size_t index = 0; index < tasks().size(); ++index) {
    const RowTask& task = tasks()[index];
    if (!task.row) continue;
    part.rows.push_back({.id = task.id,
                         .uid = task.row->uid,
                         .fields = items_[index].fields,
                         .deleted = items_[index].deleted});
    if (part.rows.size() == kRowsPerPart) put();
  }
  if (!part.rows.empty()) put();
  if (parts_ == 0) batch_id_.clear();
  return absl::OkStatus();
}

void BatchWork::Note(const WorkContext& context) {
  if (parts_ != 0) context.ledger->AddBatch(batch_id_, {.time = prepared_at(), .parts = parts_});
}

// The batch holds the rows it changed; the others are remembered here.
store::RequestEntry BatchWork::ToRemember() const {
  store::RequestEntry entry = EditWork::ToRemember();
  nlohmann::json left = nlohmann::json::array();
  for (size_t index = 0; index < items_.size() && left.size() < kRememberedItems; ++index) {
    const Item& mine = items_[index];
    if (mine.status == ItemStatus::kOk) continue;
    left.push_back({tasks()[index].id, static_cast<int>(mine.status), mine.message});
  }
  entry.answer = left.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return entry;
}

void BatchWork::Count(const BatchItem& one, BatchResult& result) const {
  ++result.matched;
  switch (one.status) {
    case ItemStatus::kOk:
      ++result.ok;
      break;
    case ItemStatus::kSkipped:
      ++result.skipped;
      break;
    case ItemStatus::kNotFound:
      ++result.not_found;
      break;
    case ItemStatus::kConflict:
      ++result.conflict;
      break;
  }
}

void BatchWork::AnswerAgain(const WorkContext& context, const store::RequestEntry& entry) {
  BatchResult result;
  result.batch_id = entry.batch_id;
  const nlohmann::json left = nlohmann::json::parse(entry.answer, nullptr, false);
  if (left.is_array()) {
    for (const auto& one : left) {
      if (!one.is_array() || one.size() != 3) continue;
      result.items.push_back({.id = one[0].get<std::string>(),
                              .status = static_cast<ItemStatus>(one[1].get<int>() & 3),
                              .message = one[2].get<std::string>(),
                              .changes = {}});
    }
  }
  absl::StatusOr<store::BatchPart> batch = ReadBatch(context, entry.batch_id, context.pool->Now());
  if (!batch.ok()) return std::move(done_)(batch.status());
  for (const store::BatchRow& row : batch->rows) {
    const bool partly = std::any_of(result.items.begin(), result.items.end(),
                                    [&](const BatchItem& one) { return one.id == row.id; });
    if (!partly) result.items.push_back({.id = row.id, .message = "", .changes = {}});
  }
  for (const BatchItem& one : result.items) Count(one, result);
  result.undoable = !batch->has_reset;
  std::move(done_)(std::move(result));
}

void BatchWork::Answer(const WorkContext&, const absl::Status& status) {
  if (!status.ok()) return std::move(done_)(status);
  BatchResult result;
  for (size_t index = 0; index < tasks().size(); ++index) {
    Item& mine = items_[index];
    BatchItem one{.id = tasks()[index].id,
                  .status = mine.status,
                  .message = std::move(mine.message),
                  .changes = {}};
    Count(one, result);
    if (dry_run_) {
      if (result.items.size() >= kListedInDryRun) continue;
      for (store::FieldEdit& edit : mine.fields) {
        one.changes.push_back({.field = std::move(edit.field),
                               .old_value = std::move(edit.old_value).value_or(""),
                               .new_value = std::move(edit.new_value).value_or("")});
      }
    }
    result.items.push_back(std::move(one));
  }
  if (dry_run_) {
    result.selection_token = KeepSelection(prepared_at());
  } else {
    result.batch_id = parts_ == 0 ? "" : batch_id_;
  }
  result.undoable = !has_reset_;
  std::move(done_)(std::move(result));
}

absl::StatusOr<store::BatchPart> ReadBatch(const WorkContext& context, const std::string& batch_id,
                                           absl::Time now) {
  const Ledger::BatchName* name = context.ledger->FindBatch(batch_id, now);
  if (name == nullptr) {
    return absl::NotFoundError(absl::StrCat("no batch '", batch_id, "' of the last 24 h"));
  }
  store::BatchPart all;
  for (uint32_t number = 0; number < name->parts; ++number) {
    absl::StatusOr<store::Row> row =
        ReadRow(*context.store, store::RowKind::kBatch, store::BatchKey(batch_id, number));
    if (!row.ok()) return row.status();
    absl::StatusOr<core::Secret> plain = context.sealer->Open(*row);
    if (!plain.ok()) return plain.status();
    absl::StatusOr<store::BatchPart> part = store::DecodeBatch(plain->reveal());
    if (!part.ok()) return part.status();
    std::vector<store::BatchRow> rows = std::move(all.rows);
    std::move(part->rows.begin(), part->rows.end(), std::back_inserter(rows));
    all = *std::move(part);
    all.rows = std::move(rows);
  }
  return all;
}

}  // namespace credbroker::engine
