// Bad input over a session of the real server: refused in clear words, counted, and nobody else is
// affected.
#include <functional>
#include <iterator>
#include <string>
#include <thread>

#include <grpcpp/generic/generic_stub.h>

#include "gmock/gmock.h"
#include "tests/rpc/session_rpc_fixture.h"

namespace credbroker::rpc {
namespace {

class BadSessionTest : public SessionRpcTest {
 protected:
  BadSessionTest() {
    EXPECT_TRUE(Create("a").ok());
    good_.Hello();
    held_ = good_.Stock(2).stocks(0);
  }
  // The session of somebody else and what it holds are as they were.
  void ExpectNobodyElseAffected() {
    v1::SessionRequest renew = good_.Next();
    for (const uint64_t lease : held_.leases()) renew.add_renewals()->set_lease(lease);
    renew.set_ping(renew.number());
    const v1::SessionResponse answer = good_.Ask(renew);
    EXPECT_EQ(answer.pong(), renew.number());
    EXPECT_EQ(answer.revocations_size(), 0);
    ASSERT_EQ(answer.renewals_size(), 2);
    for (const auto& renewal : answer.renewals()) EXPECT_FALSE(renewal.has_refusal());
    EXPECT_EQ(engine_->Get("a")->state, core::State::kAvailable);
  }
  const session::Counters& counters() { return registry().counters(); }

