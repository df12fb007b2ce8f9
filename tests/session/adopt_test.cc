// Leases that a session takes in by their tickets, and answers to that which get lost.
#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

constexpr uint64_t kInvented = uint64_t{0xffffffff} << 32;

class AdoptTest : public SessionTest {
 protected:
  // A lease of `id`, as its client would bring it to a later process.
  v1::SessionResumedLease LeaseOfBefore(std::string* session_id) {
    Client client(*registry_);
    *session_id = client.Hello().welcome().session_id();
    v1::SessionRequest request = client.Next();
    client.Target(1, "m", request);
    request.add_acquires()->set_call(1);
    request.mutable_acquires(0)->set_target(1);
    const v1::SessionResponse answer = client.Ask(request);
    v1::SessionResumedLease lease;
    lease.set_lease(answer.grants(0).lease());
    lease.set_model(answer.grants(0).model());
    lease.set_ticket(answer.credentials(0).ticket());
    *lease.mutable_grant_time() = answer.grants(0).grant_time();
    *lease.mutable_expire_time() = answer.grants(0).expire_time();
    client.Break();
    return lease;
  }
};

TEST_F(AdoptTest, ALeaseThatIsPresentedAgainIsTheOneThatWasAdopted) {
  CreateCapped("a", 1);
  std::string old_id;
  v1::SessionResumedLease lease = LeaseOfBefore(&old_id);
  RestartAll();
  lease.set_lease(kInvented | 1);  // it began while that process was away
  Client before(*registry_);
  const v1::SessionResponse first = before.Hello(old_id, {lease});
  ASSERT_NE(first.resumptions(0).lease(), 0u);
  before.Break();  // of its answer only the welcome got through
  for (int i = 0; i < 2; ++i) {
    Client after(*registry_);
    const v1::SessionResponse again = after.Hello(first.welcome().session_id(), {lease});
    EXPECT_TRUE(again.welcome().resumed());
    ASSERT_EQ(again.resumptions_size(), 1);
    EXPECT_EQ(again.resumptions(0).lease(), first.resumptions(0).lease()) << i;
    EXPECT_EQ(Stats().pool.session_leases, 1u);
    EXPECT_EQ(Stats().pool.leases_adopted, 1u);
  }
}

TEST_F(AdoptTest, ASessionWhoseWelcomeGotLostIsFoundUnderTheNameOfTheOneBefore) {
  CreateCapped("a", 1);
  std::string old_id;
  const v1::SessionResumedLease lease = LeaseOfBefore(&old_id);
  RestartAll();
  Client before(*registry_);
  const v1::SessionResponse first = before.Hello(old_id, {lease});
  ASSERT_NE(first.resumptions(0).lease(), 0u);
  before.Break();
  Client stranger(*registry_, "other");
  EXPECT_NE(stranger.Hello(old_id).welcome().session_id(), first.welcome().session_id());
  Client after(*registry_);
  const v1::SessionResponse again = after.Hello(old_id, {lease});
  EXPECT_FALSE(again.welcome().resumed()) << "it is new to its client";
  EXPECT_EQ(again.welcome().session_id(), first.welcome().session_id());
  ASSERT_EQ(again.resumptions_size(), 1);
  EXPECT_EQ(again.resumptions(0).lease(), first.resumptions(0).lease());
  EXPECT_EQ(Stats().pool.session_leases, 1u);
  EXPECT_EQ(Stats().pool.leases_adopted, 1u);
  EXPECT_EQ(registry_->stats(0).open, 2u);
  EXPECT_EQ(registry_->stats(0).detached, 0u);
}

TEST_F(AdoptTest, NumbersOfAnotherProcessNameNothingInASessionThatIsNewToItsClient) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  std::string old_id;
  const v1::SessionResumedLease one = LeaseOfBefore(&old_id);
  v1::SessionResumedLease other = LeaseOfBefore(&old_id);
  ASSERT_NE(one.lease(), other.lease());
  RestartAll();
  Client before(*registry_);
  const v1::SessionResponse first = before.Hello(old_id, {other});
  ASSERT_EQ(first.resumptions(0).lease(), one.lease()) << "numbers start again";
  before.Break();
  Client after(*registry_);
  const v1::SessionResponse again = after.Hello(old_id, {one, other});
  ASSERT_EQ(again.resumptions_size(), 2);
  EXPECT_NE(again.resumptions(0).lease(), first.resumptions(0).lease());
  EXPECT_EQ(again.resumptions(1).lease(), first.resumptions(0).lease());
  EXPECT_NE(again.resumptions(0).credential(), again.resumptions(1).credential());
  EXPECT_EQ(Stats().pool.session_leases, 2u);
}

TEST_F(AdoptTest, ASessionIsKnownByItsOwnNameOnceItsClientSaysIt) {
  ASSERT_TRUE(Create("a").ok());
  std::string old_id;
  const v1::SessionResumedLease lease = LeaseOfBefore(&old_id);
  RestartAll();
  Client before(*registry_);
  const std::string id = before.Hello(old_id, {lease}).welcome().session_id();
  before.Break();
  Client after(*registry_);
  EXPECT_TRUE(after.Hello(id, {lease}).welcome().resumed());
  Client other(*registry_);
  EXPECT_NE(other.Hello(old_id).welcome().session_id(), id);
  EXPECT_FALSE(after.wire.end.has_value());
}

