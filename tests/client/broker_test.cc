// The library against a real broker in this process, over a real connection.
#include <atomic>
#include <thread>
#include <vector>

#include "credbroker/client/client.h"
#include "credbroker/client/error.h"
#include "tests/rpc/rpc_fixture.h"

namespace credbroker::client {
namespace {

int Operations() {
  const char* size = std::getenv("CREDBROKER_TEST_SIZE");
  return size == nullptr || std::string(size) == "ci" ? 100'000 : 1'000'000;
}

class Broker : public rpc::RpcTest {
 protected:
  void Open(SessionOptions options = {}) {
    client_ = *Client::Create({.address = socket_});
    session_ = *client_->OpenSession(std::move(options));
    ASSERT_TRUE(session_->WaitConnected(absl::Seconds(30)));
  }
  TargetId Declare(int stock, WhenLost when_lost = WhenLost::kFail) {
    Target target;
    target.providers = {"openai"};
    target.model = "gpt";
    target.stock = {.max = std::max(stock, 1), .initial = stock};
    target.when_lost = when_lost;
    return *session_->Declare(target);
  }
  // A lease out of stock, once there is some.
  Lease FromStock(TargetId target) {
    const absl::Time limit = absl::Now() + absl::Seconds(30);
    while (absl::Now() < limit) {
      if (auto lease = session_->TryAcquire(target)) return *std::move(lease);
      std::this_thread::yield();
    }
    ADD_FAILURE() << "no stock";
    return {};
  }
  // The server goes, with its memory; the store stays.
  void StopServer() {
    channel_ = nullptr;
    broker_.reset();
    admin_.reset();
    health_stub_.reset();
    engine_->Stop(absl::ZeroDuration());
    server_ = nullptr;
    health_service_ = nullptr;
    admin_service_ = nullptr;
    broker_service_ = nullptr;
  }
  grpc::Status Disable(const std::string& id, bool wait) {
    v1::DisableRequest request;
    request.set_id(id);
    request.set_wait(wait);
    v1::DisableResponse reply;
    return Call(*admin_, &v1::AdminService::Stub::Disable, request, &reply);
  }
  grpc::Status Enable(const std::string& id) {
    v1::EnableRequest request;
    request.set_id(id);
    v1::EnableResponse reply;
    return Call(*admin_, &v1::AdminService::Stub::Enable, request, &reply);
  }

