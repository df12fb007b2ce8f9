#include "server/session/peer.h"

#include <gmock/gmock.h>

#include <set>

#include "absl/strings/match.h"
#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

using PeerTest = SessionTest;

TEST_F(PeerTest, TellsOfACredentialOnceAndThenByItsIndex) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  const v1::SessionResponse first = client.Stock(4);
  ASSERT_EQ(first.credentials_size(), 1);
  EXPECT_EQ(first.credentials(0).credential(), 1u);
  EXPECT_EQ(first.credentials(0).request_headers(0).value(), "Bearer sk-1");
  ASSERT_EQ(first.stocks_size(), 1);
  EXPECT_THAT(first.stocks(0).credentials(), testing::ElementsAre(1, 1, 1, 1));
  const v1::SessionResponse second = client.Stock(2);
  EXPECT_EQ(second.credentials_size(), 0);
  EXPECT_EQ(second.stocks(0).leases_size(), 2);
  EXPECT_EQ(second.processed(), client.number);
}

TEST_F(PeerTest, AnAcceptedSuccessEndsItsLeaseWithoutAWord) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  const v1::SessionResponse stock = client.Stock(3);
  v1::SessionRequest report = client.Next();
  *report.mutable_succeeded_leases() = stock.stocks(0).leases();
  EXPECT_EQ(client.Ask(report).results_size(), 0);
  EXPECT_EQ(Stats().pool.leases, 0u);
  // Again: each is a duplicate, and said to be one.
  report.set_number(++client.number);
  const v1::SessionResponse again = client.Ask(report);
  ASSERT_EQ(again.results_size(), 3);
  EXPECT_EQ(again.results(0).result().disposition(), v1::REPORT_DISPOSITION_DUPLICATE);
}

TEST_F(PeerTest, AForgedLeaseNumberTouchesNobodyElse) {
  ASSERT_TRUE(Create("a").ok());
  Client owner(*registry_), thief(*registry_);
  owner.Hello();
  thief.Hello();
  const uint64_t lease = owner.Stock(1).stocks(0).leases(0);
  const engine::AcquireAnswer unary = Acquire();
  v1::SessionRequest request = thief.Next();
  request.add_succeeded_leases(lease);
  request.add_succeeded_leases(engine::LeaseNumber(unary.reply.grant.seq, unary.reply.grant.cell));
  request.add_succeeded_leases(UINT64_MAX);
  request.add_released_leases(lease);
  request.add_renewals()->set_lease(lease);
  request.add_reports()->set_lease(lease + 1);
  request.mutable_reports(0)->mutable_item()->set_http_status(429);
  const v1::SessionResponse answer = thief.Ask(request);
  ASSERT_EQ(answer.results_size(), 4);
  for (const auto& result : answer.results()) {
    EXPECT_EQ(result.result().disposition(), v1::REPORT_DISPOSITION_UNKNOWN);
    EXPECT_TRUE(result.result().credential_id().empty());
  }
  EXPECT_TRUE(answer.renewals(0).has_refusal());
  EXPECT_EQ(Stats().pool.leases, 2u);
  EXPECT_EQ(engine_->Get("a")->state, core::State::kAvailable);
  EXPECT_EQ(registry_->counters().unknown_leases.value(), 5u) << "with the renewal";
}

TEST_F(PeerTest, RenewsALeaseUpToItsHardMaximumAndThenSaysSo) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  const uint64_t lease = client.Stock(1).stocks(0).leases(0);
  const auto renew = [&] {
    v1::SessionRequest request = client.Next();
    request.add_renewals()->set_lease(lease);
    request.mutable_renewals(0)->mutable_ttl()->set_seconds(3600);
    return client.Ask(request).renewals(0);
  };
  EXPECT_TRUE(renew().has_expire_time());
  Advance(absl::Seconds(1));
  const v1::SessionRenewal at_max = renew();
  EXPECT_FALSE(at_max.has_expire_time());
  EXPECT_EQ(at_max.refusal().code(), 9);
  EXPECT_THAT(at_max.refusal().message(), testing::HasSubstr("maximum"));
}

