// Calls that may be served from the last known material, while the session is not lost.
#include "tests/client/serve_last_fixture.h"

namespace credbroker::client {
namespace {

TEST_F(ServeLastTest, AnswersACallThatABrokerWhichIsThereDoesNotAnswer) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  auto answer = Ask(target, {}, absl::Seconds(60));
  Pass(absl::Milliseconds(490), absl::Milliseconds(10));
  EXPECT_FALSE(answer->answered());
  Pass(absl::Milliseconds(10), absl::Milliseconds(10));
  ExpectServed(answer);
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
  EXPECT_EQ(shared_->stats().refused, 0);
}

TEST_F(ServeLastTest, WaitsForTheBrokerAsLongAsTheCallMayBeParked) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  auto answer = std::make_shared<Answer>();
  AcquireCall call;
  call.id = shared_->NextCall();
  call.target = target;
  call.max_wait = absl::Seconds(2);
  call.deadline_ns = clock_->BootNanos() + absl::ToInt64Nanoseconds(absl::Seconds(60));
  call.done = [answer](absl::StatusOr<Lease> lease) { answer->result = std::move(lease); };
  core_->Acquire(std::move(call));
  Pass(absl::Milliseconds(2400), absl::Milliseconds(100));
  EXPECT_FALSE(answer->answered());
  Pass(absl::Milliseconds(100));
  ExpectServed(answer);
}

TEST_F(ServeLastTest, AnswersACallWhoseDeadlineComesFirst) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  auto answer = Ask(target, {}, absl::Milliseconds(100));
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  ExpectServed(answer);
}

TEST_F(ServeLastTest, TellsTheBrokerOfWhatItServedWhileTheBrokerWasThere) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  broker_.SetAnswering(false);
  auto fine = Ask(target);
  auto failing = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(fine);
  ExpectServed(failing);
  int status = 0;
  failing->lease().Report(Outcome::Status(429),
                          [&](const ReportAnswer& answer) { status = answer.disposition; });
  Settle();
  EXPECT_EQ(broker_.adopted(), 2);
  // Its number is not known before the broker has answered.
  EXPECT_EQ(broker_.reports().size(), 0);
  broker_.SetAnswering(true);
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  ASSERT_EQ(broker_.reports().size(), 1);
  EXPECT_EQ(broker_.reports()[0].item().http_status(), 429);
  EXPECT_EQ(status, v1::REPORT_DISPOSITION_ACCEPTED);
  fine->lease().ReportSuccess();
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  EXPECT_EQ(broker_.succeeded().size(), 1);
  EXPECT_TRUE(broker_.leases().empty());
  EXPECT_EQ(broker_.opened(), 1);
  EXPECT_EQ(shared_->stats().ends_dropped, 0);
}

TEST_F(ServeLastTest, HoldsUpNoOtherReportsUntilTheBrokerKnowsWhatItServed) {
  Start();
  const TargetId target = Known();
  Lease before = TakeDirect(target);
  broker_.HoldAcquires(true);
  broker_.SetAnswering(false);
  auto served = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(served);
  served->lease().Report(Outcome::Status(500));
  before.Report(Outcome::Status(429));
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  ASSERT_EQ(broker_.reports().size(), 1);
  EXPECT_EQ(broker_.reports()[0].item().http_status(), 429);
  broker_.SetAnswering(true);
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  EXPECT_EQ(broker_.reports().size(), 2);
}

TEST_F(ServeLastTest, FlagsWhatItServedWhereTheBrokerThatIsThereRefusesIt) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  broker_.RefuseResume("a");
  auto answer = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(answer);
  EXPECT_TRUE(answer->lease().revoked());
  EXPECT_THAT(revoked_.back().cancel, testing::ElementsAre(answer->lease().local_id()));
}

TEST_F(ServeLastTest, TellsTheBrokerOfWhatItServedBetweenHelloAndWelcome) {
  Start();
  const TargetId target = Known();
  broker_.Restart();
  broker_.SetAnswering(false);
  broker_.Break();
  random_->SetFraction(0.001);
  Pass(absl::Milliseconds(10), absl::Milliseconds(10));
  auto answer = Ask(target, {}, absl::Milliseconds(50));
  Pass(absl::Milliseconds(50), absl::Milliseconds(10));
  EXPECT_EQ(shared_->state(), ConnectionState::kReconnecting);
  ExpectServed(answer);
  EXPECT_TRUE(broker_.last_hello().empty());
  broker_.SetAnswering(true);
  Settle();
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
  EXPECT_EQ(broker_.adopted(), 1);
  answer->lease().ReportSuccess();
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  EXPECT_EQ(broker_.succeeded().size(), 1);
  EXPECT_EQ(shared_->stats().ends_dropped, 0);
}

TEST_F(ServeLastTest, PresentsWhatItServedOnceAlsoThroughABreak) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  broker_.SetAnswering(false);
  auto answer = Ask(target);
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  ExpectServed(answer);
  EXPECT_EQ(broker_.adopted(), 1);
  broker_.SetAnswering(true);
  broker_.Break();  // the answer is lost
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  EXPECT_EQ(broker_.last_hello().size(), 1);
  EXPECT_EQ(broker_.adopted(), 1);
  EXPECT_FALSE(answer->lease().revoked());
  answer->lease().ReportSuccess();
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  EXPECT_EQ(broker_.succeeded().size(), 1);
}