TEST_F(AdoptTest, AServedLeaseWhoseAnswerGotLostIsPresentedInTheNextHello) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  v1::SessionResumedLease lease = LeaseOfBefore(&id);
  lease.set_lease(kInvented | 1);
  Client before(*registry_);
  id = before.Hello(id).welcome().session_id();
  v1::SessionRequest request = before.Next();
  *request.add_served_leases() = lease;
  const v1::SessionResponse first = before.Ask(request);
  ASSERT_NE(first.resumptions(0).lease(), 0u);
  before.Break();
  Client after(*registry_);
  const v1::SessionResponse again = after.Hello(id, {lease});
  ASSERT_EQ(again.resumptions_size(), 1);
  EXPECT_EQ(again.resumptions(0).lease(), first.resumptions(0).lease());
  EXPECT_EQ(Stats().pool.session_leases, 1u);
  // Another one under the same number, which is free by now.
  v1::SessionRequest later = after.Next();
  *later.add_served_leases() = lease;
  later.mutable_served_leases(0)->mutable_grant_time()->set_nanos(7);
  EXPECT_NE(after.Ask(later).resumptions(0).lease(), first.resumptions(0).lease());
  EXPECT_EQ(Stats().pool.session_leases, 2u);
}

TEST_F(AdoptTest, AnAdoptedLeaseThatTheNextHelloDoesNotNameIsReleased) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  const v1::SessionResumedLease lease = LeaseOfBefore(&id);
  RestartAll();
  Client before(*registry_);
  id = before.Hello(id, {lease}).welcome().session_id();
  before.Break();
  EXPECT_EQ(Stats().pool.session_leases, 1u);
  Client after(*registry_);
  EXPECT_TRUE(after.Hello(id).welcome().resumed());
  EXPECT_EQ(Stats().pool.session_leases, 0u);
}

TEST_F(AdoptTest, WhatChangedBeforeItsClientCameBackVoidsItsStock) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  std::string old_id;
  const v1::SessionResumedLease one = LeaseOfBefore(&old_id);
  const v1::SessionResumedLease other = LeaseOfBefore(&old_id);
  RestartAll();
  const auto move = [](core::Document& document) {
    document.group = "elsewhere";
    return absl::OkStatus();
  };
  engine::Answer<core::CredentialView> moved;
  engine_->Update({.caller = {.actor = "ops"}, .id = "a", .etag = "", .patch = move}, moved.done());
  ASSERT_TRUE(moved.Get().ok());
  Client after(*registry_);
  const v1::SessionResponse answer = after.Hello(old_id, {one, other});
  ASSERT_EQ(answer.resumptions_size(), 2);
  ASSERT_NE(answer.resumptions(0).lease(), 0u) << "the call goes on";
  ASSERT_NE(answer.resumptions(1).lease(), 0u);
  ASSERT_EQ(answer.revocations_size(), 1) << "the other one did not change";
  EXPECT_EQ(answer.revocations(0).credential(), answer.resumptions(0).credential());
  EXPECT_EQ(answer.revocations(0).reason(), v1::SESSION_REVOCATION_REASON_CHANGED);
  EXPECT_GE(answer.revocations(0).covers(), answer.resumptions(0).order());
}

TEST_F(AdoptTest, AStreamThatIsOverAdoptsNothing) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  v1::SessionResumedLease lease = LeaseOfBefore(&id);
  lease.set_lease(kInvented | 1);
  Client before(*registry_), after(*registry_);
  id = before.Hello(id).welcome().session_id();
  EXPECT_TRUE(after.Hello(id).welcome().resumed());
  ASSERT_TRUE(before.wire.end.has_value());
  v1::SessionRequest late = before.Next();  // it was read before the stream was replaced
  *late.add_served_leases() = lease;
  before.peer().OnMessage(late);
  EXPECT_EQ(Stats().pool.session_leases, 0u) << "nobody would ever hear of it";
}

TEST_F(AdoptTest, WhatIsRememberedOfServedLeasesThatEndedIsForgotten) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  v1::SessionResumedLease lease = LeaseOfBefore(&id);
  Client client(*registry_);
  client.Hello(id);
  for (uint64_t message = 0; message < 16; ++message) {
    v1::SessionRequest request = client.Next();
    for (uint64_t i = 1; i <= 512; ++i) {
      lease.set_lease(kInvented | (message * 512 + i));
      *request.add_served_leases() = lease;
    }
    const v1::SessionResponse answer = client.Ask(std::move(request));
    v1::SessionRequest release = client.Next();
    for (const auto& each : answer.resumptions()) release.add_released_leases(each.lease());
    client.Ask(std::move(release));
    EXPECT_LE(client.peer().adopted(), 2048u);
  }
  EXPECT_EQ(Stats().pool.session_leases, 0u);
}

}  // namespace
}  // namespace credbroker::session