TEST_F(PeerTest, AFailureOnOneSessionRevokesTheStockOfAnother) {
  ASSERT_TRUE(Create("a").ok());
  Client one(*registry_), other(*registry_);
  one.Hello();
  other.Hello();
  const v1::SessionResponse stock = other.Stock(2);
  const uint64_t lease = one.Stock(1).stocks(0).leases(0);
  const v1::SessionResponse answer = one.Report(lease, 429);
  EXPECT_EQ(answer.results(0).result().disposition(), v1::REPORT_DISPOSITION_ACCEPTED);
  const v1::SessionResponse pushed = other.Read();
  ASSERT_EQ(pushed.revocations_size(), 1);
  const v1::SessionRevocation& revocation = pushed.revocations(0);
  EXPECT_EQ(revocation.number(), 1u);
  EXPECT_EQ(revocation.credential(), 1u);
  EXPECT_EQ(revocation.reason(), v1::SESSION_REVOCATION_REASON_COOLING);
  EXPECT_GE(revocation.covers(), stock.stocks(0).order());
  EXPECT_TRUE(revocation.has_until());
}

TEST_F(PeerTest, ARevocationNamesTheModelAsItsStockDid) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  EXPECT_EQ(client.Stock(2, "m(high)").stocks(0).models(0), "m(high)");
  const uint64_t lease = client.Stock(1, "m").stocks(0).leases(0);
  const v1::SessionResponse answer = client.Report(lease, 404);
  std::set<std::string> models;
  for (const auto& revocation : answer.revocations()) models.insert(revocation.model());
  EXPECT_EQ(models, (std::set<std::string>{"m", "m(high)"}));
}

TEST_F(PeerTest, NewMaterialIsPushedOnceUnderTheSameIndex) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_), stranger(*registry_);
  client.Hello();
  stranger.Hello();
  const v1::SessionResponse before = client.Stock(1);
  engine::Answer<core::CredentialView> answer;
  engine_->Update({.caller = {.actor = "ops"},
                   .id = "a",
                   .etag = "",
                   .patch = nullptr,
                   .secret = engine::MakeSecret("sk-2")},
                  answer.done());
  ASSERT_TRUE(answer.Get().ok());
  const v1::SessionResponse pushed = client.Read();
  ASSERT_EQ(pushed.credentials_size(), 1);
  EXPECT_EQ(pushed.credentials(0).credential(), 1u);
  EXPECT_EQ(pushed.credentials(0).request_headers(0).value(), "Bearer sk-2");
  EXPECT_GT(pushed.credentials(0).material_version(), before.credentials(0).material_version());
  EXPECT_EQ(stranger.Read().credentials_size(), 0) << "it was never told of this credential";
}

TEST_F(PeerTest, AParkedAcquireIsAnsweredWhenALeaseEnds) {
  CreateCapped("a", 1);
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  for (uint64_t call = 1; call <= 2; ++call) {
    v1::SessionAcquire* acquire = request.add_acquires();
    acquire->set_call(call);
    acquire->set_target(1);
    acquire->mutable_request()->mutable_max_wait()->set_seconds(30);
  }
  const v1::SessionResponse first = client.Ask(request);
  ASSERT_EQ(first.grants_size(), 1);
  EXPECT_EQ(first.grants(0).call(), 1u);
  EXPECT_TRUE(first.credentials(0).capped());
  v1::SessionRequest twice = client.Next();
  twice.add_released_leases(first.grants(0).lease());
  const v1::SessionResponse second = client.Ask(twice);
  ASSERT_EQ(second.grants_size(), 1);
  EXPECT_EQ(second.grants(0).call(), 2u);
  EXPECT_NE(second.grants(0).lease(), 0u);
}

