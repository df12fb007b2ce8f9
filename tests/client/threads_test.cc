// The library's own thread and callers' threads against a fake broker in this process.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/session/runner.h"
#include "credbroker/client/error.h"
#include "credbroker/client/session.h"
#include "gtest/gtest.h"
#include "tests/client/fake_broker.h"

namespace credbroker::client {
namespace {

int Operations() {
  const char* size = std::getenv("CREDBROKER_TEST_SIZE");
  return size == nullptr || std::string(size) == "ci" ? 100'000 : 1'000'000;
}

constexpr size_t kCredentials = 4;

// Never shows the same moment twice: what happens before has the lower one.
class SequenceClock final : public Clock {
 public:
  int64_t BootNanos() const override {
    int64_t last = last_.load();
    int64_t next = 0;
    do {
      next = std::max(last + 1, SystemClock()->BootNanos());
    } while (!last_.compare_exchange_weak(last, next));
    return next;
  }

 private:
  mutable std::atomic<int64_t> last_{0};
};

class Threads : public testing::Test {
 protected:
  Threads() {
    for (size_t i = 0; i < kCredentials; ++i) broker_->Add(absl::StrCat("c", i));
  }
  void Open(SessionOptions options = {}) {
    session_ = std::make_unique<Session>(std::make_unique<SessionRunner>(
        std::move(options),
        SessionParts{SystemClock(), SystemRandom(), std::make_shared<EpochGate>()},
        std::unique_ptr<Stream>(broker_)));
    ASSERT_TRUE(session_->WaitConnected(absl::Seconds(30)));
    Target target;
    target.providers = {"openai"};
    target.stock = {.max = 256, .initial = 256};
    target_ = *session_->Declare(target);
  }
  const SequenceClock sequence_;
  FakeBroker* broker_ = new FakeBroker(sequence_, true);  // the session's
  std::unique_ptr<Session> session_;
  TargetId target_ = 0;
};

// What two threads do with their leases, and what they must not be given.
class Takers {
 public:
  Takers(Session& session, TargetId target, const FakeBroker& broker)
      : session_(session), target_(target), broker_(broker) {}

  // A revocation was received: nothing that was granted before it may go out any more.
  void Received(const RevocationEvent& event) {
    Raise(received_[IndexOf(event.credential_id)], absl::ToUnixNanos(*event.until));
    ++receipts;
  }
  // Takes and reports until `enough`; every 64th is a 429.
  void Run() {
    // Everything of before my own failure is withheld, and then revoked.
    std::array<int64_t, kCredentials> failed{};
    for (int i = 0; !enough.load(); ++i) {
      std::array<int64_t, kCredentials> received{};
      for (size_t c = 0; c < kCredentials; ++c) received[c] = received_[c].load();
      auto lease = session_.Acquire(target_);
      if (!lease.ok()) continue;
      ++takes;
      const size_t credential = IndexOf(lease->credential_id());
      if (lease->from_stock()) {
        ++from_stock;
        const int64_t granted = absl::ToUnixNanos(lease->grant_time());
        if (granted <= received[credential]) ++revoked;
        if (granted <= failed[credential]) ++withheld;
      }
      if (i % 64 == 0) {
        failed[credential] = broker_.NowUnixNanos();
        lease->Report(Outcome::Status(429));
        ++failures;
      } else {
        lease->ReportSuccess();
      }
      ++reports;
    }
  }

  static size_t IndexOf(const std::string& id) { return static_cast<size_t>(id[1] - '0'); }

  std::atomic<bool> enough{false};
  std::atomic<int64_t> takes{0}, from_stock{0}, reports{0}, failures{0}, receipts{0};
  // Leases out of stock that must not have been.
  std::atomic<int64_t> revoked{0}, withheld{0};

 private:
  static void Raise(std::atomic<int64_t>& value, int64_t to) {
    if (value.load() < to) value.store(to);  // the session's thread alone
  }

