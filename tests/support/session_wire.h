// A session's stream in memory: what the peer says is kept, and sent when the test says so.
#ifndef CREDBROKER_TESTS_SUPPORT_SESSION_WIRE_H_
#define CREDBROKER_TESTS_SUPPORT_SESSION_WIRE_H_

#include <atomic>
#include <optional>
#include <vector>

#include "server/session/wire.h"

namespace credbroker::session {

class FakeWire final : public Wire {
 public:
  bool Send(const v1::SessionResponse& message) override {
    if (in_flight || end.has_value()) return false;
    in_flight = true;
    sent.push_back(message);
    return true;
  }
  void ReadOn() override { ++reads; }
  void End(const grpc::Status& status) override {
    if (end.has_value()) return;
    end = status;
    ended = true;
  }
  void Cut() override { cut = true; }

  std::vector<v1::SessionResponse> sent;
  bool in_flight = false;  // until the test lets it through
  // Asked for. It, and `ended`, may be waited for: hello is answered by another thread.
  std::atomic<int> reads{0};
  std::atomic<bool> ended{false};
  std::optional<grpc::Status> end;
  bool cut = false;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_TESTS_SUPPORT_SESSION_WIRE_H_
