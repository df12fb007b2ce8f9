// The thread that drives a session.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_CLIENT_SESSION_RUNNER_H_
#define CREDBROKER_CLIENT_SESSION_RUNNER_H_

#include <memory>
#include <thread>

#include "client/session/core.h"
#include "client/session/shared.h"
#include "client/session/stream.h"

namespace credbroker::client {

class SessionRunner {
 public:
  // Starts the thread.
  SessionRunner(SessionOptions options, SessionParts parts, std::unique_ptr<Stream> stream);
  // Closes at once, if nobody did.
  ~SessionRunner();
  SessionRunner(const SessionRunner&) = delete;
  SessionRunner& operator=(const SessionRunner&) = delete;

  SessionShared& shared() { return *shared_; }
  // The session's thread is the caller's.
  bool OnThread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void Loop();

  const std::unique_ptr<Stream> stream_;
  const std::shared_ptr<SessionShared> shared_;
  SessionCore core_;
  std::thread thread_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_RUNNER_H_
