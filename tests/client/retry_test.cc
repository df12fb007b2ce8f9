#include <deque>
#include <map>

#include "client/retry/channel.h"
#include "client/retry/unary_calls.h"
#include "credbroker/client/error.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

// Sleeping moves the clock.
class FakeSleeper final : public Sleeper {
 public:
  explicit FakeSleeper(FakeClock& clock) : clock_(clock) {}
  void Sleep(absl::Duration span) override {
    slept.push_back(span);
    clock_.Advance(span);
  }
  std::vector<absl::Duration> slept;

 private:
  FakeClock& clock_;
};

// Answers what it is told to, then OK. Takes its leases by request id, as a broker does.
class FakeStub final : public UnaryStub {
 public:
  std::deque<absl::Status> next;
  std::vector<v1::AcquireRequest> acquires;
  std::vector<absl::Duration> timeouts;
  int calls = 0;
  int64_t epoch = 0;

  absl::Status Acquire(const v1::AcquireRequest& request, absl::Duration timeout,
                       v1::Grant* response) override {
    acquires.push_back(request);
    response->set_epoch(epoch);
    response->set_lease_id("lease-" + request.request_id());
    return Next(timeout);
  }
  absl::Status Renew(const v1::RenewRequest&, absl::Duration timeout,
                     v1::RenewResponse* response) override {
    response->set_epoch(epoch);
    return Next(timeout);
  }
  absl::Status Release(const v1::ReleaseRequest&, absl::Duration timeout,
                       v1::ReleaseResponse*) override {
    return Next(timeout);
  }
  absl::Status Report(const v1::ReportRequest&, absl::Duration timeout,
                      v1::ReportResponse* response) override {
    response->set_epoch(epoch);
    return Next(timeout);
  }

 private:
  absl::Status Next(absl::Duration timeout) {
    ++calls;
    timeouts.push_back(timeout);
    if (next.empty()) return absl::OkStatus();
    absl::Status status = next.front();
    next.pop_front();
    return status;
  }
};

absl::Status Cooling(std::optional<int> seconds) {
  google::rpc::Status status;
  status.set_code(8);
  status.set_message("every candidate waits");
  google::rpc::ErrorInfo info;
  info.set_reason("COOLING");
  (*info.mutable_metadata())["cause.rate_limited"] = "12";
  status.add_details()->PackFrom(info);
  if (seconds.has_value()) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(*seconds);
    status.add_details()->PackFrom(retry);
  }
  return FromRpcStatus(status);
}

class Retry : public testing::Test {
 protected:
  Retry() {
    auto stub = std::make_unique<FakeStub>();
    stub_ = stub.get();
    calls_ =
        std::make_unique<UnaryCalls>(std::move(stub),
                                     RetryPolicy::Options{.max_attempts = 4,
                                                          .min_backoff = absl::Milliseconds(50),
                                                          .max_backoff = absl::Seconds(5),
                                                          .clock = clock_,
                                                          .sleeper = sleeper_,
                                                          .random = random_},
                                     epochs_);
    random_->SetFraction(0.5);
  }
  const CallOptions options_{.timeout = absl::Seconds(10)};
  const CallOptions wait_{.timeout = absl::Seconds(10), .retry_refusals = true};
  std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  std::shared_ptr<FakeSleeper> sleeper_ = std::make_shared<FakeSleeper>(*clock_);
  std::shared_ptr<FakeRandom> random_ = std::make_shared<FakeRandom>();
  std::shared_ptr<EpochGate> epochs_ = std::make_shared<EpochGate>();
  FakeStub* stub_ = nullptr;
  std::unique_ptr<UnaryCalls> calls_;
};

TEST_F(Retry, RepeatsAnUnavailableAcquireUnderOneRequestIdWithFullJitter) {
  stub_->next = {absl::UnavailableError(""), absl::UnavailableError("")};
  const auto grant = calls_->Acquire({}, options_);
  ASSERT_TRUE(grant.ok()) << grant.status();
  ASSERT_EQ(stub_->acquires.size(), 3);
  EXPECT_FALSE(stub_->acquires[0].request_id().empty());
  EXPECT_EQ(stub_->acquires[0].request_id(), stub_->acquires[2].request_id());
  EXPECT_THAT(sleeper_->slept,
              testing::ElementsAre(absl::Milliseconds(25), absl::Milliseconds(50)));
}

TEST_F(Retry, KeepsTheCallersRequestId) {
  v1::AcquireRequest request;
  request.set_request_id("mine");
  ASSERT_TRUE(calls_->Acquire(request, options_).ok());
  EXPECT_EQ(stub_->acquires[0].request_id(), "mine");
}

