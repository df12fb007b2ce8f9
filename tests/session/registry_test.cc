#include "server/session/registry.h"

#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

using RegistryTest = SessionTest;

TEST_F(RegistryTest, ASilentSessionIsLostAfterTtlAndItsLeasesAreFreedAfterGrace) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(5);
  Advance(terms_.ttl - absl::Milliseconds(1));
  EXPECT_FALSE(client.wire.end.has_value());
  Advance(absl::Milliseconds(1));
  ASSERT_TRUE(client.wire.end.has_value());
  EXPECT_EQ(client.wire.end->error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  Advance(terms_.grace - absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 5u) << "it may still resume";
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 0u);
  EXPECT_EQ(registry_->stats(0).detached, 0u);
  EXPECT_EQ(registry_->counters().silent.value(), 1u);
}

TEST_F(RegistryTest, APingKeepsASessionAlive) {
  Client client(*registry_);
  client.Hello();
  for (uint64_t i = 1; i < 20; ++i) {
    Advance(absl::Seconds(5));
    v1::SessionRequest ping = client.Next();
    ping.set_ping(i);
    EXPECT_EQ(client.Ask(ping).pong(), i);
  }
  EXPECT_FALSE(client.wire.end.has_value());
}

TEST_F(RegistryTest, ABrokenStreamCountsFromWhenItWasHeardLast) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(5);
  Advance(absl::Seconds(10));
  client.Break();
  EXPECT_EQ(registry_->stats(0).detached, 1u);
  Advance(terms_.ttl + terms_.grace - absl::Seconds(10) - absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 5u);
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 0u);
}

TEST_F(RegistryTest, AClientThatDoesNotReadIsEndedAndThenCut) {
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest unread = client.Next();
  client.peer().OnMessage(unread);
  ASSERT_TRUE(client.wire.in_flight);
  for (int i = 0; i < 3; ++i) {
    Advance(absl::Seconds(5));
    v1::SessionRequest ping = client.Next();
    client.peer().OnMessage(ping);  // it talks, and reads nothing
  }
  ASSERT_TRUE(client.wire.end.has_value());
  EXPECT_EQ(client.wire.end->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(client.wire.cut);
  Advance(absl::Seconds(1));
  EXPECT_TRUE(client.wire.cut);
  EXPECT_EQ(registry_->counters().cut.value(), 1u);
}

TEST_F(RegistryTest, ASessionThatHoldsNothingIsForgottenWithItsStream) {
  Client client(*registry_);
  client.Hello();
  client.Break();
  EXPECT_EQ(registry_->stats(0).detached, 0u);
  EXPECT_EQ(Stats().pool.sessions_detached, 0u);
}

TEST_F(RegistryTest, LimitsSessionsInAllAndOfOnePrincipal) {
  terms_.max_sessions = 3;
  terms_.max_sessions_per_principal = 2;
  registry_->SetTerms(terms_);
  Client a(*registry_, "p"), b(*registry_, "p"), c(*registry_, "p"), d(*registry_, "q"),
      e(*registry_, "r");
  a.Hello();
  b.Hello();
  c.Hello();
  ASSERT_TRUE(c.wire.end.has_value());
  EXPECT_EQ(c.wire.end->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  d.Hello();
  EXPECT_FALSE(d.wire.end.has_value());
  e.Hello();
  ASSERT_TRUE(e.wire.end.has_value());
  EXPECT_EQ(registry_->counters().refused.value(), 2u);
  a.Break();
  Client f(*registry_, "p");
  f.Hello();
  EXPECT_FALSE(f.wire.end.has_value());
}

TEST_F(RegistryTest, TheMarkerIsSetBeforeTheFirstWelcomeAndClearedAfterTheLastSession) {
  {
    Client client(*registry_);
    client.Hello();
    client.Break();
    RestartAll();
    EXPECT_TRUE(engine_->sessions().were_live());
  }
  for (int i = 0; i < 10; ++i) Advance(absl::Seconds(5));
  engine_->Drain();
  RestartAll();
  EXPECT_FALSE(engine_->sessions().were_live());
}

TEST_F(RegistryTest, DisablingIsSettledOnceEverySessionThatKnowsAcknowledged) {
  ASSERT_TRUE(Create("a").ok());
  Client knows(*registry_), also(*registry_), stranger(*registry_);
  knows.Hello();
  also.Hello();
  stranger.Hello();
  knows.Stock(1);
  also.Stock(1);
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  EXPECT_FALSE(settled);
  const v1::SessionResponse told = knows.Read();
  ASSERT_EQ(told.revocations_size(), 1);
  EXPECT_EQ(told.revocations(0).reason(), v1::SESSION_REVOCATION_REASON_DISABLED);
  knows.Acknowledge(told.revocations(0).number());
  EXPECT_FALSE(settled) << "the other one did not say so yet";
  also.Acknowledge(also.Read().revocations(0).number());
  EXPECT_TRUE(settled);
}

TEST_F(RegistryTest, DisablingIsSettledWhenASessionIsLost) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(1);
  client.Break();  // it may go on handing out until its ttl is over
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  Advance(terms_.ttl - absl::Milliseconds(1));
  EXPECT_FALSE(settled);
  Advance(absl::Milliseconds(1));
  EXPECT_TRUE(settled);
}

TEST_F(RegistryTest, DisablingIsSettledAtOnceWhereNobodyKnows) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  EXPECT_TRUE(settled);
}

TEST_F(RegistryTest, AsksToGoAndThenTakesNoNewSession) {
  Client client(*registry_), late(*registry_);
  client.Hello();
  registry_->GoAway(absl::Seconds(2), "stopping");
  const v1::SessionResponse told = client.Read();
  EXPECT_EQ(told.go_away().spread().seconds(), 2);
  late.Hello();
  ASSERT_TRUE(late.wire.end.has_value());
  EXPECT_EQ(late.wire.end->error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace credbroker::session