  Session& session_;
  const TargetId target_;
  const FakeBroker& broker_;
  std::array<std::atomic<int64_t>, kCredentials> received_{};
};

TEST_F(Threads, AreGivenNothingAfterItsRevocationWasReceivedNorAfterTheirOwnFailure) {
  std::atomic<Takers*> takers{nullptr};
  SessionOptions options;
  options.events.on_revoked = [&](const RevocationEvent& event) { takers.load()->Received(event); };
  Open(std::move(options));
  broker_->SetForgetful(true);
  broker_->RevokeLimited(true);
  Takers two(*session_, target_, *broker_);
  takers = &two;
  std::thread one([&] { two.Run(); });
  std::thread other([&] { two.Run(); });
  // Takes, reports and receipts together.
  const auto operations = [&] { return two.takes + two.reports + two.receipts; };
  int64_t disabled = 0;
  for (; disabled < Operations() / 500 || operations() < Operations(); ++disabled) {
    const std::string id = absl::StrCat("c", disabled % static_cast<int64_t>(kCredentials));
    const uint64_t number = broker_->Revoke(id, v1::SESSION_REVOCATION_REASON_DISABLED);
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (broker_->acknowledged() < number && std::chrono::steady_clock::now() < limit) {
      std::this_thread::yield();
    }
    EXPECT_GE(broker_->acknowledged(), number);
    broker_->Renew(id);
  }
  two.enough = true;
  one.join();
  other.join();
  EXPECT_TRUE(session_->Flush(absl::Seconds(30)).ok());
  std::cout << operations() << " operations: " << two.takes << " takes, " << two.from_stock
            << " of them from stock, " << two.reports << " reports, " << two.failures
            << " of them 429, " << two.receipts << " revocations received, " << disabled
            << " of them by an operator; after its revocation " << two.revoked
            << ", after their own failure " << two.withheld << "\n";
  EXPECT_EQ(two.revoked.load(), 0);
  EXPECT_EQ(two.withheld.load(), 0);
  EXPECT_EQ(two.receipts.load(), two.failures.load() + disabled);
  EXPECT_GT(two.from_stock.load(), Operations() / 10);
  EXPECT_TRUE(session_->Close(absl::Seconds(30)).ok());
}

TEST_F(Threads, EndEachLeaseOnceThroughManyBreaks) {
  Open();
  std::atomic<int64_t> left{Operations() / 10};
  std::atomic<uint64_t> ended{0};
  std::atomic<int> breaks{0};
  // However little this thread is let run beside those two.
  const auto go_on = [&] { return left.load() > 0 || breaks.load() < 4; };
  const auto work = [&] {
    for (int i = 0; go_on(); ++i) {
      --left;
      auto lease = session_->Acquire(target_);
      if (!lease.ok()) continue;
      ++ended;
      if (i % 3 == 0) {
        lease->Report(Outcome::Status(500));
      } else {
        lease->ReportSuccess();
      }
    }
  };
  std::thread one(work);
  std::thread two(work);
  int64_t last = left.load();
  while (go_on()) {
    if (last - left.load() < 500) {
      std::this_thread::yield();
      continue;
    }
    last = left.load();
    broker_->Break();
    ++breaks;
    EXPECT_TRUE(session_->WaitConnected(absl::Seconds(30)));
  }
  one.join();
  two.join();
  EXPECT_TRUE(session_->Flush(absl::Seconds(30)).ok());
  const SessionStats stats = session_->stats();
  // Never fewer reports than leases; more only where a break took the answer.
  EXPECT_EQ(stats.ends_dropped, 0);
  EXPECT_GE(broker_->succeeded().size() + broker_->reports().size(), ended.load());
  EXPECT_TRUE(session_->Close(absl::Seconds(30)).ok());
}

TEST_F(Threads, AcquiresThatWaitAreAnsweredByClose) {
  broker_->HoldAcquires(true);
  broker_->RefuseStock("NOT_FOR_STOCK");
  Open();
  std::atomic<int> closed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto lease = session_->Acquire(target_, {.timeout = absl::Seconds(60)});
      closed += LocalReasonOf(lease.status()) == LocalReason::kClosed;
    });
  }
  EXPECT_TRUE(session_->Close(absl::Seconds(30)).ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(closed.load(), 4);
}

TEST_F(Threads, LeasesMayOutliveTheirSession) {
  Open();
  auto lease = session_->Acquire(target_);
  ASSERT_TRUE(lease.ok());
  session_ = nullptr;
  EXPECT_TRUE(lease->revoked());
  EXPECT_FALSE(lease->headers().empty());
  EXPECT_EQ(lease->model(), "");
  EXPECT_EQ(lease->credential_id()[0], 'c');
  lease->ReportSuccess();
}

}  // namespace
}  // namespace credbroker::client
