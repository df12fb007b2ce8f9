// What callers say while there is no stream, and what becomes of it.
#include "client/session/wire_time.h"
#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class Away : public SessionTest {
 protected:
  void StartWith(int stock) {
    Start();
    target_ = DeclareStock(stock);
  }
  Lease Take() { return *shared_->TakeStock(target_); }
  // The stream breaks, and the next one is not opened before time passes.
  void BreakOff() {
    random_->SetFraction(0.9);
    broker_.Break();
    Settle();
  }
  void Notice(Lease& lease) {
    v1::ReportItem item;
    item.set_http_status(200);
    item.set_early(true);
    lease.Report(std::move(item),
                 [this](const ReportAnswer& answer) { answers_.push_back(answer.disposition); });
  }
  // Up to the moment at which a hello is due and not yet sent.
  void OpenStream() {
    clock_->Advance(absl::Seconds(1));
    core_->Step();
    StreamEvent event = broker_.Poll(absl::ZeroDuration());
    ASSERT_EQ(event.kind, StreamEvent::Kind::kOpened);
    core_->Handle(event);
  }
  void BeginClose(absl::Duration timeout) {
    core_->Close(timeout, [this](absl::Status result) { result_ = std::move(result); });
  }

  TargetId target_ = 0;
  std::vector<v1::ReportDisposition> answers_;
  std::optional<absl::Status> result_;
};

TEST_F(Away, ANoticeIsNotSentAboutTheLeaseThatComesAfterItsOwn) {
  StartWith(4);
  Lease lease = Take();
  BreakOff();
  Notice(lease);
  lease.Release();
  Pass(absl::Seconds(1));
  for (int i = 0; i < 8; ++i) TakeDirect(target_).Release();
  Pass(absl::Seconds(1));
  EXPECT_TRUE(broker_.reports().empty());
  EXPECT_THAT(answers_, testing::ElementsAre(v1::REPORT_DISPOSITION_UNKNOWN));
}

TEST_F(Away, ANoticeThatWaitsIsAnsweredOnceByClose) {
  StartWith(4);
  Lease lease = Take();
  BreakOff();
  Notice(lease);
  BeginClose(absl::Seconds(5));
  Settle();
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(answers_, testing::ElementsAre(v1::REPORT_DISPOSITION_UNKNOWN));
}

TEST_F(Away, ANoticeOnAStreamThatIsCutIsAnsweredOnceByClose) {
  StartWith(4);
  Lease lease = Take();
  Pass(absl::Seconds(1));
  broker_.SetAnswering(false);
  Notice(lease);
  Pass(absl::Milliseconds(10), absl::Milliseconds(5));
  ASSERT_EQ(broker_.reports().size(), 1);
  clock_->Advance(absl::Seconds(15));
  BeginClose(absl::Seconds(5));
  core_->Step();  // cuts it: no ping was answered
  ASSERT_TRUE(core_->finished());
  EXPECT_THAT(answers_, testing::ElementsAre(v1::REPORT_DISPOSITION_UNKNOWN));
}

TEST_F(Away, CloseBeforeAHelloIsSentNamesNothingThatIsFreed) {
  StartWith(4);
  Lease lease = Take();
  BreakOff();
  OpenStream();
  broker_.TakeWritten();
  BeginClose(absl::Seconds(5));
  core_->Step();
  EXPECT_TRUE(core_->finished());
  EXPECT_TRUE(broker_.TakeWritten().empty());
}

TEST_F(Away, CloseWhoseTimeIsOverBeforeAHelloIsSentNamesNothingThatIsFreed) {
  StartWith(4);
  Lease lease = Take();
  BreakOff();
  lease.Report(Outcome::Status(500));
  OpenStream();
  broker_.TakeWritten();
  BeginClose(absl::ZeroDuration());
  core_->Step();
  EXPECT_TRUE(core_->finished());
  EXPECT_TRUE(broker_.TakeWritten().empty());
}

