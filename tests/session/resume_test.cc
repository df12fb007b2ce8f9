// Sessions that go on: on another stream, and in another process.
#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

using ResumeTest = SessionTest;

// Every lease of a stock, as its client would bring it back.
std::vector<v1::SessionResumedLease> Leases(const v1::SessionResponse& response) {
  std::vector<v1::SessionResumedLease> out;
  for (const v1::SessionStock& stock : response.stocks()) {
    for (int i = 0; i < stock.leases_size(); ++i) {
      v1::SessionResumedLease lease;
      lease.set_lease(stock.leases(i));
      lease.set_model(stock.models(0));
      for (const v1::SessionCredential& credential : response.credentials()) {
        if (credential.credential() == stock.credentials(i)) lease.set_ticket(credential.ticket());
      }
      *lease.mutable_grant_time() = stock.grant_time();
      *lease.mutable_expire_time() = stock.expire_time();
      out.push_back(std::move(lease));
    }
  }
  return out;
}

TEST_F(ResumeTest, GoesOnWithTheLeasesItNamesAndReleasesTheOthers) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  std::vector<v1::SessionResumedLease> leases = Leases(before.Stock(3));
  const uint64_t dropped = leases.back().lease();
  leases.pop_back();
  before.Break();
  Advance(terms_.ttl + terms_.grace - absl::Seconds(1));
  Client after(*registry_);
  const v1::SessionResponse hello = after.Hello(id, leases);
  EXPECT_TRUE(hello.welcome().resumed());
  EXPECT_EQ(hello.welcome().session_id(), id);
  ASSERT_EQ(hello.resumptions_size(), 2);
  ASSERT_EQ(hello.credentials_size(), 1) << "indexes begin anew, so it is told again";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(hello.resumptions(i).old_lease(), leases[static_cast<size_t>(i)].lease());
    EXPECT_EQ(hello.resumptions(i).lease(), leases[static_cast<size_t>(i)].lease());
    EXPECT_EQ(hello.resumptions(i).credential(), 1u);
  }
  EXPECT_EQ(Stats().pool.session_leases, 2u);
  EXPECT_EQ(after.Report(leases[0].lease(), 200).results(0).result().disposition(),
            v1::REPORT_DISPOSITION_ACCEPTED);
  EXPECT_EQ(after.Report(dropped, 200).results(0).result().disposition(),
            v1::REPORT_DISPOSITION_LATE);
}

TEST_F(ResumeTest, AnotherPrincipalDoesNotFindIt) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_, "mine");
  const std::string id = before.Hello().welcome().session_id();
  const auto leases = Leases(before.Stock(1));
  before.Break();
  Client thief(*registry_, "other");
  const v1::SessionResponse hello = thief.Hello(id, leases);
  EXPECT_FALSE(hello.welcome().resumed());
  EXPECT_NE(hello.welcome().session_id(), id);
  ASSERT_EQ(hello.resumptions_size(), 1);
  EXPECT_EQ(hello.resumptions(0).lease(), 0u) << "nor does the ticket prove anything";
  EXPECT_EQ(Stats().pool.session_leases, 1u);
}

TEST_F(ResumeTest, TheStreamBeforeIsReplaced) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_), after(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  const auto leases = Leases(before.Stock(1));
  EXPECT_TRUE(after.Hello(id, leases).welcome().resumed());
  ASSERT_TRUE(before.wire.end.has_value());
  EXPECT_EQ(before.wire.end->error_code(), grpc::StatusCode::ABORTED);
  before.Break();
  EXPECT_EQ(registry_->open(), 1u) << "the end of the old stream is not the session's";
  EXPECT_EQ(after.Report(leases[0].lease(), 200).results(0).result().disposition(),
            v1::REPORT_DISPOSITION_ACCEPTED);
}

TEST_F(ResumeTest, WhatWasDisabledMeanwhileIsRevokedWithTheResumption) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  const auto leases = Leases(before.Stock(2));
  before.Break();
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  Client after(*registry_);
  const v1::SessionResponse hello = after.Hello(id, leases);
  ASSERT_EQ(hello.revocations_size(), 1);
  EXPECT_EQ(hello.revocations(0).reason(), v1::SESSION_REVOCATION_REASON_DISABLED);
  for (const auto& resumption : hello.resumptions()) {
    EXPECT_GE(hello.revocations(0).covers(), resumption.order());
  }
  EXPECT_FALSE(settled) << "the wait passed on to the new stream";
  after.Acknowledge(hello.revocations(0).number());
  EXPECT_TRUE(settled);
}

