// What is known of the last, and when it is forgotten.
#include "tests/client/serve_last_fixture.h"

namespace credbroker::client {
namespace {

using ServeLastKnown = ServeLastTest;

TEST_F(ServeLastKnown, ForgetsWhatTheNextStreamDoesNotName) {
  Start();
  const TargetId target = Known();
  broker_.SetReachable(false);
  broker_.Break();
  Settle();
  // Its last lease has ended, so that nobody would tell this session.
  broker_.Add("a", {.available = false});
  auto away = Ask(target, {}, absl::Milliseconds(100));
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  ExpectServed(away);
  away->lease().Release();
  ComeBack();
  broker_.HoldAcquires(true);
  auto there = Ask(target, {}, absl::Seconds(1));
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_TRUE(there->answered());
  EXPECT_FALSE(there->result->ok());
  Lose();
  EXPECT_EQ(LocalReasonOf(Ask(target)->status()), LocalReason::kNothingToServe);
}

TEST_F(ServeLastKnown, KeepsWhatTheNextStreamNames) {
  Start();
  const TargetId target = Known();
  Lease held = TakeDirect(target);
  broker_.Break();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  broker_.HoldAcquires(true);
  auto there = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(there);
  Lose();
  EXPECT_TRUE(TakeDirect(target).served_last());
}

TEST_F(ServeLastKnown, ForgetsNothingBeforeTheHelloIsAnswered) {
  Start();
  const TargetId target = Known();
  Lease held = TakeDirect(target);
  broker_.SetAnswering(false);
  broker_.Break();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  DeliverWelcome();
  ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  auto answer = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(answer);
}

TEST_F(ServeLastKnown, ForgetsWhatIsNotNamedAlsoWhileItServesAllTheTime) {
  Start();
  const TargetId target = Known();
  Lease held = TakeDirect(target);
  broker_.SetAnswering(false);
  broker_.Break();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  DeliverWelcome();
  broker_.TakeWritten();
  auto first = Ask(target, {}, absl::Seconds(20));
  Pass(absl::Seconds(5), absl::Milliseconds(100));
  ExpectServed(first);
  auto second = Ask(target, {}, absl::Milliseconds(500));
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(second);
  // What the hello named was answered, and the second one was not yet.
  v1::SessionResponse pong;
  for (const v1::SessionRequest& request : broker_.TakeWritten()) {
    if (pong.pong() == 0) pong.set_pong(request.ping());
  }
  ASSERT_NE(pong.pong(), 0);
  Deliver(pong);
  EXPECT_FALSE(second->lease().revoked());
  auto third = Ask(target, {}, absl::Milliseconds(500));
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ASSERT_TRUE(third->answered());
  EXPECT_FALSE(third->result->ok());
}

TEST_F(ServeLastKnown, ForgetsAllThatIsKnownOfWhatIsRevoked) {
  Start();
  const TargetId target = DeclareModel("");
  Lease held = TakeDirect(target);
  const uint64_t order = broker_.last_order();
  TakeDirect(target).Release();
  broker_.Break();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  // The broker does not know what this session had and returned.
  SendRevocation(order, "");
  broker_.HoldAcquires(true);
  auto answer = Ask(target, {}, absl::Milliseconds(600));
  Pass(absl::Milliseconds(600), absl::Milliseconds(100));
  ASSERT_TRUE(answer->answered());
  EXPECT_FALSE(answer->result->ok());
  // Until it is granted again.
  broker_.HoldAcquires(false);
  TakeDirect(target).Release();
  broker_.HoldAcquires(true);
  auto again = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(again);
}

TEST_F(ServeLastKnown, ForgetsTheRevokedModelAndNoOther) {
  Start();
  const TargetId small = DeclareModel("small");
  const TargetId large = DeclareModel("large");
  Lease held = TakeDirect(small);
  const uint64_t order = broker_.last_order();
  TakeDirect(small).Release();
  TakeDirect(large).Release();
  SendRevocation(order, "small");
  broker_.HoldAcquires(true);
  auto revoked = Ask(small, {}, absl::Milliseconds(600));
  auto other = Ask(large, {}, absl::Milliseconds(600));
  Pass(absl::Milliseconds(600), absl::Milliseconds(100));
  ASSERT_TRUE(revoked->answered());
  EXPECT_FALSE(revoked->result->ok());
  ExpectServed(other);
}

TEST_F(ServeLastKnown, CountsWhatIsInUseOfATargetAndNotOfTheOneThatHadItsIdBefore) {
  Start();
  const TargetId target = Known(2);
  broker_.HoldAcquires(true);
  auto before = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(before);
  Replace(target, "", 2);
  auto first = Ask(target);
  auto second = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(first);
  ExpectServed(second);
  before->lease().Release();
  auto third = Ask(target, {}, absl::Seconds(60));
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  EXPECT_FALSE(third->answered());
  first->lease().Release();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ExpectServed(third);
}

TEST_F(ServeLastKnown, IsNotServedToACallOfTheTargetThatHadItsIdBefore) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  auto call = Ask(target, {}, absl::Seconds(1));
  Replace(target, "other", 64);
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_TRUE(call->answered());
  EXPECT_FALSE(call->result->ok());
}

TEST_F(ServeLastKnown, IsNotOfACallOfTheTargetThatHadItsIdBefore) {
  Start();
  const TargetId target = DeclareModel("old");
  broker_.SetAnswering(false);
  auto call = Ask(target, {}, absl::Seconds(1));
  core_->Retire(target);
  core_->Declare(target, Servable("new", 64));
  broker_.SetAnswering(true);
  Settle();
  ASSERT_TRUE(call->answered());
  ASSERT_TRUE(call->result->ok());
  EXPECT_EQ(call->lease().model(), "old");
  broker_.HoldAcquires(true);
  auto other = Ask(target, {}, absl::Seconds(1));
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_TRUE(other->answered());
  EXPECT_FALSE(other->result->ok());
}

TEST_F(ServeLastKnown, AsksOnForACallOfATargetThatWasRetiredWithoutNamingIt) {
  Start();
  const TargetId target = DeclareModel("old");
  broker_.HoldAcquires(true);
  auto call = Ask(target, {}, absl::Seconds(60));
  core_->Retire(target);
  // The next stream does not know the target.
  broker_.Break();
  broker_.HoldAcquires(false);
  broker_.TakeWritten();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  int asked = 0;
  for (const v1::SessionRequest& request : broker_.TakeWritten()) {
    for (const v1::SessionAcquire& acquire : request.acquires()) {
      ++asked;
      EXPECT_EQ(acquire.target(), 0);
      EXPECT_EQ(acquire.request().model(), "old");
    }
  }
  EXPECT_EQ(asked, 1);
  ASSERT_TRUE(call->answered());
  EXPECT_TRUE(call->result->ok());
}

TEST_F(ServeLastTest, DoesNotServeWhatWasGrantedAsAProbe) {
  Start();
  Known();  // names the credential on this stream
  const TargetId target = DeclareModel("probed");
  broker_.HoldAcquires(true);
  auto answer = Ask(target, {}, absl::Seconds(60));
  v1::SessionResponse response;
  v1::SessionGrant* grant = response.add_grants();
  grant->set_call(answer->call);
  grant->set_lease(broker_.last_lease() + 1);
  grant->set_credential(1);
  grant->set_model("probed");
  grant->set_order(broker_.last_order() + 1);
  grant->set_probe(true);
  const absl::Time now = absl::FromUnixNanos(broker_.NowUnixNanos());
  ToWire(now, grant->mutable_grant_time());
  ToWire(now + absl::Seconds(120), grant->mutable_expire_time());
  Deliver(std::move(response));
  ASSERT_TRUE(answer->answered());
  ASSERT_TRUE(answer->lease().probe());
  answer->lease().ReportSuccess();
  Lose();
  EXPECT_EQ(LocalReasonOf(Ask(target)->status()), LocalReason::kNothingToServe);
}

}  // namespace
}  // namespace credbroker::client
