// ExportCredentials and WatchCredentials.
#include <algorithm>
#include <deque>
#include <utility>

#include "server/rpc/admin_service.h"
#include "server/rpc/convert.h"
#include "server/rpc/filter.h"
#include "server/rpc/validate.h"
#include "server/rpc/watch_stream.h"

namespace credbroker::rpc {
namespace {

constexpr int kStep = 256;

// One export: scans a step, then writes its rows, each when the caller took the one before.
class ExportRun {
 public:
  ExportRun(engine::Engine& engine, const v1::ExportCredentialsRequest& request, Filter filter,
            const ExportFormat& format, std::shared_ptr<ServerStream> stream)
      : engine_(engine),
        format_(format),
        request_(request),
        filter_(std::move(filter)),
        stream_(std::move(stream)) {}

  // One more message, or the end.
  void Next() {
    while (true) {
      while (!ids_.empty()) {
        const std::string id = std::move(ids_.front());
        ids_.pop_front();
        const auto view = engine_.Get(id);
        if (!view.has_value()) continue;
        const ExportedFile file = format_(*view->document, view->intent);
        v1::ExportCredentialsResponse response;
        response.set_relative_path(file.relative_path);
        response.set_json(file.json);
        response.set_credential_id(id);
        response.set_source(view->document->source);
        stream_->Write(response);
        return;
      }
      if (done_) return stream_->Finish(grpc::Status::OK);
      after_ = engine_.Scan(after_, kStep, [this](const core::CredentialRow& row) {
        if (Wanted(row)) ids_.push_back(row.document->id);
        return true;
      });
      done_ = after_.empty();
    }
  }

 private:
  bool Wanted(const core::CredentialRow& row) const {
    if (!request_.group().empty() && row.document->group != request_.group()) return false;
    if (!request_.source().empty() && row.document->source != request_.source()) return false;
    const v1::StateFilter state = request_.state();
    const bool state_matches =
        state == v1::STATE_FILTER_UNSPECIFIED || state == v1::STATE_FILTER_ALL ||
        (state == v1::STATE_FILTER_AVAILABLE && row.state == core::State::kAvailable) ||
        (state == v1::STATE_FILTER_WAITING && row.state == core::State::kWaiting) ||
        (state == v1::STATE_FILTER_DISABLED && row.state == core::State::kDisabled);
    return state_matches && filter_.Matches(row);
  }

  engine::Engine& engine_;
  const ExportFormat& format_;
  const v1::ExportCredentialsRequest request_;
  const Filter filter_;
  const std::shared_ptr<ServerStream> stream_;
  std::string after_;
  bool done_ = false;
  std::deque<std::string> ids_;
};

}  // namespace

void AdminService::Export(const CallInfo&, const v1::ExportCredentialsRequest& request,
                          const std::shared_ptr<ServerStream>& stream) {
  if (!options_.export_file) {
    return stream->Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no exporter"));
  }
  if (grpc::Status status = Validate(request); !status.ok()) return stream->Finish(status);
  absl::StatusOr<Filter> filter = Filter::Parse(request.filter(), Filter::Fields::kAll);
  if (!filter.ok()) {
    return stream->Finish(
        BadField("filter", filter.status().message(), v1::ERROR_REASON_INVALID_FILTER));
  }
  auto run = std::make_shared<ExportRun>(engine_, request, *std::move(filter), options_.export_file,
                                         stream);
  // One message at a time passes through the worker: its turns come one after the other.
  stream->OnEvents(
      [this, run, stream] {
        if (!worker_.Post([run] { run->Next(); })) stream->Finish(TooBusy());
      },
      nullptr);
}

void AdminService::Watch(const CallInfo&, const v1::WatchCredentialsRequest& request,
                         const std::shared_ptr<ServerStream>& stream) {
  if (grpc::Status status = Validate(request); !status.ok()) return stream->Finish(status);
  absl::StatusOr<Filter> filter = Filter::Parse(request.filter(), Filter::Fields::kAll);
  if (!filter.ok()) {
    return stream->Finish(
        BadField("filter", filter.status().message(), v1::ERROR_REASON_INVALID_FILTER));
  }
  auto watch = std::make_shared<CredentialWatch>(
      engine_,
      CredentialWatch::Options{.filter = *std::move(filter),
                               .group = request.group(),
                               .send_initial = request.send_initial(),
                               .cursor = request.cursor(),
                               .transitions_only = request.transitions_only(),
                               .max_queue = options_.max_watch_queue},
      stream);
  // Before the stream is listened to: it pumps as soon as it can be written to.
  if (grpc::Status status = watch->Start(); !status.ok()) return stream->Finish(status);
  {
    engine::MutexLock lock(mutex_);
    if (draining_) {
      return stream->Finish(Error(v1::ERROR_REASON_SHUTTING_DOWN, "the server is stopping"));
    }
    watches_.erase(std::remove_if(watches_.begin(), watches_.end(),
                                  [](const auto& weak) { return weak.expired(); }),
                   watches_.end());
    watches_.push_back(watch);
  }
  stream->OnEvents([watch] { watch->Pump(); }, nullptr);
}

void AdminService::BeatWatches() {
  std::vector<std::weak_ptr<CredentialWatch>> watches;
  {
    engine::MutexLock lock(mutex_);
    watches = watches_;
  }
  for (const auto& weak : watches) {
    if (const auto watch = weak.lock()) watch->Beat(options_.heartbeat);
  }
}

void AdminService::StartDraining() {
  std::vector<std::weak_ptr<CredentialWatch>> watches;
  {
    engine::MutexLock lock(mutex_);
    draining_ = true;
    watches.swap(watches_);
  }
  for (const auto& weak : watches) {
    if (const auto watch = weak.lock()) {
      watch->End(Error(v1::ERROR_REASON_SHUTTING_DOWN, "the server is stopping"));
    }
  }
}

}  // namespace credbroker::rpc