TEST_F(ServeLastTest, AnswersACallThatWasUnderWayWhenTheConnectionBroke) {
  Start();
  const TargetId target = Known();
  broker_.HoldAcquires(true);
  auto answer = Ask(target, {}, absl::Seconds(60));
  broker_.SetReachable(false);
  broker_.Break();
  Pass(absl::Milliseconds(500), absl::Milliseconds(100));
  EXPECT_EQ(shared_->state(), ConnectionState::kReconnecting);
  ExpectServed(answer);
}

TEST_F(ServeLastTest, TakesNotAvailableForNoAnswerButNotARefusalOfThePool) {
  struct Case {
    int code;
    const char* reason;
    bool served;
  };
  Start();
  const TargetId target = Known();
  for (const Case& each : std::vector<Case>{{14, "SEALED", true},
                                            {14, "SHUTTING_DOWN", true},
                                            {14, "STORE_UNAVAILABLE", true},
                                            {4, "DEADLINE", true},
                                            {13, "", true},
                                            {2, "", true},
                                            {8, "COOLING", false},
                                            {8, "BUSY", false},
                                            {8, "RESUME_ONLY", false},
                                            {8, "LIMIT_REACHED", false},
                                            {9, "ALL_DISABLED", false},
                                            {5, "NO_SUCH_MODEL", false},
                                            {7, "NOT_ALLOWED", false}}) {
    SCOPED_TRACE(each.reason);
    broker_.RefuseAcquires(each.code, each.reason);
    auto answer = Ask(target);
    ASSERT_TRUE(answer->answered());
    EXPECT_EQ(answer->result->ok(), each.served);
    if (!each.served) {
      EXPECT_EQ(ReasonNameOf(answer->status()), each.reason);
    }
  }
}

TEST_F(ServeLastTest, GivesACallThatAStoppingBrokerCancelledToTheNextOne) {
  Start();
  const TargetId target = DeclareStock(0, 0);
  broker_.RefuseAcquires(1, "CANCELLED");
  auto answer = Ask(target);
  EXPECT_FALSE(answer->answered());
  broker_.RefuseAcquires(0, "");
  broker_.Break();
  Pass(absl::Seconds(1), absl::Milliseconds(100));
  ASSERT_TRUE(answer->answered());
  EXPECT_TRUE(answer->result->ok()) << answer->status();
}

TEST_F(ServeLastTest, RefusesWithTheBrokersAnswerWhereNothingCanBeServed) {
  broker_.Add("a", {.capped = true});
  Begin();
  Settle();
  const TargetId target = Known();
  broker_.RefuseAcquires(14, "SEALED");
  EXPECT_EQ(ReasonNameOf(Ask(target)->status()), "SEALED");
  broker_.RefuseAcquires(0, "");
  broker_.HoldAcquires(true);
  auto late = Ask(target, {}, absl::Seconds(2));
  Pass(absl::Milliseconds(1900), absl::Milliseconds(100));
  EXPECT_FALSE(late->answered());
  Pass(absl::Milliseconds(100));
  ASSERT_TRUE(late->answered());
  EXPECT_EQ(LocalReasonOf(late->status()), LocalReason::kDeadline);
}

TEST_F(ServeLastTest, ServesNothingThatWasRevokedOrIsInDoubtWhileTheBrokerIsThere) {
  Start();
  const TargetId target = Known();
  Lease lease = TakeDirect(target);
  broker_.HoldAcquires(true);
  broker_.SetAnswering(false);
  lease.Report(Outcome::Status(429));
  auto doubted = Ask(target, {}, absl::Milliseconds(600));
  Pass(absl::Milliseconds(600), absl::Milliseconds(100));
  ASSERT_TRUE(doubted->answered());
  EXPECT_FALSE(doubted->result->ok());
  broker_.SetAnswering(true);
  Settle();
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_COOLING);
  auto revoked = Ask(target, {}, absl::Milliseconds(600));
  Pass(absl::Milliseconds(600), absl::Milliseconds(100));
  ASSERT_TRUE(revoked->answered());
  EXPECT_FALSE(revoked->result->ok());
}

TEST_F(ServeLastTest, LooksAgainWhereAllThatMayBeServedWasInUse) {
  Start();
  const TargetId target = Known(1);
  broker_.HoldAcquires(true);
  auto first = Ask(target, {}, absl::Seconds(60));
  auto second = Ask(target, {}, absl::Seconds(60));
  Pass(absl::Milliseconds(600), absl::Milliseconds(100));
  ExpectServed(first);
  EXPECT_FALSE(second->answered());
  first->lease().ReportSuccess();
  Pass(absl::Milliseconds(300), absl::Milliseconds(100));
  EXPECT_FALSE(second->answered());
  Pass(absl::Milliseconds(100));
  ExpectServed(second);
}

}  // namespace
}  // namespace credbroker::client