TEST_F(Away, WhatWasGivenUpSinceTheHelloGoesBackWhenTheBrokerResumesIt) {
  StartWith(4);
  const auto before = broker_.leases();
  ASSERT_EQ(before.size(), 4);
  broker_.SetAnswering(false);
  Pass(absl::Seconds(11));
  broker_.Break();
  Pass(absl::Milliseconds(4500));  // a hello is sent, and validity ends
  ASSERT_EQ(shared_->state(), ConnectionState::kLost);
  ASSERT_EQ(broker_.last_hello().size(), 4);
  broker_.SetAnswering(true);
  Pass(absl::Seconds(1));
  ASSERT_EQ(shared_->state(), ConnectionState::kConnected);
  for (const auto& [number, lease] : before) EXPECT_FALSE(broker_.leases().contains(number));
}

TEST_F(Away, ALeaseThatIsResumedWithAnotherCredentialGoesBack) {
  StartWith(1);
  broker_.Add("b");
  Lease lease = Take();
  broker_.SetAnswering(false);
  broker_.Break();
  Pass(absl::Seconds(1));
  ASSERT_EQ(broker_.last_hello().size(), 1);
  v1::SessionResponse response;
  v1::SessionWelcome* welcome = response.mutable_welcome();
  welcome->set_session_id("session-1");
  welcome->mutable_ttl()->set_seconds(15);
  welcome->mutable_ping_interval()->set_seconds(5);
  welcome->set_epoch(1);
  ToWire(absl::FromUnixNanos(broker_.NowUnixNanos()), welcome->mutable_now());
  v1::SessionCredential* other = response.add_credentials();
  other->set_credential(7);
  other->set_credential_id("b");
  other->set_credential_uid("uid-b");
  v1::SessionResumption* resumption = response.add_resumptions();
  resumption->set_old_lease(broker_.last_hello()[0].lease());
  resumption->set_lease(77);
  resumption->set_credential(7);
  StreamEvent event;
  event.kind = StreamEvent::Kind::kMessage;
  event.message = &response;
  core_->Handle(event);
  Settle();
  EXPECT_TRUE(lease.revoked());
  std::vector<uint64_t> returned;
  for (const v1::SessionRequest& request : broker_.TakeWritten()) {
    returned.insert(returned.end(), request.released_leases().begin(),
                    request.released_leases().end());
  }
  EXPECT_THAT(returned, testing::Contains(77));
}

TEST_F(Away, NoticesCountAgainstTheBoundEvenIfTheySayNoMoreThanAStatus) {
  options_.max_report_bytes = 64 << 10;
  StartWith(4);
  Lease lease = Take();
  BreakOff();
  for (int i = 0; i < 1000; ++i) Notice(lease);
  Settle();
  EXPECT_EQ(shared_->stats().early_dropped, 1000 - 128);
  EXPECT_EQ(answers_.size(), 1000 - 128);
}

TEST_F(Away, ARenewalIsSentOnceWhenTheBrokerIsBackHoweverOftenItWasAskedFor) {
  StartWith(4);
  Lease lease = Take();
  BreakOff();
  broker_.TakeWritten();
  for (int i = 1; i <= 1000; ++i) lease.Renew(absl::Seconds(i));
  Settle();
  Pass(absl::Seconds(2));
  std::vector<int64_t> ttls;
  for (const v1::SessionRequest& request : broker_.TakeWritten()) {
    for (const v1::SessionRenew& renew : request.renewals()) ttls.push_back(renew.ttl().seconds());
  }
  EXPECT_THAT(ttls, testing::ElementsAre(1000));
}

TEST_F(Away, ARenewalThatIsAskedForWhileAnotherIsOnItsWayFollowsIt) {
  StartWith(4);
  Lease lease = Take();
  broker_.TakeWritten();
  broker_.SetAnswering(false);
  for (int i = 1; i <= 1000; ++i) {
    lease.Renew(absl::Seconds(i));
    Settle();
  }
  broker_.SetAnswering(true);
  Pass(absl::Seconds(1));
  std::vector<int64_t> ttls;
  for (const v1::SessionRequest& request : broker_.TakeWritten()) {
    for (const v1::SessionRenew& renew : request.renewals()) ttls.push_back(renew.ttl().seconds());
  }
  EXPECT_THAT(ttls, testing::ElementsAre(1, 1000));
}

}  // namespace
}  // namespace credbroker::client
