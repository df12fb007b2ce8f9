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
  EXPECT_FALSE(client.wire.cut);
  Advance(terms_.grace - absl::Milliseconds(1));
  EXPECT_TRUE(client.wire.cut) << "a stopped one takes no end";
  EXPECT_EQ(Stats().pool.session_leases, 5u) << "it may still resume";
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 0u);
  EXPECT_EQ(registry_->stats(0).detached, 0u);
  EXPECT_EQ(registry_->counters().silent.value(), 1u);
}

TEST_F(RegistryTest, ASessionKeepsTheTermsItWasPromised) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(5);
  Terms shorter = terms_;
  shorter.ttl = terms_.ttl / 2;
  shorter.grace = terms_.grace / 2;
  registry_->SetTerms(shorter);
  Advance(terms_.ttl - absl::Milliseconds(1));
  EXPECT_FALSE(client.wire.end.has_value()) << "it may hand out until then";
  Advance(absl::Milliseconds(1));
  EXPECT_TRUE(client.wire.end.has_value());
  Advance(terms_.grace - absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 5u);
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Stats().pool.session_leases, 0u);
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

TEST_F(RegistryTest, AClientWhoseMessagesGoOutInTimeIsNotCut) {
  Client client(*registry_);
  client.Hello();
  for (int i = 0; i < 40; ++i) {
    v1::SessionRequest ping = client.Next();
    client.peer().OnMessage(ping);
    Advance(terms_.ttl - absl::Milliseconds(1));  // slow, and never quite too slow
    client.Read();
  }
  EXPECT_FALSE(client.wire.end.has_value());
  EXPECT_EQ(registry_->counters().cut.value(), 0u);
}

TEST_F(RegistryTest, AClientThatTakesItsAnswersWhileItsMessagesAreNotReadIsNotSilent) {
  for (int i = 0; i < 128; ++i) {
    ASSERT_TRUE(Create("c" + std::to_string(i), std::string(16'000, 'k')).ok());
  }
  Client slow(*registry_), stopped(*registry_);
  const auto ask = [&](Client& client) {  // two megabytes of credentials
    client.Hello();
    v1::SessionRequest request = client.Next();
    client.Target(1, "m", request);
    request.add_prefetches()->set_target(1);
    request.mutable_prefetches(0)->set_count(128);
    const int reads = client.wire.reads;
    client.peer().OnMessage(request);
    ASSERT_EQ(client.wire.reads, reads) << "what it sends is not read";
  };
  ask(slow);
  ask(stopped);
  const int reads = slow.wire.reads;
  int taken = 0;
  for (; slow.wire.reads == reads; ++taken) {
    Advance(terms_.ttl - absl::Milliseconds(1));
    ASSERT_FALSE(slow.wire.end.has_value()) << "after " << taken << " messages";
    slow.wire.in_flight = false;
    slow.peer().OnWritten();
  }
  EXPECT_GT(taken, 3);
  EXPECT_TRUE(stopped.wire.end.has_value()) << "this one neither reads nor writes";
  Advance(terms_.ttl - absl::Milliseconds(1));
  EXPECT_FALSE(slow.wire.end.has_value()) << "it was able to write only now";
  Advance(absl::Milliseconds(1));
  EXPECT_TRUE(slow.wire.end.has_value());
}

TEST_F(RegistryTest, WhatIsPushedToAClientThatDoesNotReadDoesNotPileUp) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(2);
  v1::SessionRequest unread = client.Next();
  client.peer().OnMessage(unread);
  ASSERT_TRUE(client.wire.in_flight);
  const size_t sent = client.wire.sent.size();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(SetIntent("a", i % 2 != 0).ok());
    engine::Answer<core::CredentialView> answer;
    engine_->Update({.caller = {.actor = "ops"},
                     .id = "a",
                     .etag = "",
                     .patch = nullptr,
                     .secret = engine::MakeSecret("sk-" + std::to_string(i))},
                    answer.done());
    ASSERT_TRUE(answer.Get().ok());
  }
  EXPECT_EQ(client.wire.sent.size(), sent);
  const v1::SessionResponse all = client.Read();
  EXPECT_GE(registry_->counters().revocations.value(), 100u);
  EXPECT_EQ(all.revocations_size(), 1) << "the newest stands for all";
  ASSERT_EQ(all.credentials_size(), 1);
  EXPECT_EQ(all.credentials(0).request_headers(0).value(), "Bearer sk-199");
}

TEST_F(RegistryTest, AClientThatIsHeardAndAcknowledgesNothingIsCut) {
  ASSERT_TRUE(Create("a").ok());
  Client deaf(*registry_), good(*registry_);
  deaf.Hello();
  good.Hello();
  deaf.Stock(1);
  good.Stock(1);
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  good.Acknowledge(good.Read().revocations(0).number());
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(deaf.wire.end.has_value()) << i;
    deaf.Ask(deaf.Next());  // its window is wide: every message goes out
    good.Ask(good.Next());
    Advance(terms_.ttl / 3);
  }
  ASSERT_TRUE(deaf.wire.end.has_value());
  EXPECT_EQ(deaf.wire.end->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(settled);
  Advance(absl::Seconds(1));
  EXPECT_TRUE(deaf.wire.cut);
  deaf.Break();
  Advance(terms_.ttl);
  EXPECT_TRUE(settled) << "it was lost";
  EXPECT_EQ(registry_->counters().cut.value(), 1u);
}

TEST_F(RegistryTest, AnAcknowledgementOfOneRevocationGivesTimeForTheNext) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(1);
  for (uint64_t i = 1; i <= 8; ++i) {
    ASSERT_TRUE(SetIntent("a", false).ok());
    Advance(terms_.ttl - absl::Milliseconds(1));
    client.Acknowledge(i);
    ASSERT_TRUE(SetIntent("a", true).ok());
  }
  EXPECT_FALSE(client.wire.end.has_value());
}

