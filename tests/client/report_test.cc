#include "absl/strings/str_cat.h"
#include "client/session/wire_time.h"
#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class Report : public SessionTest {
 protected:
  void StartWith(int stock) {
    Start();
    target_ = DeclareStock(stock);
  }
  Lease Take() { return *shared_->TakeStock(target_); }
  TargetId target_ = 0;
};

TEST_F(Report, SendsSuccessesAsNumbersAndOthersWithTheirFacts) {
  StartWith(8);
  Take().ReportSuccess();
  Outcome outcome = Outcome::Status(429);
  outcome.headers = {{"Retry-After", "30"}, {"Set-Cookie", "secret=1"}};
  outcome.error_code = "rate_limit_exceeded";
  outcome.body_excerpt = std::string(5000, 'x');
  Take().Report(outcome);
  Pass(absl::Milliseconds(2), absl::Milliseconds(1));
  EXPECT_EQ(broker_.succeeded().size(), 1);
  ASSERT_EQ(broker_.reports().size(), 1);
  const v1::ReportItem item = broker_.reports()[0].item();
  EXPECT_EQ(item.http_status(), 429);
  EXPECT_EQ(item.error_code(), "rate_limit_exceeded");
  EXPECT_EQ(item.body_excerpt().size(), 4096);
  EXPECT_EQ(item.material_version(), 1);
  ASSERT_EQ(item.headers_size(), 1);
  EXPECT_EQ(item.headers(0).name(), "retry-after");
}

TEST_F(Report, LeavesOutWhatTheBrokerWouldEndTheStreamFor) {
  StartWith(8);
  v1::ReportItem item;
  item.set_http_status(1000);
  item.set_error_code(std::string("a\xff\n") + std::string(200, 'b'));
  item.add_headers()->set_name("bad name");
  item.add_headers()->set_name("x-injected");
  item.mutable_headers(1)->set_value("a\r\nb: c");
  item.add_headers()->set_name("Retry-After");
  item.mutable_headers(2)->set_value("3");
  for (int i = 0; i < 200; ++i) {
    v1::Header* header = item.add_headers();
    header->set_name("x");
    header->set_value(std::string(100, 'x'));
  }
  Take().Report(item, nullptr);
  Pass(absl::Seconds(1));
  ASSERT_EQ(broker_.reports().size(), 1);
  const v1::ReportItem sent = broker_.reports()[0].item();
  EXPECT_EQ(sent.http_status(), 0);
  EXPECT_EQ(sent.outcome(), v1::OUTCOME_NETWORK_ERROR);
  EXPECT_EQ(sent.error_code().size(), 128);
  EXPECT_THAT(sent.error_code(), testing::StartsWith("a??bb"));
  EXPECT_EQ(sent.headers_size(), 128);
  EXPECT_EQ(sent.headers(0).name(), "retry-after");
}

TEST_F(Report, IsStrippedAfterAStreamThatEndedWithAnInvalidArgument) {
  StartWith(8);
  broker_.SetAnswering(false);
  Outcome outcome = Outcome::Status(500);
  outcome.body_excerpt = "poison";
  Take().Report(outcome);
  Pass(absl::Milliseconds(10), absl::Milliseconds(5));
  broker_.Break(absl::InvalidArgumentError("reports[0]: no"));
  broker_.SetAnswering(true);
  Pass(absl::Seconds(1));
  ASSERT_EQ(broker_.reports().size(), 2);
  EXPECT_EQ(broker_.reports()[0].item().body_excerpt(), "poison");
  EXPECT_EQ(broker_.reports()[1].item().body_excerpt(), "");
  EXPECT_EQ(broker_.reports()[1].item().http_status(), 500);
}

TEST_F(Report, EndsALeaseOnce) {
  StartWith(8);
  Lease lease = Take();
  lease.ReportSuccess();
  lease.ReportSuccess();
  lease.Report(Outcome::Status(500));
  lease.Release();
  EXPECT_FALSE(lease);
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.succeeded().size(), 1);
  EXPECT_TRUE(broker_.reports().empty());
  EXPECT_EQ(broker_.released(), 0);
}

TEST_F(Report, ReleasesALeaseThatDies) {
  StartWith(8);
  { Lease lease = Take(); }
  {
    Lease one = Take();
    Lease two = Take();
    two = std::move(one);
  }
  Take().Expire();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.released(), 4);
  EXPECT_EQ(broker_.expired(), 1);
}

