#include <thread>

#include "tests/rpc/rpc_fixture.h"

namespace credbroker::rpc {
namespace {

using BrokerTest = RpcTest;

TEST_F(BrokerTest, GrantsALeaseWithHeadersAndTheCallersSuffix) {
  ASSERT_TRUE(Create("a").ok());
  v1::Grant grant;
  const grpc::Status status = Acquire(&grant);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(grant.credential_id(), "a");
  EXPECT_EQ(grant.model(), "gpt(high)");
  ASSERT_EQ(grant.request_headers_size(), 1);
  EXPECT_EQ(grant.request_headers(0).value(), "Bearer sk-a");
  EXPECT_FALSE(grant.lease_id().empty());
}

TEST_F(BrokerTest, RenewsReleasesAndForgetsALease) {
  ASSERT_TRUE(Create("a").ok());
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  v1::RenewRequest renew;
  renew.set_lease_id(grant.lease_id());
  v1::RenewResponse renewed;
  grpc::ClientContext c1, c2, c3, c4;
  EXPECT_TRUE(broker_->Renew(&c1, renew, &renewed).ok());
  EXPECT_TRUE(renewed.has_expire_time());
  v1::ReleaseRequest release;
  release.set_lease_id(grant.lease_id());
  v1::ReleaseResponse released;
  EXPECT_TRUE(broker_->Release(&c2, release, &released).ok());
  EXPECT_TRUE(released.released());
  EXPECT_TRUE(broker_->Release(&c3, release, &released).ok());
  EXPECT_FALSE(released.released());
  const grpc::Status gone = broker_->Renew(&c4, renew, &renewed);
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(DetailsOf(gone).info.reason(), "NO_SUCH_LEASE");
}

TEST_F(BrokerTest, ALeaseAtItsHardMaximumIsNotRenewed) {
  ASSERT_TRUE(Create("a").ok());
  v1::AcquireRequest request;
  request.add_providers("openai");
  request.mutable_ttl()->set_seconds(3600);
  v1::Grant grant;
  ASSERT_TRUE(Call(*broker_, &v1::BrokerService::Stub::Acquire, request, &grant).ok());
  v1::RenewRequest renew;
  renew.set_lease_id(grant.lease_id());
  renew.mutable_ttl()->set_seconds(3600);
  v1::RenewResponse renewed;
  const grpc::Status full = Call(*broker_, &v1::BrokerService::Stub::Renew, renew, &renewed);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(full).info.reason(), "LEASE_MAX_AGE");
  renew.mutable_ttl()->set_seconds(60);
  EXPECT_TRUE(Call(*broker_, &v1::BrokerService::Stub::Renew, renew, &renewed).ok())
      << "it lives that long";
}

TEST_F(BrokerTest, ReportOf429CoolsAndTheRefusalSaysWhyAndWhen) {
  ASSERT_TRUE(Create("a").ok());
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  v1::ReportRequest request;
  v1::ReportItem* item = request.add_items();
  item->set_lease_id(grant.lease_id());
  item->set_http_status(429);
  v1::Header* hint = item->add_headers();
  hint->set_name("Retry-After");
  hint->set_value("300");
  v1::ReportResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(broker_->Report(&context, request, &response).ok());
  EXPECT_EQ(response.results(0).disposition(), v1::REPORT_DISPOSITION_ACCEPTED);
  EXPECT_EQ(response.results(0).advice(), v1::ADVICE_RETRY_OTHER);
  EXPECT_EQ(response.results(0).state(), v1::CREDENTIAL_STATE_WAITING);
  EXPECT_TRUE(response.results(0).has_next_recover_time());
  const grpc::Status refused = Acquire(&grant);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const Details details = DetailsOf(refused);
  EXPECT_EQ(details.info.reason(), "COOLING");
  EXPECT_EQ(details.info.domain(), "credbroker");
  EXPECT_EQ(details.info.metadata().at("cause.rate_limited"), "1");
  ASSERT_TRUE(details.has_retry);
  EXPECT_GT(details.retry.retry_delay().seconds(), 290);
  EXPECT_LE(details.retry.retry_delay().seconds(), 300);
}

TEST_F(BrokerTest, AReportInABatchCountsFromItsEventTime) {
  ASSERT_TRUE(Create("a").ok());
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  v1::ReportRequest request;
  v1::ReportItem* item = request.add_items();
  item->set_lease_id(grant.lease_id());
  item->set_http_status(429);
  v1::Header* hint = item->add_headers();
  hint->set_name("retry-after");
  hint->set_value("300");
  // Before the lease, which lives 120 s, was granted: then it counts from there.
  item->mutable_event_time()->set_seconds(grant.expire_time().seconds() - 600);
  v1::ReportResponse response;
  grpc::ClientContext context;
  SetDeadline(context);
  ASSERT_TRUE(broker_->Report(&context, request, &response).ok());
  const google::protobuf::Timestamp& back = response.results(0).next_recover_time();
  EXPECT_EQ(back.seconds(), grant.expire_time().seconds() - 120 + 300);
  EXPECT_EQ(back.nanos(), grant.expire_time().nanos());
}

TEST_F(BrokerTest, AReportAboutAnOlderSecretThanItsLeasesIsStale) {
  ASSERT_TRUE(Create("a").ok());
  v1::UpdateCredentialRequest update;
  update.mutable_credential()->set_id("a");
  update.mutable_secret()->set_api_key("sk-second");
  v1::Credential updated;
  grpc::ClientContext admin_context, context;
  SetDeadline(admin_context);
  const grpc::Status status = admin_->UpdateCredential(&admin_context, update, &updated);
  ASSERT_TRUE(status.ok()) << status.error_message();
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  ASSERT_EQ(grant.material_version(), 2);
  v1::ReportRequest request;
  v1::ReportItem* item = request.add_items();
  item->set_lease_id(grant.lease_id());
  item->set_http_status(401);
  item->set_material_version(1);
  v1::ReportResponse response;
  SetDeadline(context);
  ASSERT_TRUE(broker_->Report(&context, request, &response).ok());
  EXPECT_EQ(response.results(0).disposition(), v1::REPORT_DISPOSITION_STALE);
  EXPECT_EQ(response.results(0).advice(), v1::ADVICE_RETRY_SAME);
  EXPECT_EQ(response.results(0).state(), v1::CREDENTIAL_STATE_AVAILABLE);
}

TEST_F(BrokerTest, AnUnknownLeaseIsUnknownAndNotAnError) {
  v1::ReportResponse response;
  ASSERT_TRUE(Report("bogus", 200, &response).ok());
  EXPECT_EQ(response.results(0).disposition(), v1::REPORT_DISPOSITION_UNKNOWN);
}

TEST_F(BrokerTest, AParkedCallIsServedWhenALeaseEnds) {
  ASSERT_TRUE(Create("a", nullptr, 1).ok());
  v1::Grant first, second;
  ASSERT_TRUE(Acquire(&first).ok());
  grpc::Status status;
  std::thread waiter([&] { status = Acquire(&second, absl::Seconds(20)); });
  while (engine_->Stats().pool.parked == 0) std::this_thread::yield();
  v1::ReportResponse response;
  ASSERT_TRUE(Report(first.lease_id(), 200, &response).ok());
  waiter.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(second.credential_id(), "a");
}

TEST_F(BrokerTest, CancellingAParkedCallFreesItsPlace) {
  ASSERT_TRUE(Create("a", nullptr, 1).ok());
  v1::Grant first, second;
  ASSERT_TRUE(Acquire(&first).ok());
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::Status status;
  std::thread waiter([&] {
    v1::AcquireRequest request;
    request.add_providers("openai");
    request.mutable_max_wait()->set_seconds(20);
    status = broker_->Acquire(&context, request, &second);
  });
  while (engine_->Stats().pool.parked == 0) std::this_thread::yield();
  context.TryCancel();
  waiter.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  const absl::Time give_up = absl::Now() + absl::Seconds(10);
  while (engine_->Stats().pool.parked != 0 && absl::Now() < give_up) std::this_thread::yield();
  EXPECT_EQ(engine_->Stats().pool.parked, 0u);
  // The call itself goes back to its pool.
  while (server_->guards()[0]->in_flight(CallClass::kUnary) != 0 && absl::Now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server_->guards()[0]->in_flight(CallClass::kUnary), 0);
}

TEST_F(BrokerTest, AParkedCallSeesItsRefusalBeforeItsDeadline) {
  ASSERT_TRUE(Create("a", nullptr, 1).ok());
  v1::Grant first, second;
  ASSERT_TRUE(Acquire(&first).ok());
  v1::AcquireRequest request;
  request.add_providers("openai");
  request.mutable_max_wait()->set_nanos(50'000'000);
  grpc::ClientContext context;
  SetDeadline(context);
  const grpc::Status status = broker_->Acquire(&context, request, &second);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(DetailsOf(status).info.reason(), "WAIT_EXPIRED");
}

TEST_F(BrokerTest, ASealedBrokerSaysSo) {
  gate_.Set(ServingGate::State::kSealed);
  v1::Grant grant;
  const grpc::Status status = Acquire(&grant);
  EXPECT_EQ(status.error_code(), CodeOf(v1::ERROR_REASON_SEALED));
  EXPECT_EQ(DetailsOf(status).info.reason(), "SEALED");
}

}  // namespace
}  // namespace credbroker::rpc
