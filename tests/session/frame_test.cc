#include "server/session/frame.h"

#include <gtest/gtest.h>

#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace credbroker::session {
namespace {

v1::SessionRequest Empty(uint64_t number) {
  v1::SessionRequest request;
  request.set_number(number);
  return request;
}

void ExpectBad(const v1::SessionRequest& request, absl::string_view field,
               Phase phase = Phase::kOpen, uint64_t number = 7) {
  const grpc::Status status = CheckFrame(request, phase, number);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << field;
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::BadRequest bad;
  for (const auto& any : details.details()) any.UnpackTo(&bad);
  bool named = false;
  for (const auto& violation : bad.field_violations()) named |= violation.field() == field;
  EXPECT_TRUE(named) << field << " is not named in: " << bad.ShortDebugString();
}

TEST(Frame, TakesAnEmptyMessageOfAnOpenSession) {
  EXPECT_TRUE(CheckFrame(Empty(7), Phase::kOpen, 7).ok());
}

TEST(Frame, WantsTheNextNumber) {
  ExpectBad(Empty(6), "number");
  ExpectBad(Empty(8), "number");
  ExpectBad(Empty(0), "number");
}

TEST(Frame, WantsHelloFirstAndOnlyThen) {
  ExpectBad(Empty(1), "hello", Phase::kFirst, 1);
  v1::SessionRequest again = Empty(7);
  again.mutable_hello();
  ExpectBad(again, "hello");
  EXPECT_TRUE(CheckFrame(again, Phase::kFirst, 7).ok());
  ExpectBad(Empty(7), "hello", Phase::kLeases);
}

TEST(Frame, TakesOtherThingsWithTheLastHelloOnly) {
  v1::SessionRequest request = Empty(7);
  request.mutable_hello()->set_more(true);
  request.add_released_leases(5);
  ExpectBad(request, "hello.more", Phase::kFirst);
  request.mutable_hello()->set_more(false);
  EXPECT_TRUE(CheckFrame(request, Phase::kFirst, 7).ok());
}

TEST(Frame, ChecksHello) {
  v1::SessionRequest request = Empty(7);
  request.mutable_hello()->set_session_id("short");
  request.mutable_hello()->set_client(std::string(129, 'c'));
  request.mutable_hello()->set_instance("a\nb");
  request.mutable_hello()->add_leases();
  ExpectBad(request, "hello.session_id", Phase::kFirst);
  ExpectBad(request, "hello.client", Phase::kFirst);
  ExpectBad(request, "hello.instance", Phase::kFirst);
  ExpectBad(request, "hello.leases[0].lease", Phase::kFirst);
}

TEST(Frame, ChecksServedLeases) {
  v1::SessionRequest request = Empty(7);
  request.add_served_leases()->set_ticket(std::string(2'049, 't'));
  request.mutable_served_leases(0)->set_model(std::string(257, 'm'));
  ExpectBad(request, "served_leases[0].lease");
  ExpectBad(request, "served_leases[0].ticket");
  ExpectBad(request, "served_leases[0].model");
  request.mutable_served_leases(0)->set_lease(1);
  request.mutable_served_leases(0)->set_ticket("t");
  request.mutable_served_leases(0)->set_model("m");
  EXPECT_TRUE(CheckFrame(request, Phase::kOpen, 7).ok());
  for (int i = 0; i < kMaxItems; ++i) request.add_served_leases()->set_lease(1);
  ExpectBad(request, "items");
}

TEST(Frame, CountsTheItemsOfAllListsTogether) {
  v1::SessionRequest request = Empty(7);
  for (int i = 0; i < kMaxItems; ++i) request.add_succeeded_leases(1);
  EXPECT_TRUE(CheckFrame(request, Phase::kOpen, 7).ok());
  request.add_cancelled_calls(1);
  ExpectBad(request, "items");
}

TEST(Frame, ChecksTargets) {
  v1::SessionRequest request = Empty(7);
  request.add_targets();
  ExpectBad(request, "targets[0].target");
  ExpectBad(request, "targets[0].providers");
  v1::SessionTarget* target = request.mutable_targets(0);
  target->set_target(kMaxTarget + 1);
  target->add_providers("openai");
  ExpectBad(request, "targets[0].target");
  target->set_target(kMaxTarget);
  EXPECT_TRUE(CheckFrame(request, Phase::kOpen, 7).ok());
  target->add_providers("openai");
  ExpectBad(request, "targets[0].providers");
  target->set_providers(1, "UPPER");
  ExpectBad(request, "targets[0].providers");
  target->set_providers(1, "claude");
  target->set_group(std::string(65, 'g'));
  ExpectBad(request, "targets[0].group");
  target->clear_group();
  target->mutable_ttl()->set_seconds(3'601);
  ExpectBad(request, "targets[0].ttl");
}

TEST(Frame, ChecksReportsRenewalsAndPrefetches) {
  v1::SessionRequest request = Empty(7);
  request.add_reports()->mutable_item()->set_http_status(99);
  ExpectBad(request, "reports[0].lease");
  ExpectBad(request, "reports[0].item.http_status");
  request.clear_reports();
  request.add_renewals()->mutable_ttl()->set_nanos(1);
  ExpectBad(request, "renewals[0].lease");
  ExpectBad(request, "renewals[0].ttl");
  request.clear_renewals();
  request.add_prefetches();
  ExpectBad(request, "prefetches[0].count");
  request.mutable_prefetches(0)->set_count(kMaxPrefetch + 1);
  ExpectBad(request, "prefetches[0].count");
}

TEST(Frame, ChecksAcquires) {
  v1::SessionRequest request = Empty(7);
  v1::SessionAcquire* acquire = request.add_acquires();
  ExpectBad(request, "acquires[0].call");
  ExpectBad(request, "acquires[0].request");  // without target it says everything
  acquire->set_call(1);
  acquire->set_target(1);
  EXPECT_TRUE(CheckFrame(request, Phase::kOpen, 7).ok());
  acquire->mutable_request()->set_session_key(std::string(257, 'k'));
  ExpectBad(request, "acquires[0].request.session_key");
  acquire->mutable_request()->clear_session_key();
  acquire->mutable_request()->mutable_max_wait()->set_seconds(61);
  ExpectBad(request, "acquires[0].request.max_wait");
  acquire->set_target(kMaxTarget + 1);
  ExpectBad(request, "acquires[0].target");
}

}  // namespace
}  // namespace credbroker::session