TEST_F(PeerTest, ARepeatedCallThatDoesNotWaitTakesTheParkedOnesPlaceAndIsAnswered) {
  CreateCapped("a", 1);
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  for (uint64_t call = 1; call <= 3; ++call) {
    v1::SessionAcquire* acquire = request.add_acquires();
    acquire->set_call(call);
    acquire->set_target(1);
    if (call > 1) acquire->mutable_request()->set_request_id("r");
    if (call == 2) acquire->mutable_request()->mutable_max_wait()->set_seconds(30);
  }
  v1::SessionResponse answer = client.Ask(std::move(request));
  Advance(absl::Milliseconds(1));
  answer.MergeFrom(client.Read());
  ASSERT_EQ(answer.grants_size(), 3);
  std::set<uint64_t> refused;
  for (const v1::SessionGrant& grant : answer.grants()) {
    if (grant.has_refusal()) refused.insert(grant.call());
  }
  EXPECT_EQ(refused, (std::set<uint64_t>{2, 3}));
  EXPECT_EQ(Stats().pool.parked, 0u);
}

TEST_F(PeerTest, ACancelledCallIsAnsweredOnceAndTakesNoSlot) {
  CreateCapped("a", 1);
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  for (uint64_t call = 8; call <= 9; ++call) {
    v1::SessionAcquire* acquire = request.add_acquires();
    acquire->set_call(call);
    acquire->set_target(1);
    acquire->mutable_request()->mutable_max_wait()->set_seconds(30);
  }
  const uint64_t lease = client.Ask(request).grants(0).lease();
  v1::SessionRequest again = client.Next();
  *again.add_acquires() = request.acquires(1);
  client.peer().OnMessage(again);
  ASSERT_TRUE(client.wire.end.has_value()) << "call 9 is not answered yet";
  client.Break();
  EXPECT_EQ(Stats().pool.parked, 0u) << "nobody waits for it any more";

  Client other(*registry_);
  other.Hello();
  request.set_number(++other.number);
  EXPECT_EQ(other.Ask(request).grants_size(), 0);
  v1::SessionRequest cancel = other.Next();
  cancel.add_cancelled_calls(9);
  const v1::SessionResponse answer = other.Ask(cancel);
  ASSERT_EQ(answer.grants_size(), 1);
  EXPECT_EQ(answer.grants(0).call(), 9u);
  EXPECT_EQ(answer.grants(0).refusal().code(), static_cast<int>(grpc::StatusCode::CANCELLED));
  EXPECT_NE(lease, 0u);
}

