// Wire: what carries the messages of one session's stream. The RPC layer has it over gRPC, tests
// have it in memory.
#ifndef CREDBROKER_SERVER_SESSION_WIRE_H_
#define CREDBROKER_SERVER_SESSION_WIRE_H_

#include <grpcpp/support/status.h>

#include "credbroker/v1/session.pb.h"

namespace credbroker::session {

// Thread-safety: every member may be called from any thread.
class Wire {
 public:
  virtual ~Wire() = default;
  // Takes a message to send. False: one is in flight or the stream is over, and nothing was taken.
  // When it went out, SessionPeer::OnWritten is called.
  virtual bool Send(const v1::SessionResponse& message) = 0;
  // Asks for the next message, which comes by SessionPeer::OnMessage. REQUIRES: none is awaited.
  virtual void ReadOn() = 0;
  // Ends the stream after the message in flight; later calls change nothing.
  virtual void End(const grpc::Status& status) = 0;
  // Ends it now, for a client that does not read.
  virtual void Cut() = 0;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_WIRE_H_