TEST_F(Retry, GivesUpAfterItsAttempts) {
  stub_->next.assign(9, absl::UnavailableError("down"));
  EXPECT_EQ(calls_->Renew({}, options_).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(stub_->calls, 4);
}

TEST_F(Retry, LeavesARefusalToTheCallerUnlessAskedToWait) {
  stub_->next = {Cooling(2)};
  const auto grant = calls_->Acquire({}, options_);
  EXPECT_EQ(stub_->calls, 1);
  EXPECT_EQ(ReasonOf(grant.status()), v1::ERROR_REASON_COOLING);
  EXPECT_EQ(RetryDelayOf(grant.status()), absl::Seconds(2));
  EXPECT_EQ(MetadataOf(grant.status())["cause.rate_limited"], "12");
}

TEST_F(Retry, WaitsAsLongAsTheBrokerSaysAndALittleMore) {
  stub_->next = {Cooling(2)};
  EXPECT_TRUE(calls_->Acquire({}, wait_).ok());
  EXPECT_THAT(sleeper_->slept, testing::ElementsAre(absl::Milliseconds(2200)));
  EXPECT_EQ(stub_->timeouts[1], absl::Seconds(10) - absl::Milliseconds(2200));
}

TEST_F(Retry, FailsAtOnceWhereTheBrokerSaysLaterThanTheDeadline) {
  stub_->next = {Cooling(29)};
  EXPECT_EQ(ReasonOf(calls_->Acquire({}, wait_).status()), v1::ERROR_REASON_COOLING);
  EXPECT_TRUE(sleeper_->slept.empty());
}

TEST_F(Retry, NeverRepeatsWhatTheTableDoesNotName) {
  using absl::StatusCode;
  for (const StatusCode code :
       {StatusCode::kDeadlineExceeded, StatusCode::kAborted, StatusCode::kInvalidArgument,
        StatusCode::kNotFound, StatusCode::kFailedPrecondition, StatusCode::kInternal,
        StatusCode::kPermissionDenied, StatusCode::kCancelled, StatusCode::kUnknown}) {
    stub_->next = {absl::Status(code, "")};
    stub_->calls = 0;
    EXPECT_EQ(calls_->Acquire({}, wait_).status().code(), code);
    EXPECT_EQ(stub_->calls, 1) << absl::StatusCodeToString(code);
  }
  stub_->next = {Cooling(std::nullopt)};
  stub_->calls = 0;
  EXPECT_FALSE(calls_->Acquire({}, wait_).ok());
  EXPECT_EQ(stub_->calls, 1);
}

TEST_F(Retry, RepeatsReleaseAndReport) {
  stub_->next = {absl::UnavailableError("")};
  EXPECT_TRUE(calls_->Release({}, options_).ok());
  stub_->next = {absl::UnavailableError("")};
  EXPECT_TRUE(calls_->Report({}, options_).ok());
  EXPECT_EQ(stub_->calls, 4);
}

TEST_F(Retry, DropsAnAnswerOfAnOlderEpoch) {
  stub_->epoch = 7;
  ASSERT_TRUE(calls_->Acquire({}, options_).ok());
  stub_->epoch = 6;
  const auto grant = calls_->Acquire({}, options_);
  EXPECT_EQ(LocalReasonOf(grant.status()), LocalReason::kOldEpoch);
  EXPECT_EQ(grant.status().code(), absl::StatusCode::kUnavailable);
}

TEST(ClientOptions, NamesWhatIsWrong) {
  const auto check = [](ClientOptions options) {
    return std::string(CheckClientOptions(options).message());
  };
  EXPECT_THAT(check({.address = ""}), testing::HasSubstr("address"));
  EXPECT_THAT(check({.address = "host"}), testing::HasSubstr("address"));
  EXPECT_THAT(check({.address = "host:99999"}), testing::HasSubstr("address"));
  EXPECT_THAT(check({.address = "host:1", .bearer_token = "t"}),
              testing::HasSubstr("bearer_token"));
  EXPECT_EQ(check({.address = "127.0.0.1:1", .bearer_token = "t"}), "");
  EXPECT_EQ(check({.address = "unix:/x", .bearer_token = "t"}), "");
  EXPECT_EQ(check({.address = "host:1", .tls = TlsOptions{}, .bearer_token = "t"}), "");
  EXPECT_THAT(check({.address = "/x", .max_attempts = 0}), testing::HasSubstr("max_attempts"));
  EXPECT_THAT(check({.address = "/x", .tls = TlsOptions{.private_key = "k"}}),
              testing::HasSubstr("tls"));
  EXPECT_EQ(*ParseAddress("/run/x.sock"), "unix:/run/x.sock");
  EXPECT_EQ(*ParseAddress("dns:///broker:7300"), "dns:///broker:7300");
  EXPECT_EQ(*ParseAddress("broker:7300"), "dns:///broker:7300");
}

}  // namespace
}  // namespace credbroker::client
