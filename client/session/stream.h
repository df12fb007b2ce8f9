// The seam between a session and its transport: one bidirectional stream at a time, as events. The
// real one is grpc_stream.h; tests script theirs.
//
// Thread-safety: one thread uses a Stream; only Wake may be called by others.
#ifndef CREDBROKER_CLIENT_SESSION_STREAM_H_
#define CREDBROKER_CLIENT_SESSION_STREAM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

struct StreamEvent {
  enum class Kind {
    // The time is over, or somebody called Wake.
    kNone,
    kMessage,
    // Connected: writes may begin.
    kOpened,
    // The write is done; another may begin.
    kWritten,
    // The stream is over, with `status`; Open may be called.
    kClosed,
  };
  Kind kind = Kind::kNone;
  // With kMessage: the stream's, valid until the next Poll; may be changed.
  v1::SessionResponse* message = nullptr;
  absl::Status status;
};

class Stream {
 public:
  Stream() = default;
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Begins a stream, to `owner` if not empty. kOpened follows, or kClosed.
  // REQUIRES: none is open.
  virtual void Open(const std::string& owner) = 0;
  // Sends a copy; kWritten follows, or kClosed.
  // REQUIRES: kOpened came and no write is under way.
  virtual void Write(const v1::SessionRequest& request) = 0;
  // Nothing more will be written. REQUIRES: as Write.
  virtual void CloseWrites() = 0;
  // Ends the stream now; kClosed follows. Nothing if none is open.
  virtual void Abort() = 0;
  // Waits for the next event, at most `timeout`.
  virtual StreamEvent Poll(absl::Duration timeout) = 0;
  // Makes a Poll that waits, or else the next one, return. Any thread.
  virtual void Wake() = 0;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_STREAM_H_