TEST_F(Report, GathersEndsForAMillisecondAndSendsThemAtOnceWhereItWasIdle) {
  StartWith(64);
  Pass(absl::Seconds(1));
  broker_.TakeWritten();
  std::vector<Lease> leases;
  for (int i = 0; i < 20; ++i) leases.push_back(Take());
  leases[0].ReportSuccess();
  Settle();
  EXPECT_EQ(broker_.succeeded().size(), 1);  // at once
  for (int i = 1; i < 10; ++i) {
    leases[i].ReportSuccess();
    Settle();
  }
  EXPECT_EQ(broker_.succeeded().size(), 1);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(broker_.succeeded().size(), 10);
}

TEST_F(Report, TellsTheCallerWhatTheBrokerMadeOfIt) {
  StartWith(8);
  std::vector<ReportAnswer> answers;
  Take().Report(Outcome::Status(500),
                [&](const ReportAnswer& answer) { answers.push_back(answer); });
  EXPECT_TRUE(answers.empty());
  Pass(absl::Seconds(1));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].advice, v1::ADVICE_RETRY_OTHER);
  EXPECT_EQ(answers[0].disposition, v1::REPORT_DISPOSITION_ACCEPTED);
}

TEST_F(Report, KeepsAnEarlyNoticeBeforeTheSuccessOfTheSameLease) {
  StartWith(8);
  Lease lease = Take();
  lease.ReportEarly(Outcome::Status(200));
  lease.ReportSuccess();
  Pass(absl::Seconds(1));
  // Within one message successes go first, so both are reports.
  ASSERT_EQ(broker_.reports().size(), 2);
  EXPECT_TRUE(broker_.reports()[0].item().early());
  EXPECT_FALSE(broker_.reports()[1].item().early());
  EXPECT_EQ(broker_.reports()[1].item().outcome(), v1::OUTCOME_SUCCESS);
  EXPECT_TRUE(broker_.succeeded().empty());
}

TEST_F(Report, IsSentAgainAfterABreakUntilTheBrokerProcessedIt) {
  StartWith(8);
  broker_.SetAnswering(false);
  int answers = 0;
  Lease fine = Take();  // before the failure: after it none of the credential's is handed out
  Take().Report(Outcome::Status(500), [&](const ReportAnswer&) { ++answers; });
  fine.ReportSuccess();
  Pass(absl::Milliseconds(10), absl::Milliseconds(5));
  EXPECT_EQ(broker_.reports().size(), 1);
  EXPECT_EQ(shared_->stats().ends_processed, 0);
  // The broker dies before it said so, and with it what it knew.
  broker_.Restart();
  broker_.Break();
  broker_.SetAnswering(true);
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.reports().size(), 2);
  EXPECT_EQ(broker_.succeeded().size(), 2);
  EXPECT_EQ(shared_->stats().ends_processed, 2);
  EXPECT_EQ(answers, 1);
  // Processed: not a third time.
  broker_.Break();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.reports().size(), 2);
  EXPECT_EQ(broker_.succeeded().size(), 2);
}

TEST_F(Report, GoesOutUnderTheNewNumberOfItsLease) {
  StartWith(8);
  Lease lease = Take();
  broker_.Restart();
  random_->SetFraction(0.9);
  broker_.Break();
  Settle();
  lease.ReportSuccess();  // while there is no stream
  Settle();
  EXPECT_TRUE(broker_.succeeded().empty());
  Pass(absl::Seconds(1));
  ASSERT_EQ(broker_.succeeded().size(), 1);
  EXPECT_GT(broker_.succeeded()[0], uint64_t{1} << 40);
}

TEST_F(Report, IsDroppedAndSaysSoWhereTheBrokerRefusesItsLease) {
  StartWith(8);
  Lease lease = Take();
  broker_.RefuseResume("a");
  random_->SetFraction(0.9);
  broker_.Break();
  Settle();
  std::vector<ReportAnswer> answers;
  lease.Report(Outcome::Status(500),
               [&](const ReportAnswer& answer) { answers.push_back(answer); });
  Pass(absl::Seconds(1));
  EXPECT_TRUE(broker_.reports().empty());
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].disposition, v1::REPORT_DISPOSITION_UNKNOWN);
  EXPECT_EQ(shared_->stats().ends_dropped, 1);
}

TEST_F(Report, OfAReleaseIsLeftOutOfTheNextHello) {
  StartWith(4);
  Lease lease = Take();
  random_->SetFraction(0.9);
  broker_.Break();
  Settle();
  lease.Release();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.last_hello().size(), 3);
  EXPECT_EQ(broker_.released(), 1);
}