TEST_F(ResumeTest, WhatIsRevokedThenCoversLeasesThatWereReleasedBeforeToo) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  const auto leases = Leases(before.Stock(1));
  const v1::SessionResponse newer = before.Stock(1);
  v1::SessionRequest release = before.Next();
  release.add_released_leases(newer.stocks(0).leases(0));
  before.Ask(release);
  before.Break();
  ASSERT_TRUE(SetIntent("a", false).ok());
  Client between(*registry_);
  EXPECT_EQ(between.Hello(id, leases).revocations_size(), 1);
  between.Break();  // and nobody read it
  Client after(*registry_);
  const v1::SessionResponse hello = after.Hello(id, leases);
  ASSERT_EQ(hello.revocations_size(), 1);
  EXPECT_GE(hello.revocations(0).covers(), newer.stocks(0).order())
      << "its client may still know the material from that grant";
}

TEST_F(ResumeTest, DisablingWaitsForAHelloThatIsNotOver) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  const auto leases = Leases(before.Stock(1));
  before.Break();
  bool settled_early = false, settled_late = false;
  const core::Uid uid = engine_->Get("a")->uid;
  Client after(*registry_);
  // As if it began while the registry gives the session to this stream.
  after.peer().Settle(uid, std::make_shared<Settlement>([&] { settled_early = true; }));
  EXPECT_FALSE(settled_early);
  v1::SessionRequest first = after.Next();
  first.mutable_hello()->set_session_id(id);
  first.mutable_hello()->set_more(true);
  after.Ask(first);
  ASSERT_TRUE(SetIntent("a", false).ok());
  registry_->WhenSettled(uid, [&] { settled_late = true; });
  EXPECT_FALSE(settled_late) << "what is presented next may be of this credential";
  v1::SessionRequest second = after.Next();
  *second.mutable_hello()->add_leases() = leases[0];
  const v1::SessionResponse told = after.Ask(second);
  ASSERT_EQ(told.revocations_size(), 1);
  EXPECT_FALSE(settled_early);
  EXPECT_FALSE(settled_late);
  after.Acknowledge(told.revocations(0).number());
  EXPECT_TRUE(settled_early);
  EXPECT_TRUE(settled_late);
}

TEST_F(ResumeTest, DisablingIsSettledWithAHelloThatPresentsNothingOfIt) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  v1::SessionRequest first = client.Next();
  first.mutable_hello()->set_more(true);
  client.peer().OnMessage(first);
  while (client.wire.reads == 0) std::this_thread::yield();
  client.Read();
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  EXPECT_FALSE(settled);
  v1::SessionRequest last = client.Next();
  last.mutable_hello();
  client.Ask(last);
  EXPECT_TRUE(settled);
}

TEST_F(ResumeTest, AReportThatWasAppliedButNotAnsweredIsADuplicateAfterwards) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  const auto leases = Leases(before.Stock(2));
  before.Report(leases[0].lease(), 200);  // the answer got lost
  before.Break();
  Client after(*registry_);
  const v1::SessionResponse hello = after.Hello(id, leases);
  ASSERT_EQ(hello.resumptions_size(), 2);
  EXPECT_EQ(hello.resumptions(0).lease(), leases[0].lease());
  EXPECT_EQ(after.Report(leases[0].lease(), 200).results(0).result().disposition(),
            v1::REPORT_DISPOSITION_DUPLICATE);
  EXPECT_EQ(Stats().pool.leases_adopted, 0u);
}

TEST_F(ResumeTest, AfterARestartLeasesAreAdoptedByTheirTickets) {
  ASSERT_TRUE(Create("a").ok());
  std::vector<v1::SessionResumedLease> leases;
  std::string id;
  {
    Client before(*registry_);
    id = before.Hello().welcome().session_id();
    leases = Leases(before.Stock(2));
    before.Break();
    RestartAll();
  }
  leases.push_back(leases[0]);
  leases.back().set_lease(12345);
  leases.back().mutable_ticket()->back() ^= 1;
  Client after(*registry_);
  const v1::SessionResponse hello = after.Hello(id, leases);
  EXPECT_FALSE(hello.welcome().resumed()) << "this process knows no such session";
  ASSERT_EQ(hello.resumptions_size(), 3);
  EXPECT_NE(hello.resumptions(0).lease(), 0u);
  EXPECT_NE(hello.resumptions(1).lease(), 0u);
  EXPECT_EQ(hello.resumptions(2).lease(), 0u) << "a forged ticket proves nothing";
  EXPECT_EQ(hello.resumptions(0).credential(), 1u);
  EXPECT_EQ(Stats().pool.leases_adopted, 2u);
  EXPECT_EQ(after.Report(hello.resumptions(0).lease(), 200).results(0).result().disposition(),
            v1::REPORT_DISPOSITION_ACCEPTED);
}

