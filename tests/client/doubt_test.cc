// What a client withholds by itself after its own failures, until the broker has judged them.
#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class DoubtTest : public SessionTest {
 protected:
  // "a" and "b" in stock, four leases each, and nothing new comes.
  TargetId Stocked() {
    broker_.Add("b");
    Start();
    const TargetId target = DeclareStock(8);
    broker_.RefuseStock("COOLING");
    return target;
  }
  // Takes until it gets one of this credential; the others go back.
  Lease Take(TargetId target, const std::string& id) {
    std::vector<Lease> others;
    while (std::optional<Lease> lease = shared_->TakeStock(target)) {
      if (lease->credential_id() == id) {
        kept_ = std::move(others);
        return *std::move(lease);
      }
      others.push_back(*std::move(lease));
    }
    ADD_FAILURE() << "no " << id << " in stock";
    return {};
  }
  // Of everything that can be taken now.
  std::multiset<std::string> TakeAll(TargetId target) {
    std::multiset<std::string> ids;
    while (std::optional<Lease> lease = shared_->TakeStock(target)) {
      ids.insert(lease->credential_id());
      kept_.push_back(*std::move(lease));
    }
    return ids;
  }
  std::vector<Lease> kept_;
};

TEST_F(DoubtTest, HandsNoStockOfACredentialOutFromItsReportUntilItsRevocation) {
  const TargetId target = Stocked();
  Lease failed = Take(target, "a");
  failed.Report(Outcome::Status(429));
  // At once, before the session's thread has seen the report.
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_COOLING);
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  EXPECT_EQ(InStock(), 0);
  EXPECT_EQ(shared_->stats().stock_revoked, 3);
}

TEST_F(DoubtTest, HandsItOutAgainOnceTheBrokerHasAnsweredAndRevokedNothing) {
  const TargetId target = Stocked();
  broker_.SetAnswering(false);
  Lease failed = Take(target, "a");
  failed.Report(Outcome::Status(429));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  Pass(absl::Milliseconds(100), absl::Milliseconds(10));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  EXPECT_EQ(InStock(), 3);
  broker_.SetAnswering(true);
  Settle();
  EXPECT_EQ(TakeAll(target).count("a"), 3);
}

TEST_F(DoubtTest, LastsUntilTheLastOfSeveralReportsIsAnswered) {
  const TargetId target = Stocked();
  Lease one = Take(target, "a");
  Lease two = Take(target, "a");
  one.Report(Outcome::Status(429));
  Pass(absl::Milliseconds(10), absl::Milliseconds(10));
  broker_.SetAnswering(false);
  two.Report(Outcome::Status(429));
  Pass(absl::Milliseconds(10), absl::Milliseconds(10));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  broker_.SetAnswering(true);
  Settle();
  EXPECT_EQ(TakeAll(target).count("a"), 2);
}

TEST_F(DoubtTest, LeavesOtherModelsOfTheCredentialAlone) {
  Start();
  Target target;
  target.stock = {.max = 4, .initial = 4};
  target.model = "small";
  const TargetId small = Declare(target);
  target.model = "large";
  const TargetId large = Declare(target);
  std::optional<Lease> failed = shared_->TakeStock(small);
  failed->Report(Outcome::Status(429));
  EXPECT_FALSE(shared_->TakeStock(small).has_value());
  EXPECT_TRUE(shared_->TakeStock(large).has_value());
}

TEST_F(DoubtTest, ConcernsTheCredentialWhereverTheReportedLeaseCameFrom) {
  const TargetId target = Stocked();
  v1::AcquireRequest pin;
  pin.set_credential_id("a");
  auto direct = Ask(target, pin);
  direct->lease().Report(Outcome::Status(401));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
}

