// The library's own thread and callers' threads against a fake broker in this process.
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

class Threads : public testing::Test {
 protected:
  static constexpr int kCredentials = 4;
  Threads() {
    for (int i = 0; i < kCredentials; ++i) broker_->Add(absl::StrCat("c", i));
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
  // The broker's order of a lease out of stock: the fake gives each grant of stock its own moment.
  FakeBroker* broker_ = new FakeBroker(*SystemClock(), true);  // the session's
  std::unique_ptr<Session> session_;
  TargetId target_ = 0;
};

TEST_F(Threads, NeverHandOutWhatWasRevokedBeforeTheyAsked) {
  Open();
  // By credential: everything granted before this moment of the broker's clock is revoked, and the
  // session has acknowledged it.
  std::array<std::atomic<int64_t>, kCredentials> revoked_until{};
  std::atomic<bool> enough{false};
  std::atomic<int64_t> done{0};
  std::atomic<int64_t> from_stock{0};
  std::atomic<int64_t> violations{0};
  const auto work = [&] {
    while (!enough.load()) {
      std::array<int64_t, kCredentials> before{};
      for (int i = 0; i < kCredentials; ++i) before[i] = revoked_until[i].load();
      auto lease = session_->Acquire(target_);
      if (!lease.ok()) continue;
      ++done;
      if (lease->from_stock()) {
        ++from_stock;
        const int credential = lease->credential_id()[1] - '0';
        if (absl::ToUnixNanos(lease->grant_time()) <= before[credential]) ++violations;
      }
      lease->ReportSuccess();
    }
  };
  std::thread one(work);
  std::thread two(work);
  const int wanted = Operations() / 500;
  int revocations = 0;
  for (; revocations < wanted || done.load() < Operations(); ++revocations) {
    const int credential = revocations % kCredentials;
    const std::string id = absl::StrCat("c", credential);
    const int64_t moment = broker_->NowUnixNanos();
    const uint64_t number = broker_->Revoke(id, v1::SESSION_REVOCATION_REASON_DISABLED);
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (broker_->acknowledged() < number && std::chrono::steady_clock::now() < limit) {
      std::this_thread::yield();
    }
    EXPECT_GE(broker_->acknowledged(), number);
    // Acknowledged: from now on nobody who asks may get what was granted before.
    revoked_until[credential].store(moment);
    broker_->Renew(id);
  }
  enough = true;
  one.join();
  two.join();
  EXPECT_EQ(violations.load(), 0);
  EXPECT_GT(from_stock.load(), Operations() / 10);
  std::cout << revocations << " revocations, " << from_stock.load() << " of " << done.load()
            << " leases from stock\n";
}

TEST_F(Threads, EndEachLeaseOnceThroughManyBreaks) {
  Open();
  std::atomic<int64_t> left{Operations() / 10};
  std::atomic<uint64_t> ended{0};
  const auto work = [&] {
    for (int i = 0; left.fetch_sub(1) > 0; ++i) {
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
  int breaks = 0;
  int64_t last = left.load();
  while (left.load() > 0) {
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
  EXPECT_GT(breaks, 3);
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
