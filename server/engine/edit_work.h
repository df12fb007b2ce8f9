// A durable command that edits credentials row by row: the common way from an edit to sealed rows.
// What each row shall become is said by the classes made from it (commands.cc, batch.cc, undo.cc).
//
// Thread-safety: as Work.
#ifndef CREDBROKER_SERVER_ENGINE_EDIT_WORK_H_
#define CREDBROKER_SERVER_ENGINE_EDIT_WORK_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/edit.h"
#include "core/pool.h"
#include "server/engine/admin_types.h"
#include "server/engine/work.h"

namespace credbroker::engine {

// One credential on its way.
struct RowTask {
  std::string id;
  std::optional<core::RowEdit> row;  // absent: nothing to do, or refused
  // As it was at Prepare; `before` null: there was none.
  std::shared_ptr<const core::Document> before;
  core::Intent intent_before;
  core::Uid uid_before;
  std::shared_ptr<const core::HealthRecord> health_before;  // deletes only
  bool had_material = false;
};

class EditWork : public Work {
 public:
  const std::vector<std::string>& keys() const override { return keys_; }
  std::string request_key() const override;
  void Replay(const WorkContext& context, const store::RequestEntry& entry) final;
  absl::StatusOr<bool> Prepare(const WorkContext& context, const core::Pool& pool, absl::Time now,
                               StepBudget& budget) override;
  absl::Status Build(const WorkContext& context, std::vector<store::Write>& writes) override;
  bool Install(const WorkContext& context, core::Pool& pool, absl::Time now, core::Effects& effects,
               StepBudget& budget) override;
  bool flush_health() const override { return flush_health_; }
  void Finish(const WorkContext& context, const absl::Status& status) final;

 protected:
  EditWork(Caller caller, absl::string_view method);

  // Before the queue sees it, or in Open: each id once.
  void AddRow(std::string id);
  void AddKey(std::string key) { keys_.push_back(std::move(key)); }

  // The edit one row needs, from its present state (null: no such credential). nullopt: none. Under
  // the lock. For kDelete the tombstone is made by this class.
  virtual absl::StatusOr<std::optional<core::Edit>> MakeEdit(size_t index,
                                                             const core::CredentialView* view,
                                                             absl::Time now) = 0;
  // A row was refused by MakeEdit or the pool: OK leaves it out, an error ends the work.
  virtual absl::Status OnRefused(size_t index, const absl::Status& status) {
    (void)index;
    return status;
  }
  // Further rows of the same commit. Called even if no credential changes.
  virtual absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) {
    (void)context;
    (void)writes;
    return absl::OkStatus();
  }
  // Its deletes are of files that went away.
  virtual bool retires() const { return false; }
  // What a repeated request_id needs to be answered again.
  virtual store::RequestEntry ToRemember() const;
  // Answers a repeat of a request that succeeded.
  virtual void AnswerAgain(const WorkContext& context, const store::RequestEntry& entry) {
    (void)entry;
    Answer(context, absl::OkStatus());
  }
  // Committed and installed: the place to note things in the ledger.
  virtual void Note(const WorkContext& context) { (void)context; }
  // The last call; `status` not OK: nothing changed.
  virtual void Answer(const WorkContext& context, const absl::Status& status) = 0;

  const Caller& caller() const { return caller_; }
  std::vector<RowTask>& tasks() { return tasks_; }
  const std::vector<RowTask>& tasks() const { return tasks_; }
  absl::Time prepared_at() const { return prepared_at_; }
  // Names the batch of its deletes; empty: they are not part of one.
  std::string batch_id_;

 private:
  absl::Status PrepareRow(const WorkContext& context, const core::Pool& pool, size_t index,
                          absl::Time now);
  absl::Status BuildRow(const WorkContext& context, RowTask& task,
                        std::vector<store::Write>& writes);
  absl::Status BuildDelete(const WorkContext& context, const RowTask& task,
                           std::vector<store::Write>& writes);
  absl::Status BuildSecret(const WorkContext& context, RowTask& task,
                           std::vector<store::Write>& writes);

  const Caller caller_;
  const std::string method_;
  std::vector<std::string> keys_;
  std::vector<RowTask> tasks_;
  size_t prepared_ = 0, installed_ = 0;
  absl::Time prepared_at_ = absl::UnixEpoch();
  bool flush_health_ = false;
};

// INVALID_ARGUMENT: a label of `after` that `before` (may be null) has not, with a key or value
// that the configuration does not allow.
absl::Status CheckLabels(const core::Settings& settings, const core::Document* before,
                         const core::Document& after);

// The view of a credential, or NOT_FOUND.
absl::StatusOr<core::CredentialView> ViewOf(const WorkContext& context, absl::string_view id);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_EDIT_WORK_H_
