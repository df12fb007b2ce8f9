// Session streams over a real connection.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/rpc/session_rpc_fixture.h"

namespace credbroker::rpc {
namespace {

TEST_F(SessionRpcTest, GrantsStockTakesReportsAndAnswersPings) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  Stream stream(*broker_);
  const v1::SessionResponse hello = stream.Hello();
  EXPECT_FALSE(hello.welcome().resumed());
  EXPECT_EQ(hello.welcome().ttl().seconds(), 15);
  const v1::SessionResponse stock = stream.Stock(8, "gpt(high)");
  ASSERT_EQ(stock.stocks_size(), 1);
  EXPECT_EQ(stock.stocks(0).leases_size(), 8);
  EXPECT_EQ(stock.stocks(0).credentials_size(), 8);
  EXPECT_EQ(stock.stocks(0).models(0), "gpt(high)");
  EXPECT_EQ(stock.stocks(0).refused(), 0u);
  ASSERT_EQ(stock.credentials_size(), 2);
  EXPECT_EQ(stock.credentials(0).credential_id(), "a");
  EXPECT_EQ(stock.credentials(0).request_headers(0).value(), "Bearer sk-a");
  EXPECT_FALSE(stock.credentials(0).ticket().empty());
  EXPECT_EQ(engine_->Stats().pool.session_leases, 8u);

  v1::SessionRequest report = stream.Next();
  for (int i = 0; i < 7; ++i) report.add_succeeded_leases(stock.stocks(0).leases(i));
  v1::SessionReport* failed = report.add_reports();
  failed->set_lease(stock.stocks(0).leases(7));
  failed->mutable_item()->set_http_status(400);
  report.set_ping(77);
  const v1::SessionResponse answer = stream.Ask(report);
  EXPECT_EQ(answer.pong(), 77u);
  ASSERT_EQ(answer.results_size(), 1) << "an accepted success is not answered";
  EXPECT_EQ(answer.results(0).result().disposition(), v1::REPORT_DISPOSITION_ACCEPTED);
  EXPECT_EQ(answer.results(0).result().advice(), v1::ADVICE_GIVE_UP);
  EXPECT_EQ(engine_->Stats().pool.session_leases, 0u);
  EXPECT_TRUE(stream.End().ok());
}

TEST_F(SessionRpcTest, ResumesOnAnotherStreamWithItsLeases) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  v1::SessionRequest hello;
  {
    Stream before(*broker_);
    id = before.Hello().welcome().session_id();
    const v1::SessionResponse stock = before.Stock(2);
    for (const uint64_t lease : stock.stocks(0).leases()) {
      v1::SessionResumedLease* resumed = hello.mutable_hello()->add_leases();
      resumed->set_lease(lease);
      resumed->set_ticket(stock.credentials(0).ticket());
      resumed->set_model("gpt");
      *resumed->mutable_grant_time() = stock.stocks(0).grant_time();
      *resumed->mutable_expire_time() = stock.stocks(0).expire_time();
    }
    before.Break();
    before.Status();
  }
  Stream after(*broker_);
  hello.set_number(after.Next().number());
  hello.mutable_hello()->set_session_id(id);
  const v1::SessionResponse answer = after.Ask(hello);
  EXPECT_TRUE(answer.welcome().resumed());
  ASSERT_EQ(answer.resumptions_size(), 2);
  EXPECT_EQ(answer.resumptions(0).lease(), hello.hello().leases(0).lease());
  EXPECT_EQ(engine_->Stats().pool.session_leases, 2u);
}

TEST_F(SessionRpcTest, DisableWithWaitAnswersAfterTheAcknowledgement) {
  ASSERT_TRUE(Create("a").ok());
  Stream stream(*broker_);
  stream.Hello();
  stream.Stock(2);
  std::atomic<bool> answered{false};
  std::thread disabling([&] {
    v1::DisableRequest request;
    request.set_id("a");
    request.set_wait(true);
    v1::DisableResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    EXPECT_TRUE(admin_->Disable(&context, request, &response).ok());
    EXPECT_EQ(response.live_leases(), 2);
    answered = true;
  });
  const v1::SessionResponse told =
      stream.Until([](const auto& all) { return all.revocations_size() > 0; });
  EXPECT_EQ(told.revocations(0).reason(), v1::SESSION_REVOCATION_REASON_DISABLED);
  EXPECT_FALSE(answered);
  v1::SessionRequest acknowledge = stream.Next();
  acknowledge.set_acknowledged_revocation(told.revocations(0).number());
  stream.Ask(acknowledge);
  disabling.join();
  EXPECT_TRUE(answered);
}

TEST_F(SessionRpcTest, StopsInTimeWithOpenSessionsAndTellsThemToGo) {
  ASSERT_TRUE(Create("a").ok());
  Stream obedient(*broker_), deaf(*broker_);
  obedient.Hello();
  deaf.Hello();
  const uint64_t lease = obedient.Stock(1).stocks(0).leases(0);
  const absl::Time began = absl::Now();
  std::thread stopping([&] {
    broker_service_->sessions().Drain(absl::Seconds(1));
    gate_.Set(ServingGate::State::kStopping);
    engine_->Stop(absl::Seconds(1));
    server_->Stop(absl::Seconds(3));
  });
  const v1::SessionResponse told =
      obedient.Until([](const auto& all) { return all.has_go_away(); });
  EXPECT_FALSE(told.go_away().reason().empty());
  // What it still has to say counts.
  v1::SessionRequest last = obedient.Next();
  last.add_succeeded_leases(lease);
  EXPECT_EQ(obedient.Ask(last).results_size(), 0);
  EXPECT_TRUE(obedient.End().ok());
  const grpc::Status status = deaf.Status();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(status).info.reason(), "SHUTTING_DOWN");
  stopping.join();
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
}

TEST_F(SessionRpcTest, ManySessionsShareAFewCredentialsWithoutLosingALease) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Create("c" + std::to_string(i)).ok());
  constexpr int kSessions = 40;
  std::atomic<int> done{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < kSessions; ++i) {
    clients.emplace_back([&] {
      Stream stream(*broker_);
      stream.Hello();
      v1::SessionResponse stock = stream.Stock(8);
      for (int round = 0; round < 20; ++round) {
        v1::SessionRequest request = stream.Next();
        for (const auto& some : stock.stocks()) {
          for (const uint64_t lease : some.leases()) request.add_succeeded_leases(lease);
        }
        request.add_prefetches()->set_target(1);
        request.mutable_prefetches(0)->set_count(8);
        stock = stream.Ask(request);
        EXPECT_EQ(stock.results_size(), 0);
        EXPECT_EQ(stock.stocks(0).leases_size(), 8);
      }
      v1::SessionRequest last = stream.Next();
      *last.mutable_released_leases() = stock.stocks(0).leases();
      stream.Ask(last);
      EXPECT_TRUE(stream.End().ok());
      ++done;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(done, kSessions);
  EXPECT_EQ(engine_->Stats().pool.leases, 0u);
  EXPECT_EQ(registry().counters().opened.value(), static_cast<uint64_t>(kSessions));
}

}  // namespace
}  // namespace credbroker::rpc