  std::unique_ptr<Client> client_;
  std::unique_ptr<Session> session_;
};

TEST_F(Broker, GivesLeasesFromStockAndTakesReports) {
  ASSERT_TRUE(Create("a").ok());
  Open();
  const TargetId target = Declare(8);
  Lease lease = FromStock(target);
  EXPECT_EQ(lease.credential_id(), "a");
  ASSERT_EQ(lease.headers().size(), 1);
  EXPECT_EQ(lease.headers()[0].value.reveal(), "Bearer sk-a");
  EXPECT_EQ(lease.model(), "gpt");
  lease.ReportSuccess();
  EXPECT_TRUE(session_->Flush(absl::Seconds(30)).ok());
  std::atomic<int> advice{-1};
  FromStock(target).Report(Outcome::Status(500),
                           [&](const ReportAnswer& answer) { advice = answer.advice; });
  EXPECT_TRUE(session_->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(advice.load(), v1::ADVICE_RETRY_OTHER);
  EXPECT_TRUE(session_->Close(absl::Seconds(30)).ok());
  EXPECT_EQ(session_->stats().ends_dropped, 0);
}

TEST_F(Broker, GrantsCappedCredentialsOneByOneUpToTheirCap) {
  ASSERT_TRUE(Create("capped", nullptr, 2).ok());
  Open();
  const TargetId target = Declare(8);
  auto one = session_->Acquire(target);
  auto two = session_->Acquire(target);
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_FALSE(one->from_stock());
  const auto three = session_->Acquire(target);
  EXPECT_EQ(ReasonOf(three.status()), v1::ERROR_REASON_BUSY) << three.status();
  EXPECT_FALSE(MetadataOf(three.status()).empty());
  // A call that may wait gets the slot that is given back.
  std::thread waits([&] {
    const auto four = session_->Acquire(target, {.max_wait = absl::Seconds(30)});
    EXPECT_TRUE(four.ok()) << four.status();
  });
  one->Release();
  waits.join();
}

TEST_F(Broker, EndsLeasesWithTheSession) {
  ASSERT_TRUE(Create("capped", nullptr, 1).ok());
  Open();
  const TargetId target = Declare(0);
  auto held = session_->Acquire(target);
  ASSERT_TRUE(held.ok());
  EXPECT_TRUE(session_->Close(absl::Seconds(30)).ok());
  EXPECT_TRUE(held->revoked());
  v1::Grant grant;
  EXPECT_TRUE(Acquire(&grant).ok());
}

TEST_F(Broker, RetriesUnaryCallsAndSaysWhyItRefuses) {
  client_ = *Client::Create({.address = "unix:" + socket_});
  v1::AcquireRequest request;
  request.add_providers("openai");
  const auto refused = client_->Acquire(request);
  EXPECT_EQ(ReasonOf(refused.status()), v1::ERROR_REASON_NO_SUCH_PROVIDER) << refused.status();
  ASSERT_TRUE(Create("a").ok());
  auto grant = client_->Acquire(request);
  ASSERT_TRUE(grant.ok()) << grant.status();
  WipeSecrets(&*grant);
  EXPECT_TRUE(grant->request_headers(0).value().empty());
  v1::ReleaseRequest release;
  release.set_lease_id(grant->lease_id());
  EXPECT_TRUE(client_->Release(release)->released());
}

TEST_F(Broker, DisableThatWaitsReturnsWhenNothingCanBeHandedOutAnyMore) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  Open();
  const TargetId target = Declare(256);
  FromStock(target).Release();
  // Odd while "a" is disabled: nobody gets it from the moment Disable returned. A number, not a
  // flag, for a thread may sleep through a whole round.
  std::atomic<int> round{0};
  std::atomic<bool> enough{false};
  std::atomic<int64_t> done{0};
  std::atomic<int64_t> of_a{0};
  std::atomic<int64_t> violations{0};
  const auto work = [&] {
    while (!enough.load()) {
      const int before = round.load();
      auto lease = session_->Acquire(target);
      if (!lease.ok()) continue;
      ++done;
      if (lease->credential_id() == "a") {
        ++of_a;
        if (before % 2 == 1 && round.load() == before) ++violations;
      }
      lease->ReportSuccess();
    }
  };
  std::thread one(work);
  std::thread two(work);
  int rounds = 0;
  for (; rounds < 100 || done.load() < Operations(); ++rounds) {
    EXPECT_TRUE(Disable("a", true).ok());
    ++round;
    const int64_t from = done.load();
    while (done.load() < from + 100) std::this_thread::yield();
    ++round;
    EXPECT_TRUE(Enable("a").ok());
    const int64_t seen = of_a.load();
    const absl::Time limit = absl::Now() + absl::Seconds(10);
    while (of_a.load() == seen && absl::Now() < limit) std::this_thread::yield();
  }
  enough = true;
  one.join();
  two.join();
  EXPECT_EQ(violations.load(), 0);
  EXPECT_GT(of_a.load(), rounds / 2);
  std::cout << rounds << " rounds, " << done.load() << " leases, " << session_->stats().from_stock
            << " of them from stock\n";
}

TEST_F(Broker, GoesOnAfterARestartWithItsLeasesPresentedAgain) {
  ASSERT_TRUE(Create("a").ok());
  std::atomic<int> welcomed{0};
  SessionOptions options;
  options.events.on_connection = [&](const ConnectionEvent& event) {
    welcomed += event.state == ConnectionState::kConnected;
  };
  Open(std::move(options));
  const TargetId target = Declare(8);
  Lease held = FromStock(target);
  Lease ended = FromStock(target);
  StopServer();
  ended.Report(Outcome::Status(200));
  StartServer({});
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (welcomed.load() < 2 && absl::Now() < limit) std::this_thread::yield();
  ASSERT_GE(welcomed.load(), 2);
  EXPECT_TRUE(session_->Flush(absl::Seconds(30)).ok());
  EXPECT_FALSE(held.revoked());
  held.ReportSuccess();
  EXPECT_TRUE(session_->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(session_->stats().ends_dropped, 0);
  EXPECT_GE(session_->stats().reconnects, 1);
  FromStock(target).ReportSuccess();
  EXPECT_TRUE(session_->Close(absl::Seconds(30)).ok());
}

TEST_F(Broker, OutlivesABadRequestOfOneCaller) {
  ASSERT_TRUE(Create("a").ok());
  Open();
  const TargetId target = Declare(0);
  v1::AcquireRequest bad;
  bad.add_providers("openai");
  bad.set_session_key(std::string(300, 'x'));
  EXPECT_EQ(session_->Acquire(bad, absl::Seconds(10)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(session_->Acquire(target).ok());
  EXPECT_EQ(session_->stats().reconnects, 0);
}

}  // namespace
}  // namespace credbroker::client