TEST_F(PeerTest, AProbeOrACappedCredentialIsNeverStock) {
  CreateCapped("a", 5);
  Client client(*registry_);
  client.Hello();
  const v1::SessionResponse stock = client.Stock(4);
  ASSERT_EQ(stock.stocks_size(), 1);
  EXPECT_EQ(stock.stocks(0).leases_size(), 0);
  EXPECT_EQ(stock.stocks(0).refused(), 4u);
  EXPECT_EQ(stock.stocks(0).refusal().code(),
            static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
}

TEST_F(PeerTest, WhatNoCorrectClientSendsEndsTheStreamAndNobodyElses) {
  ASSERT_TRUE(Create("a").ok());
  Client bad(*registry_), good(*registry_);
  bad.Hello();
  good.Hello();
  v1::SessionRequest request = bad.Next();
  request.add_prefetches()->set_target(3);
  request.mutable_prefetches(0)->set_count(1);
  bad.Ask(request);
  ASSERT_TRUE(bad.wire.end.has_value());
  EXPECT_EQ(bad.wire.end->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(absl::StrContains(bad.wire.end->error_message(), "prefetches[0].target"));
  EXPECT_EQ(registry_->counters().bad_frames.value(), 1u);
  EXPECT_EQ(good.Stock(1).stocks(0).leases_size(), 1);
}

TEST_F(PeerTest, TargetsOfASessionTakeNoMoreRoomThanTheyMay) {
  Client client(*registry_), other(*registry_);
  client.Hello();
  other.Hello();
  const auto declare = [](v1::SessionRequest& request, uint32_t target) {
    v1::SessionTarget* out = request.add_targets();
    out->set_target(target);
    for (int i = 0; i < 16; ++i) out->add_providers(std::string(60, static_cast<char>('a' + i)));
    out->set_model(std::string(256, 'm'));
  };
  // One that is declared again takes the place of what it was.
  for (int i = 0; i < 10; ++i) {
    v1::SessionRequest request = client.Next();
    for (uint32_t target = 1; target <= 500; ++target) declare(request, target);
    client.Ask(request);
    ASSERT_FALSE(client.wire.end.has_value());
  }
  v1::SessionRequest request = client.Next();
  for (uint32_t target = 501; target <= 1'500; ++target) declare(request, target);
  client.Ask(request);
  ASSERT_TRUE(client.wire.end.has_value());
  EXPECT_EQ(client.wire.end->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(other.wire.end.has_value());
}

TEST_F(PeerTest, StopsReadingWhileTheClientDoesNot) {
  for (int i = 0; i < 64; ++i)
    ASSERT_TRUE(Create("c" + std::to_string(i), std::string(16'000, 'k')).ok());
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  v1::SessionPrefetch* prefetch = request.add_prefetches();
  prefetch->set_target(1);
  prefetch->set_count(64);
  const int reads = client.wire.reads;
  client.peer().OnMessage(request);  // a megabyte of credentials, of which nothing is read
  EXPECT_EQ(client.wire.reads, reads) << "no further message is asked for";
  EXPECT_EQ(client.Read().credentials_size(), 64);
  EXPECT_EQ(client.wire.reads, reads + 1);
}

TEST_F(PeerTest, ManyThatDoNotReadMayEachHaveLessUnread) {
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(Create("c" + std::to_string(i), std::string(16'000, 'k')).ok());
  }
  // A quarter of a megabyte each: none of them is stopped for what it alone has.
  std::vector<std::unique_ptr<Client>> deaf;
  const auto ask = [&](Client& client) {
    v1::SessionRequest request = client.Next();
    client.Target(1, "m", request);
    request.add_prefetches()->set_target(1);
    request.mutable_prefetches(0)->set_count(16);
    const int reads = client.wire.reads;
    client.peer().OnMessage(request);
    return client.wire.reads > reads;
  };
  size_t stopped_at = 0;
  while (deaf.size() < 300 && stopped_at == 0) {
    deaf.push_back(std::make_unique<Client>(*registry_));
    deaf.back()->Hello();
    v1::SessionRequest unread = deaf.back()->Next();
    deaf.back()->peer().OnMessage(unread);
    if (!ask(*deaf.back())) stopped_at = deaf.size();
  }
  EXPECT_GT(stopped_at, 100u);
  EXPECT_LT(stopped_at, 160u) << "32 MiB in all";
  Client reader(*registry_);
  reader.Hello();
  EXPECT_TRUE(ask(reader)) << "what is in flight does not count";
  reader.Read();
  EXPECT_TRUE(ask(reader));
  const int reads = deaf.back()->wire.reads;
  deaf.back()->Read();
  EXPECT_EQ(deaf.back()->wire.reads, reads + 1) << "it goes on where it reads";
  deaf.clear();
  EXPECT_EQ(registry_->AddQueued(0), 0) << "what is over is given back";
}

TEST_F(PeerTest, HoldsNoMoreLeasesThanItMay) {
  terms_.max_leases = 10;
  registry_->SetTerms(terms_);
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  EXPECT_EQ(client.Stock(8).stocks(0).leases_size(), 8);
  const v1::SessionResponse over = client.Stock(8);
  ASSERT_EQ(over.stocks_size(), 1);
  EXPECT_EQ(over.stocks(0).refused(), 8u);
  EXPECT_EQ(over.stocks(0).refusal().code(),
            static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
  // What expired does not count, though nobody told.
  Advance(absl::Seconds(14));
  client.Ask(client.Next());
  for (int i = 0; i < 12; ++i) {
    Advance(absl::Seconds(10));
    client.Ask(client.Next());
  }
  EXPECT_EQ(client.Stock(8).stocks(0).leases_size(), 8);
}

}  // namespace
}  // namespace credbroker::session
