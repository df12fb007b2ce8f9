// Many credentials at a time, and back.
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/convert.h"
#include "server/rpc/filter.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

// What FAILED_PRECONDITION means depends on how the rows were chosen.
Reasons BatchReasons(const v1::BatchUpdateRequest& request) {
  Reasons reasons;
  reasons.precondition = request.selection_case() == v1::BatchUpdateRequest::kSelectionToken
                             ? v1::ERROR_REASON_SELECTION_EXPIRED
                             : v1::ERROR_REASON_EXPECTED_COUNT_MISMATCH;
  return reasons;
}

void FillBatch(const engine::BatchResult& result, bool resets, v1::BatchUpdateResponse& out) {
  out.set_batch_id(result.batch_id);
  for (const engine::BatchItem& item : result.items) FillItem(item, out.add_results());
  out.set_matched_count(result.matched);
  out.set_ok_count(result.ok);
  out.set_skipped_count(result.skipped);
  out.set_not_found_count(result.not_found);
  out.set_conflict_count(result.conflict);
  out.set_selection_token(result.selection_token);
  out.set_undoable(result.undoable);
  if (resets) out.add_warnings("a reset cannot be undone");
}

}  // namespace

void AdminService::BatchUpdate(const CallInfo& info,
                               To<v1::BatchUpdateRequest, v1::BatchUpdateResponse> responder) {
  const v1::BatchUpdateRequest& request = responder.request();
  if (grpc::Status status = Validate(request, engine_.Now()); !status.ok()) {
    return responder.Finish(status);
  }
  engine::BatchRequest batch;
  batch.caller = CallerOf(info, request.request_id());
  batch.dry_run = request.dry_run();
  batch.comment = request.comment();
  switch (request.selection_case()) {
    case v1::BatchUpdateRequest::kIds:
      batch.selection =
          engine::IdSelection{{request.ids().ids().begin(), request.ids().ids().end()}};
      break;
    case v1::BatchUpdateRequest::kFilter: {
      absl::StatusOr<Filter> filter =
          Filter::Parse(request.filter().filter(), Filter::Fields::kDocument);
      if (!filter.ok()) {
        return responder.Finish(
            BadField("filter.filter", filter.status().message(), v1::ERROR_REASON_INVALID_FILTER));
      }
      engine::FilterSelection selection;
      selection.filter = [filter = *std::move(filter)](const core::Document& document) {
        return filter.MatchesDocument(document);
      };
      if (request.filter().has_expected_count()) {
        selection.expected_count = request.filter().expected_count();
      }
      batch.selection = std::move(selection);
      break;
    }
    default:
      batch.selection = engine::TokenSelection{request.selection_token()};
      break;
  }
  bool resets = false;
  for (const v1::BatchOperation& operation : request.operations()) {
    resets |= operation.has_reset();
    batch.operations.push_back(ToOperation(operation));
  }
  // Choosing the rows walks the fleet.
  Defer(responder, [this, responder, resets, batch = std::move(batch)]() mutable {
    engine_.BatchUpdate(
        std::move(batch), [responder, resets](absl::StatusOr<engine::BatchResult> result) {
          if (!result.ok()) {
            return responder.Finish(FromAbsl(result.status(), BatchReasons(responder.request())));
          }
          FillBatch(*result, resets, responder.reply());
          responder.Finish();
        });
  });
}

void AdminService::UndoBatch(const CallInfo& info,
                             To<v1::UndoBatchRequest, v1::UndoBatchResponse> responder) {
  const v1::UndoBatchRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  engine::UndoRequest undo{.caller = CallerOf(info, request.request_id()),
                           .batch_id = request.batch_id(),
                           .dry_run = request.dry_run()};
  Defer(responder, [this, responder, undo = std::move(undo)]() mutable {
    engine_.UndoBatch(std::move(undo), [responder](absl::StatusOr<engine::BatchResult> result) {
      if (!result.ok()) {
        Reasons reasons;
        reasons.not_found = v1::ERROR_REASON_NO_SUCH_BATCH;
        return responder.Finish(FromAbsl(result.status(), reasons));
      }
      v1::UndoBatchResponse& out = responder.reply();
      out.set_batch_id(result->batch_id);
      for (const engine::BatchItem& item : result->items) FillItem(item, out.add_results());
      out.set_ok_count(result->ok);
      out.set_conflict_count(result->conflict);
      out.set_skipped_count(result->skipped + result->not_found);
      responder.Finish();
    });
  });
}

}  // namespace credbroker::rpc
