// Explain, GetStats and what a watch says besides changes.
#include <map>

#include "tests/rpc/rpc_fixture.h"

namespace credbroker::rpc {
namespace {

class AdminQueryTest : public RpcTest {
 protected:
  using RpcTest::RpcTest;
  grpc::Status CreateAt(const std::string& id, int priority, const std::string& proxy = "") {
    v1::CreateCredentialRequest request;
    request.mutable_credential()->set_id(id);
    request.mutable_credential()->set_provider("openai");
    request.mutable_credential()->set_priority(priority);
    request.mutable_credential()->set_proxy_url(proxy);
    request.mutable_secret()->set_api_key("sk-" + id);
    v1::Credential made;
    return Call(*admin_, &v1::AdminService::Stub::CreateCredential, request, &made);
  }
  v1::ExplainResponse Explain(const v1::ExplainRequest& request) {
    v1::ExplainResponse answer;
    const grpc::Status status = Call(*admin_, &v1::AdminService::Stub::Explain, request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return answer;
  }
  v1::GetStatsResponse Stats() {
    v1::GetStatsResponse stats;
    EXPECT_TRUE(Call(*admin_, &v1::AdminService::Stub::GetStats, {}, &stats).ok());
    return stats;
  }
};

TEST_F(AdminQueryTest, ExplainGoesByPriorityThenIdOverItsPages) {
  ASSERT_TRUE(CreateAt("a", 1).ok());
  ASSERT_TRUE(CreateAt("b", 5).ok());
  ASSERT_TRUE(CreateAt("c", 5).ok());
  ASSERT_TRUE(CreateAt("d", -2).ok());
  v1::ExplainRequest request;
  request.mutable_acquire()->add_providers("openai");
  request.set_page_size(1);
  std::vector<std::string> ids;
  int pages = 0;
  do {
    const v1::ExplainResponse answer = Explain(request);
    EXPECT_EQ(answer.total_size(), 4);
    EXPECT_EQ(answer.strategy(), "round-robin");
    for (const v1::Candidate& candidate : answer.candidates()) {
      ids.push_back(candidate.credential_id());
    }
    request.set_page_token(answer.next_page_token());
  } while (!request.page_token().empty() && ++pages < 9);
  EXPECT_EQ(ids, (std::vector<std::string>{"b", "c", "a", "d"}));
}

TEST_F(AdminQueryTest, ExplainSaysWhomASessionIsBoundTo) {
  ASSERT_TRUE(CreateAt("a", 0).ok());
  ASSERT_TRUE(CreateAt("b", 0).ok());
  v1::AcquireRequest acquire;
  acquire.add_providers("openai");
  acquire.set_session_key("s");
  v1::Grant grant;
  ASSERT_TRUE(Call(*broker_, &v1::BrokerService::Stub::Acquire, acquire, &grant).ok());
  v1::ExplainRequest request;
  *request.mutable_acquire() = acquire;
  const v1::ExplainResponse answer = Explain(request);
  EXPECT_EQ(answer.bound_credential_id(), grant.credential_id());
  EXPECT_EQ(answer.chosen_credential_id(), grant.credential_id());
  std::map<std::string, v1::Verdict> verdicts;
  for (const v1::Candidate& candidate : answer.candidates()) {
    verdicts[candidate.credential_id()] = candidate.verdict();
  }
  EXPECT_EQ(verdicts[grant.credential_id()], v1::VERDICT_CHOSEN);
  EXPECT_EQ(verdicts[grant.credential_id() == "a" ? "b" : "a"],
            v1::VERDICT_SESSION_BOUND_ELSEWHERE);
}

TEST_F(AdminQueryTest, StatisticsNameBackoffsBreakersAndProbes) {
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(CreateAt(id, 0, "http://user:hunter2@proxy:3128").ok());
  }
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  v1::ReportResponse response;
  ASSERT_TRUE(Report(grant.lease_id(), 529, &response).ok());
  v1::GetStatsResponse stats = Stats();
  EXPECT_EQ(stats.remembered_leases(), 1);
  ASSERT_EQ(stats.backoffs_size(), 1);
  EXPECT_EQ(stats.backoffs(0).scope(), v1::FAILURE_SCOPE_PROVIDER_MODEL);
  EXPECT_EQ(stats.backoffs(0).model(), "gpt");
  EXPECT_EQ(stats.backoffs(0).cause(), v1::CAUSE_OVERLOADED);
  EXPECT_TRUE(stats.backoffs(0).has_block_until());
  EXPECT_TRUE(stats.backoffs(0).has_avoid_until());
  ASSERT_EQ(stats.probes_size(), 1);
  EXPECT_GT(stats.probes(0).rate_per_minute(), 0);
  EXPECT_FALSE(stats.probes(0).has_next_probe_time()) << "a token is there";
  for (const char* id : {"a", "b", "c"}) {
    v1::AcquireRequest pin;
    pin.add_providers("openai");
    pin.set_credential_id(id);
    ASSERT_TRUE(Call(*broker_, &v1::BrokerService::Stub::Acquire, pin, &grant).ok());
    v1::ReportRequest report;
    report.add_items()->set_lease_id(grant.lease_id());
    report.mutable_items(0)->set_outcome(v1::OUTCOME_NETWORK_ERROR);
    ASSERT_TRUE(Call(*broker_, &v1::BrokerService::Stub::Report, report, &response).ok());
  }
  stats = Stats();
  ASSERT_EQ(stats.breakers_size(), 1);
  EXPECT_EQ(stats.breakers(0).provider(), "");
  EXPECT_EQ(stats.breakers(0).egress(), "http://user:***@proxy:3128");
  EXPECT_EQ(stats.breakers(0).level(), 1);
  EXPECT_TRUE(stats.breakers(0).has_open_until());
}

TEST_F(AdminQueryTest, NoneIsStoredAsDirect) {
  ASSERT_TRUE(CreateAt("a", 0, "none").ok());
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  EXPECT_EQ(grant.proxy_url(), "direct");
}

TEST_F(AdminQueryTest, AWatchNamesTheModelAndTheActorOfATransition) {
  ASSERT_TRUE(CreateAt("a", 0).ok());
  v1::WatchCredentialsRequest request;
  request.set_send_initial(true);
  request.set_transitions_only(true);
  grpc::ClientContext context;
  SetDeadline(context);
  auto reader = admin_->WatchCredentials(&context, request);
  v1::WatchCredentialsResponse event;
  while (reader->Read(&event) && event.event() != v1::WATCH_EVENT_SYNCED) {
  }
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  v1::ReportResponse response;
  ASSERT_TRUE(Report(grant.lease_id(), 404, &response).ok());
  while (reader->Read(&event) && event.transition().to() != v1::CREDENTIAL_STATE_WAITING) {
  }
  EXPECT_EQ(event.transition().model(), "gpt");
  EXPECT_FALSE(event.transition().actor().empty());
  context.TryCancel();
  while (reader->Read(&event)) {
  }
}

class HeartbeatTest : public AdminQueryTest {
 protected:
  HeartbeatTest() : AdminQueryTest(Guard::Options(), absl::Milliseconds(20)) {}
};

TEST_F(HeartbeatTest, AWatchSaysThatNothingHappened) {
  ASSERT_TRUE(CreateAt("a", 0).ok());
  engine_->Drain();  // else its change may be told after the initial ones
  v1::WatchCredentialsRequest request;
  request.set_send_initial(true);
  grpc::ClientContext context;
  SetDeadline(context);
  auto reader = admin_->WatchCredentials(&context, request);
  v1::WatchCredentialsResponse event;
  std::vector<v1::WatchEvent> events;
  while (events.size() < 4 && reader->Read(&event)) events.push_back(event.event());
  EXPECT_EQ(events,
            (std::vector<v1::WatchEvent>{v1::WATCH_EVENT_INITIAL, v1::WATCH_EVENT_SYNCED,
                                         v1::WATCH_EVENT_HEARTBEAT, v1::WATCH_EVENT_HEARTBEAT}));
  EXPECT_FALSE(event.cursor().empty());
  EXPECT_FALSE(event.has_credential());
  context.TryCancel();
  while (reader->Read(&event)) {
  }
}

}  // namespace
}  // namespace credbroker::rpc
