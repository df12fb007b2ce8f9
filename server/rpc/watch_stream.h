// One WatchCredentials: turns the engine's list of changes into events for one caller.
//
// Thread-safety: Pump may be called from any thread (the engine's, the stream's loop thread).
#ifndef CREDBROKER_SERVER_RPC_WATCH_STREAM_H_
#define CREDBROKER_SERVER_RPC_WATCH_STREAM_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_set>

#include "credbroker/v1/admin.pb.h"
#include "server/engine/engine.h"
#include "server/rpc/filter.h"
#include "server/rpc/server_stream.h"

namespace credbroker::rpc {

class CredentialWatch : public std::enable_shared_from_this<CredentialWatch> {
 public:
  struct Options {
    Filter filter;
    std::string group;
    bool send_initial = false;
    std::string cursor;  // empty: from now on
    bool transitions_only = false;
    size_t max_queue = 4096;
  };

  CredentialWatch(engine::Engine& engine, Options options, std::shared_ptr<ServerStream> stream);

  // Subscribes and begins; once. OUT_OF_RANGE (CURSOR_EXPIRED): the changes after the cursor are
  // not kept any more, or it is of another run of the broker.
  grpc::Status Start();
  // Writes what there is, one message at a time. Called when the stream can take one and when the
  // engine has something.
  void Pump();
  // Says that nothing happened, if nothing was said for `quiet`.
  void Beat(absl::Duration quiet);
  void End(const grpc::Status& status);

 private:
  // Makes the next event; false: nothing to say now.
  bool NextLocked(v1::WatchCredentialsResponse* event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool InitialLocked(v1::WatchCredentialsResponse* event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool ChangeLocked(const engine::NumberedChange& change, v1::WatchCredentialsResponse* event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Matches(const core::CredentialView& view) const;
  bool WriteLocked(v1::WatchCredentialsResponse& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  engine::Engine& engine_;
  const Options options_;
  const std::shared_ptr<ServerStream> stream_;
  const uint64_t epoch_;  // of this run: numbers of changes begin again with each
  std::shared_ptr<engine::Subscription> subscription_;

  engine::Mutex mutex_;
  bool initial_ ABSL_GUARDED_BY(mutex_);
  std::string scanned_ ABSL_GUARDED_BY(mutex_);  // id the initial scan has reached
  bool scan_done_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::string> ids_ ABSL_GUARDED_BY(mutex_);  // of the scan, not yet sent
  std::deque<engine::NumberedChange> changes_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<std::string> known_ ABSL_GUARDED_BY(mutex_);  // ids the caller was told of
  bool cut_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time said_ ABSL_GUARDED_BY(mutex_);  // the last event
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_WATCH_STREAM_H_