TEST_F(DoubtTest, IsRaisedByWhatMayBlockACredentialAndByNothingElse) {
  broker_.Add("b");
  Start();
  const TargetId target = DeclareStock(8);
  struct Case {
    Outcome outcome;
    bool withheld;
  };
  const auto says = [](v1::Outcome outcome) {
    Outcome facts;
    facts.outcome = outcome;
    return facts;
  };
  for (const Case& each : std::vector<Case>{
           {Outcome::Status(401), true},
           {Outcome::Status(402), true},
           {Outcome::Status(403), true},
           {Outcome::Status(404), true},
           {Outcome::Status(408), true},
           {Outcome::Status(429), true},
           {Outcome::Status(500), true},
           {says(v1::OUTCOME_CHALLENGE), true},
           {says(v1::OUTCOME_QUOTA_EXHAUSTED), true},
           {says(v1::OUTCOME_MODEL_NOT_FOUND), true},
           {Outcome::Status(200), false},
           {Outcome::Status(400), false},
           {Outcome::Status(529), false},
           {Outcome::Cancelled(), false},
           {says(v1::OUTCOME_REQUEST_FAULT), false},
           {Outcome::NetworkError(v1::NETWORK_ERROR_KIND_RESET), false},
       }) {
    SCOPED_TRACE(testing::Message() << each.outcome.http_status << " " << each.outcome.outcome);
    v1::AcquireRequest pin;
    pin.set_credential_id("a");
    auto direct = Ask(target, pin);
    broker_.SetAnswering(false);
    direct->lease().Report(each.outcome);
    const std::multiset<std::string> taken = TakeAll(target);
    EXPECT_EQ(taken.count("a") == 0, each.withheld);
    broker_.SetAnswering(true);
    kept_.clear();
    Pass(absl::Seconds(1), absl::Milliseconds(100));
  }
}

TEST_F(DoubtTest, OutlivesABreakUntilTheNextStreamHasTakenTheReport) {
  const TargetId target = Stocked();
  Lease failed = Take(target, "a");
  broker_.SetReachable(false);
  broker_.Break();
  failed.Report(Outcome::Status(429));
  Settle();
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  broker_.SetReachable(true);
  Pass(absl::Seconds(2), absl::Milliseconds(100));
  ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  EXPECT_EQ(broker_.reports().size(), 1);
  EXPECT_EQ(TakeAll(target).count("a"), 3);
}

TEST_F(DoubtTest, OutlivesABreakThatTookTheAnswerAway) {
  const TargetId target = Stocked();
  Lease failed = Take(target, "a");
  broker_.SetAnswering(false);
  failed.Report(Outcome::Status(429));
  Pass(absl::Milliseconds(10), absl::Milliseconds(10));
  ASSERT_EQ(broker_.reports().size(), 1);
  // It said that it was processed, but not yet how.
  v1::SessionResponse processed;
  processed.set_processed(1000);
  StreamEvent event;
  event.kind = StreamEvent::Kind::kMessage;
  event.message = &processed;
  core_->Handle(event);
  broker_.SetReachable(false);
  broker_.Break();
  broker_.SetAnswering(true);
  Settle();
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  broker_.SetReachable(true);
  Pass(absl::Seconds(2), absl::Milliseconds(100));
  ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  EXPECT_EQ(TakeAll(target).count("a"), 3);
}

TEST_F(DoubtTest, OfATransientFailureEndsWithTheConnectionForNobodyJudgesIt) {
  const TargetId target = Stocked();
  Lease failed = Take(target, "a");
  Lease another = Take(target, "a");
  broker_.SetAnswering(false);
  failed.Report(Outcome::Status(500));
  Pass(absl::Milliseconds(10), absl::Milliseconds(10));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  broker_.SetReachable(false);
  broker_.Break();
  Settle();
  // And none begins without one.
  another.Report(Outcome::Status(503));
  EXPECT_EQ(TakeAll(target).count("a"), 2);
}

TEST_F(DoubtTest, WithheldStockGoesBackWhenItIsOld) {
  const TargetId target = Stocked();
  Lease failed = Take(target, "a");
  broker_.SetReachable(false);
  broker_.Break();
  failed.Report(Outcome::Status(429));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  EXPECT_EQ(InStock(), 3);
  Pass(absl::Seconds(16));  // lost: void
  EXPECT_EQ(InStock(), 0);
}

TEST_F(DoubtTest, OfATransientFailureAlsoEndsWhereTheBreakWasNotHeardOfYet) {
  const TargetId target = Stocked();
  Lease failed = Take(target, "a");
  broker_.SetReachable(false);
  broker_.Break();
  failed.Report(Outcome::Status(500));
  EXPECT_EQ(TakeAll(target).count("a"), 0);
  // The session's thread takes the end of the stream in before it looks for what callers said.
  StreamEvent closed = broker_.Poll(absl::ZeroDuration());
  core_->Handle(closed);
  Settle();
  ASSERT_EQ(shared_->state(), ConnectionState::kReconnecting);
  EXPECT_EQ(TakeAll(target).count("a"), 3);
}

}  // namespace
}  // namespace credbroker::client
