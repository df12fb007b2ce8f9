#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class Connect : public SessionTest {};

TEST_F(Connect, HandsOutNothingAfterTheTtlOfTheLastAnsweredPingAlsoIfTheProcessWasStopped) {
  Start();
  const TargetId target = DeclareStock(8);
  clock_->Advance(absl::Seconds(14));
  EXPECT_TRUE(shared_->TakeStock(target).has_value());
  // Nobody of this process ran meanwhile: no timer, no event.
  clock_->Advance(absl::Seconds(1));
  EXPECT_FALSE(shared_->valid());
  EXPECT_FALSE(shared_->TakeStock(target).has_value());
}

TEST_F(Connect, CountsTheTtlFromWhenThePingWasSentNotFromItsAnswer) {
  Start();
  const TargetId target = DeclareStock(8);
  Pass(absl::Seconds(4));
  broker_.SetAnswering(false);
  Pass(absl::Seconds(3));  // a ping goes out at 5 s
  clock_->Advance(absl::Seconds(6));
  broker_.SetAnswering(true);
  for (StreamEvent event = broker_.Poll(absl::ZeroDuration());
       event.kind != StreamEvent::Kind::kNone; event = broker_.Poll(absl::ZeroDuration())) {
    core_->Handle(event);  // answered at 13 s
  }
  clock_->Advance(absl::Seconds(6));
  EXPECT_TRUE(shared_->TakeStock(target).has_value());
  clock_->Advance(absl::Seconds(2));  // 21 s
  EXPECT_FALSE(shared_->TakeStock(target).has_value());
}

TEST_F(Connect, StaysValidWhilePingsAreAnswered) {
  Start();
  const TargetId target = DeclareStock(8);
  Pass(absl::Seconds(55));
  EXPECT_TRUE(shared_->TakeStock(target).has_value());
  EXPECT_EQ(broker_.opened(), 1);
}

TEST_F(Connect, CutsAStreamWhosePingsAreNotAnswered) {
  Start();
  broker_.SetAnswering(false);
  Pass(absl::Seconds(16));
  broker_.SetAnswering(true);
  EXPECT_GE(broker_.opened(), 2);
  Pass(absl::Seconds(1));
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
}

TEST_F(Connect, BacksOffWithFullJitterBetweenHalfASecondAnd5Seconds) {
  Start();
  random_->SetFraction(0.999999);
  broker_.SetReachable(false);
  broker_.Break();
  Settle();
  std::vector<absl::Duration> waits;
  for (int i = 0; i < 6; ++i) {
    const int before = broker_.opened();
    absl::Duration waited;
    while (broker_.opened() == before && waited < absl::Seconds(10)) {
      clock_->Advance(absl::Milliseconds(10));
      waited += absl::Milliseconds(10);
      Settle();
    }
    waits.push_back(waited);
  }
  const auto near = [](int ms) {
    return testing::AllOf(testing::Ge(absl::Milliseconds(ms - 10)),
                          testing::Le(absl::Milliseconds(ms + 10)));
  };
  EXPECT_THAT(waits, testing::ElementsAre(near(500), near(1000), near(2000), near(4000), near(5000),
                                          near(5000)));
  // It begins anew once a stream has worked.
  broker_.SetReachable(true);
  Pass(absl::Seconds(6));
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
  broker_.Break();
  Settle();
  EXPECT_EQ(shared_->state(), ConnectionState::kReconnecting);
  Pass(absl::Milliseconds(510), absl::Milliseconds(10));
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
  // And at the other end of the jitter at once.
  random_->SetFraction(0);
  broker_.Break();
  Settle();
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
}

TEST_F(Connect, GoesOnWithItsSessionAndItsLeasesAfterABreak) {
  Start();
  const TargetId target = DeclareStock(8);
  std::optional<Lease> held = shared_->TakeStock(target);
  random_->SetFraction(0.5);
  broker_.Break();
  Settle();
  EXPECT_EQ(shared_->state(), ConnectionState::kReconnecting);
  // Stock goes out meanwhile.
  std::optional<Lease> meanwhile = shared_->TakeStock(target);
  ASSERT_TRUE(meanwhile.has_value());
  Pass(absl::Seconds(1));
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
  EXPECT_TRUE(states_.back().resumed);
  EXPECT_EQ(broker_.last_hello().size(), 8);
  EXPECT_FALSE(held->revoked());
  held->ReportSuccess();
  meanwhile->ReportSuccess();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.succeeded().size(), 2);
}

TEST_F(Connect, PresentsItsLeasesByTicketToABrokerThatRestarted) {
  Start();
  Lease held = TakeDirect(DeclareStock(0));
  broker_.Restart();
  broker_.Break();
  Pass(absl::Seconds(1));
  EXPECT_FALSE(states_.back().resumed);
  ASSERT_EQ(broker_.last_hello().size(), 1);
  EXPECT_EQ(broker_.last_hello()[0].ticket(), "ticket-a");
  EXPECT_FALSE(held.revoked());
  const uint64_t number = broker_.leases().begin()->first;
  held.ReportSuccess();
  Pass(absl::Seconds(1));
  EXPECT_THAT(broker_.succeeded(), testing::ElementsAre(number));
}