TEST_F(Report, LosesHeadersAndBodyBeyondTheBound) {
  options_.max_report_bytes = 64 << 10;
  Start();
  target_ = DeclareStock(64, 64);
  broker_.SetAnswering(false);
  std::vector<Lease> leases;
  for (int i = 0; i < 40; ++i) leases.push_back(Take());
  for (Lease& lease : leases) {
    Outcome outcome = Outcome::Status(500);
    outcome.body_excerpt = std::string(4096, 'x');
    lease.Report(outcome);
  }
  Pass(absl::Milliseconds(10), absl::Milliseconds(5));
  EXPECT_EQ(broker_.reports().size(), 40);
  EXPECT_EQ(shared_->stats().reports_trimmed, 26);
  size_t with_body = 0;
  for (const auto& report : broker_.reports()) {
    EXPECT_EQ(report.item().http_status(), 500);
    with_body += !report.item().body_excerpt().empty();
  }
  EXPECT_EQ(with_body, 14);
}

// --- Flush and close ---

class Close : public Report {
 protected:
  void BeginClose(absl::Duration timeout) {
    core_->Close(timeout, [this](absl::Status result) { result_ = std::move(result); });
  }
  std::optional<absl::Status> result_;
};

TEST_F(Close, FlushWaitsUntilEverythingWasProcessed) {
  StartWith(8);
  broker_.SetAnswering(false);
  Take().ReportSuccess();
  bool flushed = false;
  core_->Flush([&] { flushed = true; });
  Pass(absl::Seconds(1));
  EXPECT_FALSE(flushed);
  broker_.SetAnswering(true);
  Settle();
  EXPECT_TRUE(flushed);
}

TEST_F(Close, ReturnsStockAndLeasesAndSendsReportsFirst) {
  StartWith(8);
  Lease held = Take();
  Take().ReportSuccess();
  BeginClose(absl::Seconds(5));
  Settle();
  ASSERT_TRUE(result_.has_value());
  EXPECT_TRUE(result_->ok()) << *result_;
  EXPECT_EQ(broker_.succeeded().size(), 1);
  EXPECT_EQ(broker_.released(), 7);
  EXPECT_TRUE(broker_.half_closed());
  EXPECT_TRUE(held.revoked());
  EXPECT_EQ(shared_->state(), ConnectionState::kClosed);
  EXPECT_TRUE(core_->finished());
}

TEST_F(Close, EndsInTimeWhereTheBrokerDoesNotAnswer) {
  StartWith(8);
  broker_.SetAnswering(false);
  Take().ReportSuccess();
  BeginClose(absl::Seconds(3));
  Pass(absl::Seconds(2));
  EXPECT_FALSE(result_.has_value());
  Pass(absl::Seconds(2));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(LocalReasonOf(*result_), LocalReason::kDeadline);
  EXPECT_EQ(shared_->stats().ends_dropped, 1);
}

TEST_F(Close, IsImmediateWhereNothingIsLeftToSay) {
  broker_.SetReachable(false);
  Begin();
  Settle();
  BeginClose(absl::Seconds(30));
  Settle();
  ASSERT_TRUE(result_.has_value());
  EXPECT_TRUE(result_->ok());
}

TEST_F(Close, ReconnectsOnceMoreForReports) {
  StartWith(8);
  Lease lease = Take();
  random_->SetFraction(0.5);
  broker_.Break();
  Settle();
  lease.ReportSuccess();
  BeginClose(absl::Seconds(5));
  Pass(absl::Seconds(1));
  ASSERT_TRUE(result_.has_value());
  EXPECT_TRUE(result_->ok()) << *result_;
  EXPECT_EQ(broker_.succeeded().size(), 1);
}

TEST_F(Close, SaysThatAReportThatComesAfterItIsNotDelivered) {
  StartWith(8);
  Lease lease = Take();
  Lease later = Take();
  Lease between = Take();
  BeginClose(absl::Seconds(5));
  std::vector<ReportAnswer> answers;
  const auto keep = [&](const ReportAnswer& answer) { answers.push_back(answer); };
  lease.Report(Outcome::Status(500), keep);
  Settle();
  between.Report(Outcome::Status(500), keep);
  shared_->Stop();
  later.Report(Outcome::Status(500), keep);
  core_->DropNotes();
  ASSERT_EQ(answers.size(), 3);
  EXPECT_EQ(answers[0].disposition, v1::REPORT_DISPOSITION_UNKNOWN);
  EXPECT_EQ(answers[1].disposition, v1::REPORT_DISPOSITION_UNKNOWN);
}

TEST_F(Close, AnswersTheCallsThatWait) {
  StartWith(0);
  broker_.HoldAcquires(true);
  auto answer = Ask(target_);
  BeginClose(absl::Seconds(5));
  Settle();
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(LocalReasonOf(answer->status()), LocalReason::kClosed);
}

}  // namespace
}  // namespace credbroker::client
