#include "client/sidecar/desk.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/sidecar/fake_source.h"

namespace credbroker::sidecar {
namespace {

api::AcquireRequest Plain() {
  api::AcquireRequest request;
  request.add_providers("claude");
  return request;
}

api::ReportItem Item(const std::string& lease, int status) {
  api::ReportItem item;
  item.set_lease_id(lease);
  item.set_http_status(status);
  return item;
}

class DeskTest : public testing::Test {
 protected:
  // A lease given out for a minute.
  std::string Give(Office& office, absl::Duration ttl = absl::Minutes(1)) {
    auto decision =
        office.desk->DecideNow(Face::kHttp, office.routes.defaults(), Plain(), absl::Seconds(1));
    EXPECT_EQ(decision.kind, Desk::Decision::Kind::kLease);
    const LeaseId id = office.desk->NewId();
    EXPECT_TRUE(
        office.desk->Keep(Face::kHttp, office.routes.defaults(), id, std::move(decision.lease), ttl)
            .ok());
    return ToText(id);
  }
  static api::ReportResponse Report(Office& office, api::ReportItem item) {
    api::ReportResponse out;
    out.add_results()->set_lease_id("unanswered");
    office.desk->Report(Face::kHttp, {std::move(item)},
                        [&out](api::ReportResponse response) { out = std::move(response); });
    return out;
  }
  static Desk::Decision Decide(Office& office, Face face) {
    return office.desk->DecideNow(face, office.routes.defaults(), Plain(), absl::Seconds(1));
  }