  Stream good_{*broker_};
  v1::SessionStock held_;
};

struct Row {
  const char* field;
  bool after_hello;
  std::function<void(v1::SessionRequest&)> spoil;
};

void AddTarget(v1::SessionRequest& request) {
  request.add_targets()->set_target(1);
  request.mutable_targets(0)->add_providers("openai");
}

void AddAcquire(v1::SessionRequest& request, uint64_t call) {
  v1::SessionAcquire* acquire = request.add_acquires();
  acquire->set_call(call);
  acquire->set_target(1);
  acquire->mutable_request()->mutable_max_wait()->set_seconds(1);
}

const Row kRows[] = {
    {"hello", false, [](auto&) {}},
    {"hello", true, [](auto& r) { r.mutable_hello(); }},
    {"hello.session_id", false, [](auto& r) { r.mutable_hello()->set_session_id("short"); }},
    {"hello.client", false, [](auto& r) { r.mutable_hello()->set_client(std::string(129, 'c')); }},
    {"client", false, [](auto& r) { r.mutable_hello()->set_client("\xff\xfe"); }},
    {"hello.leases[0].lease", false, [](auto& r) { r.mutable_hello()->add_leases(); }},
    {"hello.leases[0].ticket", false,
     [](auto& r) {
       r.mutable_hello()->add_leases()->set_lease(1);
       r.mutable_hello()->mutable_leases(0)->set_ticket(std::string(2'049, 't'));
     }},
    {"hello.more", false,
     [](auto& r) {
       r.mutable_hello()->set_more(true);
       r.add_released_leases(1);
     }},
    {"number", true, [](auto& r) { r.set_number(r.number() + 1); }},
    {"number", true, [](auto& r) { r.set_number(0); }},
    {"items", true,
     [](auto& r) {
       for (int i = 0; i < 1'025; ++i) r.add_released_leases(1);
     }},
    {"targets[0].providers", true,
     [](auto& r) {
       AddTarget(r);
       r.mutable_targets(0)->set_providers(0, "UPPER");
     }},
    {"prefetches[0].target", true,
     [](auto& r) {
       r.add_prefetches()->set_target(7);
       r.mutable_prefetches(0)->set_count(1);
     }},
    {"prefetches[0].count", true,
     [](auto& r) {
       AddTarget(r);
       r.add_prefetches()->set_target(1);
       r.mutable_prefetches(0)->set_count(513);
     }},
    {"acquires[0].target", true, [](auto& r) { AddAcquire(r, 1); }},
    {"acquires[0].call", true,
     [](auto& r) {
       AddTarget(r);
       AddAcquire(r, 0);
     }},
    {"acquires[1].call", true,
     [](auto& r) {
       AddTarget(r);
       AddAcquire(r, 5);
       AddAcquire(r, 5);
     }},
    {"reports[0].lease", true,
     [](auto& r) { r.add_reports()->mutable_item()->set_http_status(200); }},
    {"reports[0].item.http_status", true,
     [](auto& r) {
       r.add_reports()->set_lease(1);
       r.mutable_reports(0)->mutable_item()->set_http_status(99);
     }},
    {"renewals[0].ttl", true,
     [](auto& r) {
       r.add_renewals()->set_lease(1);
       r.mutable_renewals(0)->mutable_ttl()->set_seconds(3'601);
     }},
    {"acknowledged_revocation", true, [](auto& r) { r.set_acknowledged_revocation(1); }},
};

TEST_F(BadSessionTest, ABadFrameEndsItsStreamWithTheFieldNamedAndNobodyElses) {
  for (const Row& row : kRows) {
    Stream stream(*broker_);
    if (row.after_hello) stream.Hello();
    v1::SessionRequest request = stream.Next();
    row.spoil(request);
    stream.Write(request);
    const grpc::Status status = stream.Status();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << row.field;
    const Details details = DetailsOf(status);
    ASSERT_GE(details.bad.field_violations_size(), 1) << row.field;
    EXPECT_EQ(details.bad.field_violations(0).field(), row.field);
  }
  EXPECT_EQ(counters().bad_frames.value(), std::size(kRows));
  ExpectNobodyElseAffected();
}

// Sends bytes as a message of a stream and returns how it ended.
grpc::Status SendBytes(const std::shared_ptr<grpc::Channel>& channel, const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
  grpc::CompletionQueue queue;
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(&context, "/credbroker.v1.BrokerService/Session", &queue);
  call->StartCall(nullptr);
  EXPECT_TRUE(wait());
  const grpc::Slice slice(bytes);
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  wait();  // it may have been refused before it was all sent
  grpc::Status status;
  call->Finish(&status, nullptr);
  EXPECT_TRUE(wait());
  return status;
}

TEST_F(BadSessionTest, WhatIsNoMessageIsRefused) {
  v1::SessionRequest hello;
  hello.set_number(1);
  hello.mutable_hello()->set_client("test");
  const std::string whole = hello.SerializeAsString();
  const std::string messages[] = {
      "garbage",
      whole.substr(0, whole.size() - 1),
      std::string(100, '\xff'),
      std::string("\x0a\xff\xff\xff\xff\x0f", 6),  // a field of 4 GB
      whole + std::string(1, '\0'),
  };
  for (const std::string& message : messages) {
    const grpc::Status status = SendBytes(channel_, message);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_FALSE(status.error_message().empty());
  }
  EXPECT_EQ(counters().bad_frames.value(), std::size(messages));
  ExpectNobodyElseAffected();
}

TEST_F(BadSessionTest, AMessageLargerThanAnyIsRefusedAndCounted) {
  const grpc::Status status = SendBytes(channel_, std::string(5 << 20, 'x'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  while (server_->guards()[0]->in_flight(CallClass::kSession) > 1) std::this_thread::yield();
  // The transport takes it back before anybody here has seen it. The fixture names no methods.
  obs::Exposition metrics;
  metrics_.grpc().Collect(metrics);
  EXPECT_THAT(metrics.Text(),
              testing::HasSubstr("grpc_method=\"unknown\",grpc_code=\"Canceled\"} 1\n"));
  ExpectNobodyElseAffected();
}

TEST_F(BadSessionTest, AForgedLeaseTouchesNobodyElse) {
  v1::Grant unary;
  ASSERT_TRUE(Acquire(&unary).ok());
  Stream thief(*broker_);
  thief.Hello();
  const uint64_t lease = held_.leases(0);
  v1::SessionRequest request = thief.Next();
  request.add_succeeded_leases(lease);
  request.add_succeeded_leases(lease ^ 1);  // another place
  request.add_succeeded_leases(lease + (uint64_t{1} << 32));
  request.add_succeeded_leases(UINT64_MAX);
  request.add_released_leases(lease);
  request.add_renewals()->set_lease(lease);
  for (const uint64_t number : {lease, held_.leases(1), uint64_t{1}}) {
    v1::SessionReport* report = request.add_reports();
    report->set_lease(number);
    report->mutable_item()->set_http_status(401);  // would disable it
    report->mutable_item()->set_lease_id(unary.lease_id());
  }
  const v1::SessionResponse answer = thief.Ask(request);
  ASSERT_EQ(answer.results_size(), 7);
  for (const auto& result : answer.results()) {
    EXPECT_EQ(result.result().disposition(), v1::REPORT_DISPOSITION_UNKNOWN);
    EXPECT_TRUE(result.result().credential_id().empty()) << "it learns nothing";
  }
  ASSERT_EQ(answer.renewals_size(), 1);
  EXPECT_EQ(answer.renewals(0).refusal().code(), static_cast<int>(grpc::StatusCode::NOT_FOUND));
  EXPECT_EQ(counters().unknown_leases.value(), 8u);
  EXPECT_EQ(engine_->Stats().pool.leases, 3u);
  EXPECT_TRUE(thief.End().ok()) << "it may have lost its leases: that is no bad frame";
  ExpectNobodyElseAffected();
}

TEST_F(BadSessionTest, AReportThatIsRepeatedCountsOnce) {
  Stream stream(*broker_);
  stream.Hello();
  const v1::SessionStock stock = stream.Stock(2).stocks(0);
  v1::SessionRequest request = stream.Next();
  for (int i = 0; i < 3; ++i) {
    request.add_succeeded_leases(stock.leases(0));
    v1::SessionReport* report = request.add_reports();
    report->set_lease(stock.leases(1));
    report->mutable_item()->set_http_status(400);
  }
  v1::SessionResponse answer = stream.Ask(request);
  ASSERT_EQ(answer.results_size(), 5);
  int duplicates = 0;
  for (const auto& result : answer.results()) {
    if (result.result().disposition() == v1::REPORT_DISPOSITION_DUPLICATE) ++duplicates;
  }
  EXPECT_EQ(duplicates, 4);
  EXPECT_EQ(engine_->Stats().pool.reports_duplicate, 4u);
  EXPECT_EQ(engine_->Stats().pool.session_leases, 2u) << "those of the other session";
  request.set_number(stream.Next().number());
  answer = stream.Ask(request);
  ASSERT_EQ(answer.results_size(), 6);
  EXPECT_EQ(engine_->Stats().pool.reports_duplicate, 10u);
  ExpectNobodyElseAffected();
}

TEST_F(BadSessionTest, AForgedTicketAdoptsNothing) {
  Stream owner(*broker_);
  owner.Hello();
  const v1::SessionResponse stock = owner.Stock(1);
  const std::string ticket = stock.credentials(0).ticket();
  Stream thief(*broker_);
  v1::SessionRequest hello = thief.Next();
  hello.mutable_hello()->set_session_id(std::string(16, 'x'));
  for (size_t i = 0; i <= ticket.size(); ++i) {
    std::string forged = ticket;
    if (i < ticket.size()) forged[i] = static_cast<char>(forged[i] ^ 1);
    if (i == ticket.size()) forged.clear();
    v1::SessionResumedLease* lease = hello.mutable_hello()->add_leases();
    lease->set_lease(i + 1);
    lease->set_ticket(forged);
    lease->set_model("gpt");
    *lease->mutable_grant_time() = stock.stocks(0).grant_time();
    *lease->mutable_expire_time() = stock.stocks(0).expire_time();
  }
  const v1::SessionResponse answer = thief.Ask(hello);
  EXPECT_FALSE(answer.welcome().resumed());
  ASSERT_EQ(answer.resumptions_size(), hello.hello().leases_size());
  for (const auto& resumption : answer.resumptions()) EXPECT_EQ(resumption.lease(), 0u);
  EXPECT_EQ(answer.credentials_size(), 0);
  EXPECT_EQ(counters().refused_leases.value(), static_cast<uint64_t>(hello.hello().leases_size()));
  EXPECT_EQ(engine_->Stats().pool.session_leases, 3u);
  ExpectNobodyElseAffected();
}

}  // namespace
}  // namespace credbroker::rpc
