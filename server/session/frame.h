// What a correct client may send: the bounds of SessionRequest. What breaks them ends the stream.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_SERVER_SESSION_FRAME_H_
#define CREDBROKER_SERVER_SESSION_FRAME_H_

#include <cstdint>

#include <grpcpp/support/status.h>

#include "credbroker/v1/session.pb.h"

namespace credbroker::session {

inline constexpr int kMaxItems = 1'024;
inline constexpr uint32_t kMaxTarget = 4'096;
inline constexpr int kMaxPrefetch = 512;
inline constexpr size_t kSessionIdBytes = 16;

// Where in its life a stream is.
enum class Phase : uint8_t {
  kFirst,   // nothing came yet: hello is due
  kLeases,  // hello said that more leases follow
  kOpen,
};

// OK, or INVALID_ARGUMENT naming each field. `number` is the one that is due. Whether targets are
// declared is not looked at.
grpc::Status CheckFrame(const v1::SessionRequest& request, Phase phase, uint64_t number);

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_FRAME_H_
