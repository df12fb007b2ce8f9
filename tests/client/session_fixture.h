// A session on a clock that stands still, against a FakeBroker; the test is the session's thread.
#ifndef CREDBROKER_TESTS_CLIENT_SESSION_FIXTURE_H_
#define CREDBROKER_TESTS_CLIENT_SESSION_FIXTURE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/session/core.h"
#include "client/session/shared.h"
#include "client/session/target_check.h"
#include "credbroker/client/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_broker.h"

namespace credbroker::client {

class FakeClock final : public Clock {
 public:
  int64_t BootNanos() const override { return now_ns_.load(); }
  void Advance(absl::Duration by) { now_ns_.fetch_add(absl::ToInt64Nanoseconds(by)); }

 private:
  std::atomic<int64_t> now_ns_{1'000'000'000};
};

// The same fraction every time.
class FakeRandom final : public Random {
 public:
  uint64_t Bits() override { return bits_.load(); }
  void SetFraction(double fraction) {
    bits_.store(static_cast<uint64_t>(fraction * 0x1.0p53) << 11);
  }

 private:
  // Not 0: an attempt that is due at once, while time stands still, would be repeated for ever.
  std::atomic<uint64_t> bits_{uint64_t{1} << 63};
};

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    options_.events.on_connection = [this](const ConnectionEvent& event) {
      states_.push_back(event);
    };
    options_.events.on_revoked = [this](const RevocationEvent& event) {
      revoked_.push_back(event);
    };
  }

  // Connects, and settles.
  void Start() {
    broker_.Add("a");
    Begin();
    Settle();
    ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  }
  void Begin() {
    shared_ = std::make_shared<SessionShared>(options_, SessionParts{clock_, random_, epochs_},
                                              [this] { broker_.Wake(); });
    core_ = std::make_unique<SessionCore>(shared_, broker_);
  }

  // Steps and takes events until nothing happens any more.
  void Settle() {
    int quiet = 0;
    while (quiet < 2 && !core_->finished()) {
      shared_->EndIdle();
      core_->Step();
      StreamEvent event = broker_.Poll(absl::ZeroDuration());
      quiet = event.kind == StreamEvent::Kind::kNone ? quiet + 1 : 0;
      core_->Handle(event);
    }
  }
  // Time passes in steps, as a session that is not stopped sees it.
  void Pass(absl::Duration span, absl::Duration step = absl::Milliseconds(500)) {
    for (; span > absl::ZeroDuration(); span -= step) {
      clock_->Advance(std::min(span, step));
      Settle();
    }
  }

  TargetId Declare(Target target = {}) {
    if (target.providers.empty()) target.providers = {"openai"};
    const TargetId id = shared_->TakeTargetId(BytesOf(target));
    core_->Declare(id, target);
    Settle();
    return id;
  }
  TargetId DeclareStock(int initial, int max = 64) {
    Target target;
    target.stock = {.max = max, .initial = initial};
    return Declare(target);
  }

  struct Answer {
    std::optional<absl::StatusOr<Lease>> result;
    uint64_t call = 0;
    bool answered() const { return result.has_value(); }
    const absl::Status& status() const { return result->status(); }
    Lease& lease() { return **result; }
  };
  // A direct acquire; answered when the broker answered.
  std::shared_ptr<Answer> Ask(TargetId target, v1::AcquireRequest request = {},
                              absl::Duration timeout = absl::Seconds(10)) {
    auto answer = std::make_shared<Answer>();
    AcquireCall call;
    call.id = answer->call = shared_->NextCall();
    call.target = target;
    call.request = std::move(request);
    call.deadline_ns = clock_->BootNanos() + absl::ToInt64Nanoseconds(timeout);
    call.done = [answer](absl::StatusOr<Lease> lease) { answer->result = std::move(lease); };
    core_->Acquire(std::move(call));
    Settle();
    return answer;
  }
  Lease TakeDirect(TargetId target) {
    auto answer = Ask(target);
    EXPECT_TRUE(answer->answered());
    EXPECT_TRUE(answer->result->ok()) << answer->status();
    return std::move(answer->lease());
  }
  uint64_t InStock() const { return shared_->stats().in_stock; }
  // Lets validity run out with the broker gone.
  void Lose() {
    broker_.SetReachable(false);
    broker_.Break();
    Pass(absl::Seconds(16));
    ASSERT_EQ(shared_->state(), ConnectionState::kLost);
  }
  void ComeBack() {
    broker_.SetReachable(true);
    Pass(absl::Seconds(6));
    ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  }

  SessionOptions options_{.client = "test"};
  std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  std::shared_ptr<FakeRandom> random_ = std::make_shared<FakeRandom>();
  std::shared_ptr<EpochGate> epochs_ = std::make_shared<EpochGate>();
  FakeBroker broker_{*clock_, false};
  std::vector<ConnectionEvent> states_;
  std::vector<RevocationEvent> revoked_;
  std::shared_ptr<SessionShared> shared_;
  std::unique_ptr<SessionCore> core_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_TESTS_CLIENT_SESSION_FIXTURE_H_