TEST_F(Connect, PresentsManyLeasesInSeveralMessages) {
  Start();
  const TargetId target = DeclareStock(0, 0);
  std::vector<Lease> held;
  for (int i = 0; i < 1200; ++i) held.push_back(TakeDirect(target));
  broker_.TakeWritten();
  broker_.Break();
  Pass(absl::Seconds(1));
  std::vector<v1::SessionRequest> written = broker_.TakeWritten();
  ASSERT_GE(written.size(), 2);
  EXPECT_EQ(written[0].hello().leases_size(), 1000);
  EXPECT_TRUE(written[0].hello().more());
  EXPECT_EQ(written[1].hello().leases_size(), 200);
  EXPECT_FALSE(written[1].hello().more());
  for (const auto& request : written) {
    EXPECT_LE(request.reports_size() + request.succeeded_leases_size() +
                  request.released_leases_size() + request.acquires_size(),
              1024);
  }
}

TEST_F(Connect, StockLivesNoLongerThanBeforeUntilABrokerThatRestartedAnsweredForAllOfIt) {
  Start();
  const TargetId target = DeclareStock(8), direct = DeclareStock(0, 0);
  std::vector<Lease> held;
  for (int i = 0; i < 1200; ++i) held.push_back(TakeDirect(direct));
  broker_.Restart();
  broker_.SetReachable(false);
  broker_.Break();
  Pass(absl::Seconds(10));
  EXPECT_TRUE(shared_->TakeStock(target).has_value());
  broker_.SetReachable(true);
  while (shared_->state() != ConnectionState::kConnected) {
    clock_->Advance(absl::Milliseconds(10));
    core_->Step();
    StreamEvent event = broker_.Poll(absl::ZeroDuration());
    core_->Handle(event);
  }
  // Welcomed, and the answer to the rest of the hello is not read yet: what it refuses may have
  // been disabled, and whoever waited for that was told that it is handed out no more.
  clock_->Advance(absl::Seconds(6));
  EXPECT_FALSE(shared_->TakeStock(target).has_value());
  Settle();
  EXPECT_TRUE(shared_->TakeStock(target).has_value());
}

TEST_F(Connect, FlagsALeaseInUseThatWasRefusedAndDropsOneInStock) {
  Start();
  const TargetId target = DeclareStock(4);
  std::optional<Lease> held = shared_->TakeStock(target);
  broker_.RefuseResume("a");
  broker_.Break();
  Settle();
  clock_->Advance(absl::Seconds(1));
  Settle();
  EXPECT_TRUE(held->revoked());
  EXPECT_EQ(held->revoke_reason(), v1::SESSION_REVOCATION_REASON_LEASE_ENDED);
  ASSERT_FALSE(revoked_.empty());
  EXPECT_THAT(revoked_.back().cancel, testing::ElementsAre(held->local_id()));
  EXPECT_EQ(revoked_.back().dropped, 3);
}

TEST_F(Connect, RefusesAnOlderEpoch) {
  broker_.set_epoch(7);
  Start();
  EXPECT_EQ(shared_->stats().epoch, 7);
  broker_.set_epoch(6);
  broker_.Break();
  random_->SetFraction(0.9);
  Pass(absl::Seconds(2));
  EXPECT_NE(shared_->state(), ConnectionState::kConnected);
  EXPECT_GE(broker_.opened(), 3);
  broker_.set_epoch(8);
  Pass(absl::Seconds(6));
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
  EXPECT_EQ(states_.back().epoch, 8);
}

TEST_F(Connect, ReconnectsAtItsMomentWhenAskedToGoAway) {
  Start();
  random_->SetFraction(0.5);
  v1::SessionResponse response;
  response.mutable_go_away()->mutable_spread()->set_seconds(10);
  response.mutable_go_away()->set_owner("unix:/owner.sock");
  broker_.Send(response);
  Pass(absl::Milliseconds(4900), absl::Milliseconds(100));
  EXPECT_EQ(broker_.opened(), 1);
  Pass(absl::Milliseconds(200), absl::Milliseconds(100));
  EXPECT_EQ(broker_.opened(), 2);
  EXPECT_EQ(broker_.last_owner(), "unix:/owner.sock");
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
}

TEST_F(Connect, DoesNotComeBackBeforeItsMomentWhenTheStreamEndsEarlier) {
  Start();
  random_->SetFraction(0.5);
  v1::SessionResponse response;
  response.mutable_go_away()->mutable_spread()->set_seconds(10);
  broker_.Send(response);
  Settle();
  broker_.Break();
  Pass(absl::Milliseconds(4900), absl::Milliseconds(100));
  EXPECT_EQ(broker_.opened(), 1);
  Pass(absl::Milliseconds(200), absl::Milliseconds(100));
  EXPECT_EQ(broker_.opened(), 2);
}

TEST_F(Connect, TellsOfEachStateOnce) {
  Start();
  Lose();
  ComeBack();
  std::vector<ConnectionState> seen;
  for (const ConnectionEvent& event : states_) seen.push_back(event.state);
  EXPECT_THAT(seen,
              testing::ElementsAre(ConnectionState::kConnected, ConnectionState::kReconnecting,
                                   ConnectionState::kLost, ConnectionState::kConnected));
}

}  // namespace
}  // namespace credbroker::client
