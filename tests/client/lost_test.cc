// While the session is lost.
#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class Lost : public SessionTest {
 protected:
  TargetId DeclareServeLast(int max = 64) {
    Target target;
    target.stock = {.max = 8, .initial = 8};
    target.when_lost = WhenLost::kServeLast;
    target.max_serve_last = max;
    return Declare(target);
  }
};

TEST_F(Lost, VoidsTheStockAndFailsAcquiresAtOnce) {
  Start();
  const TargetId target = DeclareStock(8);
  Lose();
  EXPECT_EQ(InStock(), 0);
  EXPECT_FALSE(shared_->TakeStock(target).has_value());
  auto answer = Ask(target);
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(LocalReasonOf(answer->status()), LocalReason::kSessionLost);
  EXPECT_TRUE(RetryDelayOf(answer->status()).has_value());
}

TEST_F(Lost, AnswersTheCallsThatWait) {
  Start();
  const TargetId target = DeclareStock(0);
  broker_.HoldAcquires(true);
  auto answer = Ask(target, {}, absl::Seconds(60));
  EXPECT_FALSE(answer->answered());
  Lose();
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(LocalReasonOf(answer->status()), LocalReason::kSessionLost);
}

TEST_F(Lost, FlagsLeasesOfCappedCredentialsForTheirSlotsGoToOthers) {
  Start();
  const TargetId target = DeclareStock(0, 0);
  Lease open = TakeDirect(target);
  broker_.Add("a", {.available = false});
  broker_.Add("capped", {.capped = true});
  Lease capped = TakeDirect(target);
  Lose();
  EXPECT_FALSE(open.revoked());
  EXPECT_TRUE(capped.revoked());
  EXPECT_THAT(revoked_.back().cancel, testing::ElementsAre(capped.local_id()));
}

TEST_F(Lost, ServesTheLastKnownMaterialWhereTheTargetSaysSo) {
  Start();
  const TargetId target = DeclareServeLast();
  Lose();
  Lease lease = TakeDirect(target);
  EXPECT_TRUE(lease.served_last());
  EXPECT_EQ(lease.headers()[0].value.reveal(), "Bearer a v1");
}

TEST_F(Lost, ServesNeitherCappedNorRevokedNorExpiredNorFailedNorExcludedMaterial) {
  broker_.Add("expires", {.material_expires = absl::FromUnixSeconds(FakeBroker::kStartSeconds) +
                                              absl::Seconds(60)});
  broker_.Add("capped", {.capped = true});
  broker_.Add("revoked");
  Start();
  const TargetId target = DeclareServeLast();
  for (int i = 0; i < 8; ++i) TakeDirect(target).Release();
  broker_.Revoke("revoked", v1::SESSION_REVOCATION_REASON_DISABLED);
  Settle();
  Lose();
  std::set<std::string> served;
  for (int i = 0; i < 8; ++i) served.insert(TakeDirect(target).credential_id());
  EXPECT_THAT(served, testing::ElementsAre("a", "expires"));
  v1::AcquireRequest request;
  request.add_excluded_credential_ids("a");
  EXPECT_EQ(Ask(target, request)->lease().credential_id(), "expires");
  Pass(absl::Seconds(50));
  auto gone = Ask(target, request);
  EXPECT_EQ(LocalReasonOf(gone->status()), LocalReason::kNothingToServe);
  TakeDirect(target).Report(Outcome::Status(429));
  Settle();
  EXPECT_EQ(LocalReasonOf(Ask(target)->status()), LocalReason::kNothingToServe);
}

TEST_F(Lost, ServesAtMostSoManyAtATime) {
  Start();
  const TargetId target = DeclareServeLast(2);
  Lose();
  Lease first = TakeDirect(target);
  Lease second = TakeDirect(target);
  EXPECT_EQ(LocalReasonOf(Ask(target)->status()), LocalReason::kServeLastBusy);
  first.ReportSuccess();
  Settle();
  EXPECT_TRUE(TakeDirect(target));
}

TEST_F(Lost, ServesTheLastToACallThatWaitedInVainForAConnectionThoughItMayYetResume) {
  Start();
  Target wanted;
  wanted.stock = {.max = 0, .initial = 0};
  wanted.when_lost = WhenLost::kServeLast;
  const TargetId target = Declare(wanted);
  TakeDirect(target).Release();
  broker_.SetReachable(false);
  broker_.Break();
  Settle();
  auto answer = Ask(target, {}, absl::Seconds(2));
  EXPECT_FALSE(answer->answered());
  Pass(absl::Seconds(3));
  ASSERT_EQ(shared_->state(), ConnectionState::kReconnecting);
  ASSERT_TRUE(answer->answered());
  Lease lease = std::move(answer->lease());
  EXPECT_TRUE(lease.served_last());
  ComeBack();
  EXPECT_FALSE(lease.revoked());
  const size_t before = broker_.succeeded().size();
  lease.ReportSuccess();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.succeeded().size(), before + 1);
  // A failure speaks against it before the session is lost as well.
  broker_.SetReachable(false);
  broker_.Break();
  Settle();
  auto failing = Ask(target, {}, absl::Seconds(2));
  Pass(absl::Seconds(3));
  ASSERT_TRUE(failing->answered());
  failing->lease().Report(Outcome::Status(429));
  Settle();
  auto none = Ask(target, {}, absl::Seconds(2));
  Pass(absl::Seconds(3));
  EXPECT_EQ(LocalReasonOf(none->status()), LocalReason::kNothingToServe);
}

TEST_F(Lost, PresentsWhatItServedAndReportsItWhenTheBrokerIsBack) {
  Start();
  const TargetId target = DeclareServeLast();
  Lose();
  broker_.Restart();
  Lease live = TakeDirect(target);
  TakeDirect(target).Report(Outcome::Status(500));
  TakeDirect(target).Release();
  Settle();
  ComeBack();
  // The released one is nobody's business any more.
  EXPECT_EQ(broker_.last_hello().size(), 2);
  for (const auto& lease : broker_.last_hello()) EXPECT_EQ(lease.ticket(), "ticket-a");
  ASSERT_EQ(broker_.reports().size(), 1);
  EXPECT_EQ(broker_.reports()[0].item().http_status(), 500);
  EXPECT_TRUE(broker_.reports()[0].item().has_event_time());
  EXPECT_FALSE(live.revoked());
  const size_t before = broker_.succeeded().size();
  live.ReportSuccess();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.succeeded().size(), before + 1);
}

TEST_F(Lost, FlagsWhatItServedWhereTheBrokerRefusesIt) {
  Start();
  const TargetId target = DeclareServeLast();
  Lose();
  Lease lease = TakeDirect(target);
  broker_.RefuseResume("a");
  ComeBack();
  EXPECT_TRUE(lease.revoked());
  EXPECT_TRUE(lease.served_last());
}

TEST_F(Lost, DoesNotServeWhatWasRevokedBeforeToTheNextSession) {
  Start();
  const TargetId target = DeclareServeLast();
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_DISABLED);
  Settle();
  Lose();
  broker_.Restart();
  ComeBack();
  Lose();
  EXPECT_EQ(LocalReasonOf(Ask(target)->status()), LocalReason::kNothingToServe);
}

}  // namespace
}  // namespace credbroker::client