TEST_F(RegistryTest, AStreamThatNeverSaysHelloIsEndedAndThenCut) {
  Client mute(*registry_), late(*registry_);
  Advance(terms_.ttl - absl::Milliseconds(1));
  EXPECT_FALSE(mute.wire.end.has_value());
  late.Hello();
  Advance(absl::Milliseconds(1));
  ASSERT_TRUE(mute.wire.end.has_value());
  EXPECT_EQ(mute.wire.end->error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(late.wire.end.has_value());
  Advance(absl::Seconds(1));
  EXPECT_TRUE(mute.wire.cut);
  EXPECT_FALSE(late.wire.cut);
  EXPECT_EQ(registry_->counters().silent.value(), 1u);
}

TEST_F(RegistryTest, AStreamThatIsRefusedAndDoesNotGoIsCut) {
  terms_.max_sessions = 1;
  registry_->SetTerms(terms_);
  Client first(*registry_), refused(*registry_), bad(*registry_);
  first.Hello();
  refused.Hello();
  ASSERT_TRUE(refused.wire.end.has_value());
  v1::SessionRequest no_hello = bad.Next();
  bad.Ask(no_hello);
  ASSERT_TRUE(bad.wire.end.has_value());
  Advance(absl::Milliseconds(1));
  Advance(absl::Seconds(1));
  EXPECT_TRUE(refused.wire.cut);
  EXPECT_TRUE(bad.wire.cut);
  EXPECT_FALSE(first.wire.cut);
}

TEST_F(RegistryTest, EndsStreamsWithoutHelloTooWhenTheServerStops) {
  Client mute(*registry_), client(*registry_);
  client.Hello();
  registry_->EndAll(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping"));
  EXPECT_TRUE(client.wire.end.has_value());
  EXPECT_TRUE(mute.wire.end.has_value());
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

TEST_F(RegistryTest, DisablingIsNotSettledByASessionThatIsBeingEnded) {
  ASSERT_TRUE(Create("a").ok());
  Client client(*registry_);
  client.Hello();
  client.Stock(1);
  client.peer().End(grpc::Status(grpc::StatusCode::ABORTED, "ended"));
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  EXPECT_FALSE(settled) << "it is told nothing any more, and may hand out what it has";
  client.Break();
  EXPECT_FALSE(settled);
  Advance(terms_.ttl);
  EXPECT_TRUE(settled) << "it was lost";
}

TEST_F(RegistryTest, DisablingWaitsForClientsOfTheProcessBefore) {
  ASSERT_TRUE(Create("a").ok());
  {
    Client before(*registry_);
    before.Hello();
    before.Stock(1);
    before.Break();
    RestartAll();
  }
  ASSERT_TRUE(SetIntent("a", false).ok());
  bool settled = false;
  registry_->WhenSettled(engine_->Get("a")->uid, [&] { settled = true; });
  Advance(terms_.ttl - absl::Milliseconds(1));
  EXPECT_FALSE(settled) << "they may hand it out until their ttl is over";
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