TEST_F(ResumeTest, LeasesServedWithoutTheBrokerAreTakenInBesideTheHello) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  std::vector<v1::SessionResumedLease> leases = Leases(client.Stock(1));
  v1::SessionRequest request = client.Next();
  for (v1::SessionResumedLease& lease : leases) {
    lease.set_lease(uint64_t{0xffffffff} << 32 | 1);
    *request.add_served_leases() = lease;
    lease.set_lease(uint64_t{0xffffffff} << 32 | 2);
    lease.mutable_ticket()->back() ^= 1;
    *request.add_served_leases() = std::move(lease);
  }
  request.set_ping(7);
  const v1::SessionResponse answer = client.Ask(std::move(request));
  ASSERT_EQ(answer.resumptions_size(), 2);
  EXPECT_EQ(answer.resumptions(0).old_lease(), uint64_t{0xffffffff} << 32 | 1);
  EXPECT_NE(answer.resumptions(0).lease(), 0u);
  EXPECT_EQ(answer.resumptions(0).credential(), 1u);
  EXPECT_EQ(answer.resumptions(1).lease(), 0u) << "a forged ticket proves nothing";
  EXPECT_EQ(answer.pong(), 7u);
  EXPECT_EQ(Stats().pool.session_leases, 2u);
  EXPECT_EQ(client.Report(answer.resumptions(0).lease(), 429).results(0).result().disposition(),
            v1::REPORT_DISPOSITION_ACCEPTED);
}

TEST_F(ResumeTest, NobodyTakesASlotOfACappedCredentialAsServedWithoutTheBroker) {
  CreateCapped("a", 2);
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  request.add_acquires()->set_call(1);
  request.mutable_acquires(0)->set_target(1);
  const v1::SessionResponse first = client.Ask(request);
  ASSERT_EQ(first.grants_size(), 1);
  v1::SessionRequest more = client.Next();
  v1::SessionResumedLease* served = more.add_served_leases();
  served->set_lease(uint64_t{0xffffffff} << 32 | 1);
  served->set_model("m");
  served->set_ticket(first.credentials(0).ticket());
  *served->mutable_grant_time() = first.grants(0).grant_time();
  *served->mutable_expire_time() = first.grants(0).expire_time();
  const v1::SessionResponse answer = client.Ask(more);
  ASSERT_EQ(answer.resumptions_size(), 1);
  EXPECT_EQ(answer.resumptions(0).lease(), 0u);
  EXPECT_EQ(Stats().pool.session_leases, 1u);
}

TEST_F(ResumeTest, LeasesServedWithoutTheBrokerCountAgainstTheLimitOfASession) {
  ASSERT_TRUE(Create("a").ok());
  registry_ = nullptr;
  terms_.max_leases = 4;
  StartRegistry();
  Client client(*registry_);
  client.Hello();
  const v1::SessionResponse stock = client.Stock(2);
  v1::SessionRequest request = client.Next();
  for (uint64_t number = 1; number <= 5; ++number) {
    *request.add_served_leases() = Leases(stock)[0];
    request.mutable_served_leases()->rbegin()->set_lease(uint64_t{0xffffffff} << 32 | number);
  }
  const v1::SessionResponse answer = client.Ask(std::move(request));
  ASSERT_EQ(answer.resumptions_size(), 5);
  int taken = 0;
  for (const v1::SessionResumption& each : answer.resumptions()) taken += each.lease() != 0 ? 1 : 0;
  EXPECT_EQ(taken, 2);
  EXPECT_EQ(Stats().pool.session_leases, 4u);
}

TEST_F(ResumeTest, AfterARestartCappedCredentialsWaitForThoseWhoResume) {
  CreateCapped("a", 1);
  {
    Client before(*registry_);
    before.Hello();
    before.Break();
    RestartAll();
  }
  EXPECT_EQ(Acquire().reply.refusal.reason, core::Refusal::kResumeOnly);
  Advance(absl::Seconds(30));
  EXPECT_EQ(Acquire().reply.kind, core::AcquireReply::Kind::kGranted);
}

TEST_F(ResumeTest, ManyLeasesComeInSeveralMessages) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  std::vector<v1::SessionResumedLease> leases;
  for (int i = 0; i < 3; ++i) {
    v1::SessionResponse stock = before.Stock(512);
    if (i > 0) {
      v1::SessionCredential* credential = stock.add_credentials();
      credential->set_credential(1);
      credential->set_ticket(leases[0].ticket());
    }
    for (auto& lease : Leases(stock)) leases.push_back(std::move(lease));
  }
  ASSERT_EQ(leases.size(), 1536u);
  before.Break();
  Client after(*registry_);
  v1::SessionRequest first = after.Next();
  first.mutable_hello()->set_session_id(id);
  first.mutable_hello()->set_more(true);
  for (size_t i = 0; i < 1024; ++i) *first.mutable_hello()->add_leases() = leases[i];
  const v1::SessionResponse welcome = after.Ask(first);
  EXPECT_EQ(welcome.resumptions_size(), 1024);
  EXPECT_EQ(Stats().pool.session_leases, 1536u) << "what is named later is not yet released";
  v1::SessionRequest second = after.Next();
  second.mutable_hello();
  for (size_t i = 1024; i < 1500; ++i) *second.mutable_hello()->add_leases() = leases[i];
  EXPECT_EQ(after.Ask(second).resumptions_size(), 476);
  EXPECT_EQ(Stats().pool.session_leases, 1500u);
}

}  // namespace
}  // namespace credbroker::session