  Office office_{"defaults: {ttl: 60s}\n"};
};

TEST_F(DeskTest, PassesAReportOnAndAnswersWithTheBrokersAdvice) {
  const std::string lease = Give(office_);
  EXPECT_EQ(office_.desk->live(), 1u);
  api::ReportResponse answer;
  office_.desk->Report(Face::kGrpc, {Item(lease, 429)},
                       [&](api::ReportResponse response) { answer = std::move(response); });
  EXPECT_EQ(answer.results_size(), 0) << "it waits for the broker";
  ASSERT_EQ(office_.source.seen.unanswered.size(), 1u);
  office_.source.seen.unanswered[0]({.disposition = api::REPORT_DISPOSITION_ACCEPTED,
                                     .advice = api::ADVICE_RETRY_OTHER,
                                     .state = api::CREDENTIAL_STATE_WAITING,
                                     .credential_id = "c1"});
  ASSERT_EQ(answer.results_size(), 1);
  EXPECT_EQ(answer.results(0).lease_id(), lease);
  EXPECT_EQ(answer.results(0).advice(), api::ADVICE_RETRY_OTHER);
  EXPECT_EQ(answer.results(0).state(), api::CREDENTIAL_STATE_WAITING);
  EXPECT_EQ(office_.desk->live(), 0u);
  EXPECT_EQ(office_.source.seen.released, 0);
}

TEST_F(DeskTest, AnswersASuccessAtOnce) {
  const api::ReportResponse answer = Report(office_, Item(Give(office_), 200));
  EXPECT_EQ(answer.results(0).disposition(), api::REPORT_DISPOSITION_ACCEPTED);
  EXPECT_EQ(answer.results(0).advice(), api::ADVICE_NONE);
  EXPECT_EQ(answer.results(0).outcome(), api::OUTCOME_SUCCESS);
  EXPECT_EQ(office_.source.seen.reports.size(), 1u);
  EXPECT_TRUE(office_.source.seen.unanswered.empty());
}

TEST_F(DeskTest, AnswersByTheStatusWhenTheBrokersAdviceTakesTooLong) {
  api::ReportResponse answer;
  office_.desk->Report(Face::kGrpc, {Item(Give(office_), 429)},
                       [&](api::ReportResponse response) { answer = std::move(response); });
  office_.clock->Advance(absl::Milliseconds(999));
  office_.desk->Tick();
  EXPECT_EQ(answer.results_size(), 0);
  office_.clock->Advance(absl::Milliseconds(1));
  office_.desk->Tick();
  ASSERT_EQ(answer.results_size(), 1);
  EXPECT_EQ(answer.results(0).advice(), api::ADVICE_RETRY_OTHER);
  // What comes later changes nothing any more, but is remembered for a repeat.
  office_.source.seen.unanswered[0](
      {.disposition = api::REPORT_DISPOSITION_ACCEPTED, .advice = api::ADVICE_GIVE_UP});
  EXPECT_EQ(answer.results(0).advice(), api::ADVICE_RETRY_OTHER);
}

TEST_F(DeskTest, DoesNotWaitForABrokerThatIsAway) {
  const std::string lease = Give(office_);
  office_.source.up = false;
  const api::ReportResponse answer = Report(office_, Item(lease, 400));
  ASSERT_EQ(answer.results_size(), 1);
  EXPECT_EQ(answer.results(0).disposition(), api::REPORT_DISPOSITION_ACCEPTED);
  EXPECT_EQ(answer.results(0).advice(), api::ADVICE_GIVE_UP);
  EXPECT_EQ(office_.source.seen.reports.size(), 1u) << "the session keeps it";
}

TEST_F(DeskTest, AnswersARepeatWithTheFirstAnswer) {
  const std::string lease = Give(office_);
  office_.desk->Report(Face::kHttp, {Item(lease, 429)}, [](api::ReportResponse) {});
  office_.source.seen.unanswered[0]({.disposition = api::REPORT_DISPOSITION_ACCEPTED,
                                     .advice = api::ADVICE_RETRY_OTHER,
                                     .credential_id = "c1"});
  const api::ReportResponse again = Report(office_, Item(lease, 200));
  EXPECT_EQ(again.results(0).disposition(), api::REPORT_DISPOSITION_DUPLICATE);
  EXPECT_EQ(again.results(0).advice(), api::ADVICE_RETRY_OTHER);
  EXPECT_EQ(again.results(0).credential_id(), "c1");
  EXPECT_EQ(office_.source.seen.reports.size(), 1u);
}

TEST_F(DeskTest, KnowsNoLeaseItDidNotGive) {
  for (const std::string id :
       {"", "s_", "s_AAAAAAAAAAAAAAAAAAAAAA", "s_AAAAAAAAAAAAAAAAAAAAA\r",
        "x_AAAAAAAAAAAAAAAAAAAAAA", "s_AAAAAAAAAAAAAAAAAAAAAB", "s_AAAAAAAAAAAAAAAAAAAAAA=="}) {
    EXPECT_EQ(Report(office_, Item(id, 200)).results(0).disposition(),
              api::REPORT_DISPOSITION_UNKNOWN)
        << id;
    EXPECT_FALSE(office_.desk->Release(id));
    EXPECT_FALSE(office_.desk->Renew(id, absl::Seconds(1)).has_value());
  }
  EXPECT_EQ(office_.metrics.reported(Face::kHttp, Reported::kUnknown).value(), 7u);
}

TEST_F(DeskTest, EndsLeasesNobodyReportedAsExpired) {
  const std::string lease = Give(office_, absl::Seconds(60));
  office_.clock->Advance(absl::Seconds(60) - absl::Nanoseconds(1));
  office_.desk->Tick();
  EXPECT_EQ(office_.desk->live(), 1u);
  office_.clock->Advance(absl::Nanoseconds(1));
  office_.desk->Tick();
  EXPECT_EQ(office_.desk->live(), 0u);
  EXPECT_EQ(office_.source.seen.expired, 1);
  EXPECT_EQ(office_.source.seen.released, 0);
  EXPECT_EQ(office_.metrics.ended(Ending::kExpired).value(), 1u);
  EXPECT_EQ(Report(office_, Item(lease, 200)).results(0).disposition(),
            api::REPORT_DISPOSITION_LATE);
}

TEST_F(DeskTest, KeepsARenewedLease) {
  const std::string lease = Give(office_, absl::Seconds(60));
  office_.clock->Advance(absl::Seconds(30));
  EXPECT_EQ(office_.desk->Renew(lease, absl::Seconds(60)), absl::Seconds(60));
  office_.clock->Advance(absl::Seconds(59));
  office_.desk->Tick();
  EXPECT_EQ(office_.desk->live(), 1u);
  EXPECT_EQ(office_.source.seen.renewed, std::vector<absl::Duration>{absl::Seconds(60)});
  office_.clock->Advance(absl::Seconds(1));
  office_.desk->Tick();
  EXPECT_EQ(office_.desk->live(), 0u);
}

TEST_F(DeskTest, KeepsNoLeaseLongerThanAnHour) {
  const std::string lease = Give(office_, absl::Minutes(50));
  office_.clock->Advance(absl::Minutes(40));
  EXPECT_EQ(office_.desk->Renew(lease, absl::Minutes(50)), absl::Minutes(20));
  api::Grant grant;
  EXPECT_EQ(office_.desk->CopyGrant(*ParseLeaseId(lease), &grant), absl::Minutes(20));
  office_.clock->Advance(absl::Minutes(20));
  EXPECT_FALSE(office_.desk->Renew(lease, absl::Minutes(50)).has_value()) << "nobody ended it yet";
  office_.desk->Tick();
  EXPECT_EQ(office_.desk->live(), 0u);
  EXPECT_EQ(office_.source.seen.expired, 1);
}

TEST_F(DeskTest, GivesARevokedLeaseOutNoMoreAndDoesNotRenewIt) {
  const std::string lease = Give(office_);
  office_.source.seen.revoked = true;
  api::Grant grant;
  EXPECT_FALSE(office_.desk->CopyGrant(*ParseLeaseId(lease), &grant).has_value());
  EXPECT_EQ(grant.credential_id(), "");
  EXPECT_FALSE(office_.desk->Renew(lease, absl::Seconds(60)).has_value());
  EXPECT_TRUE(office_.source.seen.renewed.empty());
  // What became of it is still to be told.
  EXPECT_EQ(Report(office_, Item(lease, 200)).results(0).disposition(),
            api::REPORT_DISPOSITION_ACCEPTED);
}

TEST_F(DeskTest, TakesALeaseOfAnotherPrincipalForAnUnknownOne) {
  auto decision = Decide(office_, Face::kGrpc);
  const LeaseId id = office_.desk->NewId();
  ASSERT_TRUE(office_.desk
                  ->Keep(Face::kGrpc, office_.routes.defaults(), id, std::move(decision.lease),
                         absl::Minutes(1), "unix:/a")
                  .ok());
  const std::string lease = ToText(id);
  const auto report = [&](bool early, Desk::Owner owner) {
    api::ReportItem item = Item(lease, 200);
    item.set_early(early);
    api::ReportDisposition disposition = api::REPORT_DISPOSITION_UNSPECIFIED;
    office_.desk->Report(
        Face::kGrpc, {item},
        [&](const api::ReportResponse& response) {
          disposition = response.results(0).disposition();
        },
        owner);
    return disposition;
  };
  for (const char* other : {"unix:/b", "loopback", ""}) {
    api::Grant grant;
    EXPECT_FALSE(office_.desk->CopyGrant(id, &grant, other).has_value());
    EXPECT_FALSE(office_.desk->Renew(lease, absl::Minutes(1), other).has_value());
    EXPECT_FALSE(office_.desk->Release(lease, other));
    EXPECT_EQ(report(true, other), api::REPORT_DISPOSITION_UNKNOWN);
    EXPECT_EQ(report(false, other), api::REPORT_DISPOSITION_UNKNOWN);
  }
  EXPECT_EQ(office_.desk->live(), 1u);
  EXPECT_TRUE(office_.source.seen.reports.empty());
  api::Grant grant;
  EXPECT_TRUE(office_.desk->CopyGrant(id, &grant, "unix:/a").has_value());
  EXPECT_TRUE(office_.desk->Renew(lease, absl::Minutes(1), "unix:/a").has_value());
  EXPECT_EQ(report(false, "unix:/a"), api::REPORT_DISPOSITION_ACCEPTED);
  EXPECT_EQ(report(false, "unix:/a"), api::REPORT_DISPOSITION_DUPLICATE);
  EXPECT_EQ(report(false, "unix:/b"), api::REPORT_DISPOSITION_UNKNOWN);
}

TEST_F(DeskTest, LetsALeaseGoOnAfterAnEarlyNotice) {
  const std::string lease = Give(office_);
  api::ReportItem early = Item(lease, 200);
  early.set_early(true);
  office_.desk->Report(Face::kHttp, {early}, [](api::ReportResponse) {});
  EXPECT_EQ(office_.desk->live(), 1u);
  EXPECT_EQ(office_.metrics.reported(Face::kHttp, Reported::kEarly).value(), 1u);
  Report(office_, Item(lease, 200));
  EXPECT_EQ(office_.desk->live(), 0u);
  EXPECT_EQ(office_.source.seen.reports.size(), 2u);
}

TEST_F(DeskTest, ReleasesOnce) {
  const std::string lease = Give(office_);
  EXPECT_TRUE(office_.desk->Release(lease));
  EXPECT_FALSE(office_.desk->Release(lease));
  EXPECT_EQ(office_.source.seen.released, 1);
}

TEST_F(DeskTest, RefusesMoreLeasesThanItMayHold) {
  Office office("", /*max_leases=*/1);
  Give(office);
  auto decision = Decide(office, Face::kHttp);
  const absl::Status kept =
      office.desk->Keep(Face::kHttp, office.routes.defaults(), office.desk->NewId(),
                        std::move(decision.lease), absl::Seconds(1));
  EXPECT_EQ(kept.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(office.source.seen.released, 1);
  EXPECT_EQ(office.Acquired(Face::kHttp, Granting::kBusy), 1u);
}

TEST_F(DeskTest, RefusesWhileTheBrokerIsAwayIfARouteFailsClosed) {
  office_.source.refusal =
      client::LocalError(client::LocalReason::kSessionLost, "lost", absl::Seconds(3));
  const auto decision = Decide(office_, Face::kHttp);
  EXPECT_EQ(decision.kind, Desk::Decision::Kind::kRefused);
  EXPECT_TRUE(IsAway(decision.refusal));
  EXPECT_EQ(office_.Acquired(Face::kHttp, Granting::kAway), 1u);
}

TEST_F(DeskTest, LetsHttpRequestsPassWhileTheBrokerIsAwayIfARouteBypasses) {
  Office office("defaults: {when_away: bypass}\n");
  office.source.refusal = client::LocalError(client::LocalReason::kSessionLost, "lost");
  EXPECT_EQ(Decide(office, Face::kHttp).kind, Desk::Decision::Kind::kBypass);
  EXPECT_EQ(Decide(office, Face::kGrpc).kind, Desk::Decision::Kind::kRefused)
      << "a gRPC caller has nothing to go on with";
  EXPECT_EQ(office.Acquired(Face::kHttp, Granting::kBypass), 1u);
}

TEST_F(DeskTest, BypassesNoRefusalOfTheBroker) {
  Office office("defaults: {when_away: bypass}\n");
  for (const absl::Status& refusal :
       {Refused(absl::StatusCode::kResourceExhausted, "COOLING"),
        Refused(absl::StatusCode::kFailedPrecondition, "ALL_DISABLED"),
        Refused(absl::StatusCode::kNotFound, "NO_SUCH_MODEL")}) {
    office.source.refusal = refusal;
    EXPECT_EQ(Decide(office, Face::kHttp).kind, Desk::Decision::Kind::kRefused) << refusal;
  }
  EXPECT_EQ(office.Acquired(Face::kHttp, Granting::kBusy), 1u);
  EXPECT_EQ(office.Acquired(Face::kHttp, Granting::kDisabled), 2u);
}

TEST_F(DeskTest, CountsWhatItServesFromTheLastKnownMaterial) {
  office_.source.credentials[0].served_last = true;
  Give(office_);
  EXPECT_EQ(office_.Acquired(Face::kHttp, Granting::kServedLast), 1u);
  EXPECT_EQ(office_.Acquired(Face::kHttp, Granting::kStock), 0u);
}

TEST_F(DeskTest, TakesServeLastThatIsBusyForABrokerThatIsAway) {
  EXPECT_TRUE(IsAway(client::LocalError(client::LocalReason::kServeLastBusy, "busy")));
  EXPECT_TRUE(IsAway(client::LocalError(client::LocalReason::kNothingToServe, "none")));
  EXPECT_FALSE(IsAway(client::LocalError(client::LocalReason::kTooManyLeases, "many")));
  EXPECT_FALSE(IsAway(Refused(absl::StatusCode::kResourceExhausted, "BUSY")));
}

TEST_F(DeskTest, GrantsNothingWhileItDrainsButTakesReports) {
  const std::string lease = Give(office_);
  Give(office_);
  office_.desk->StartDraining();
  EXPECT_EQ(Decide(office_, Face::kHttp).kind, Desk::Decision::Kind::kRefused);
  EXPECT_EQ(Report(office_, Item(lease, 200)).results(0).disposition(),
            api::REPORT_DISPOSITION_ACCEPTED);
  office_.desk->ReturnAll();
  EXPECT_EQ(office_.desk->live(), 0u);
  EXPECT_EQ(office_.source.seen.released, 1);
  EXPECT_EQ(office_.metrics.ended(Ending::kStopped).value(), 1u);
}

TEST_F(DeskTest, AnswersReportsThatWaitWhenItStops) {
  api::ReportResponse answer;
  office_.desk->Report(Face::kGrpc, {Item(Give(office_), 500)},
                       [&](api::ReportResponse response) { answer = std::move(response); });
  EXPECT_EQ(answer.results_size(), 0);
  office_.desk->ReturnAll();
  ASSERT_EQ(answer.results_size(), 1);
  EXPECT_EQ(answer.results(0).disposition(), api::REPORT_DISPOSITION_ACCEPTED);
}

TEST_F(DeskTest, ShowsNoNameACallerInvents) {
  Give(office_);
  const std::string text = office_.metrics.Text();
  EXPECT_NE(text.find("credbroker_sidecar_acquisitions_total{face=\"http\",route=\"defaults\","
                      "result=\"stock\"} 1"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("secret"), std::string::npos);
  EXPECT_EQ(text.find("claude"), std::string::npos);
}

}  // namespace
}  // namespace credbroker::sidecar
