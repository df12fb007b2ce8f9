// What BatchUpdate and UndoBatch share: results per row, undo data, answers to repeats.
// Thread-safety: as Work.
#ifndef CREDBROKER_SERVER_ENGINE_BATCH_WORK_H_
#define CREDBROKER_SERVER_ENGINE_BATCH_WORK_H_

#include <string>
#include <utility>
#include <vector>

#include "server/engine/edit_work.h"
#include "server/engine/fields.h"

namespace credbroker::engine {

class BatchWork : public EditWork {
 public:
  bool dry_run() const override { return dry_run_; }

 protected:
  BatchWork(Caller caller, absl::string_view method, bool dry_run, Done<BatchResult> done);

  struct Item {
    ItemStatus status = ItemStatus::kOk;
    std::string message;
    std::vector<store::FieldEdit> fields;  // what it changes
    bool deleted = false;
  };
  // Called in Open once all rows are there.
  void MakeItems() { items_.resize(tasks().size()); }
  // Notes that nothing is done to this row, or not all.
  std::optional<core::Edit> Leave(size_t index, ItemStatus status, std::string message);
  // The edit that makes `after` of the credential, noting its fields; nullopt and SKIPPED where
  // both are the same.
  std::optional<core::Edit> EditTo(size_t index, const Editable& before, Editable after,
                                   core::Why why, bool reset);

  absl::Status OnRefused(size_t index, const absl::Status& status) override;
  absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) override;
  store::RequestEntry ToRemember() const override;
  void Note(const WorkContext& context) override;
  void AnswerAgain(const WorkContext& context, const store::RequestEntry& entry) override;
  void Answer(const WorkContext& context, const absl::Status& status) override;

  virtual std::string KeepSelection(absl::Time) { return ""; }

  Item& item(size_t index) { return items_[index]; }
  std::string comment_, undoes_;
  bool has_reset_ = false;

 private:
  void Count(const BatchItem& item, BatchResult& result) const;

  const bool dry_run_;
  std::vector<Item> items_;
  uint32_t parts_ = 0;
  Done<BatchResult> done_;
};

// All rows of a batch, from its parts in the store. NOT_FOUND: no such batch.
absl::StatusOr<store::BatchPart> ReadBatch(const WorkContext& context, const std::string& batch_id,
                                           absl::Time now);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_BATCH_WORK_H_
