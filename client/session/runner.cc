#include "client/session/runner.h"

#include <algorithm>
#include <utility>

namespace credbroker::client {

SessionRunner::SessionRunner(SessionOptions options, SessionParts parts,
                             std::unique_ptr<Stream> stream)
    : stream_(std::move(stream)),
      shared_(std::make_shared<SessionShared>(std::move(options), std::move(parts),
                                              [stream = stream_.get()] { stream->Wake(); })),
      core_(shared_, *stream_),
      thread_([this] { Loop(); }) {}

SessionRunner::~SessionRunner() {
  shared_->Run(
      [](SessionCore& core) { core.Close(absl::ZeroDuration(), [](const absl::Status&) {}); });
  thread_.join();
}

void SessionRunner::Loop() {
  const absl::Duration delay = shared_->options().report_delay;
  while (!core_.finished()) {
    shared_->EndIdle();
    const bool active = core_.Step();
    if (core_.finished()) break;
    absl::Duration wait = core_.NextWait();
    if (active && delay > absl::ZeroDuration()) {
      // More will come: looking again soon costs callers less than being woken by each of them.
      wait = std::min(wait, delay);
    } else if (!shared_->BeginIdle()) {
      continue;
    }
    StreamEvent event = stream_->Poll(wait);
    shared_->EndIdle();
    core_.Handle(event);
  }
  // Commands that were late are run, for their callers wait for an answer.
  for (SessionShared::Command& command : shared_->Stop()) command(core_);
  core_.DropNotes();
}

}  // namespace credbroker::client
