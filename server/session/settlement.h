// Settlement: something that is done once every session said so.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_SERVER_SESSION_SETTLEMENT_H_
#define CREDBROKER_SERVER_SESSION_SETTLEMENT_H_

#include <atomic>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace credbroker::session {

// Held by everybody who still has to agree; whoever lets go of it last makes it so.
class Settlement {
 public:
  explicit Settlement(absl::AnyInvocable<void()> done) : done_(std::move(done)) {}
  ~Settlement() { std::move(done_)(); }
  Settlement(const Settlement&) = delete;
  Settlement& operator=(const Settlement&) = delete;

 private:
  absl::AnyInvocable<void()> done_;
};
using SettlementHold = std::shared_ptr<Settlement>;

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_SETTLEMENT_H_
