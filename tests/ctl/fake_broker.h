// A broker that answers what a test tells it, on a unix socket of its own, and credbrokerctl run in
// this process against it.
#ifndef CREDBROKER_TESTS_CTL_FAKE_BROKER_H_
#define CREDBROKER_TESTS_CTL_FAKE_BROKER_H_

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/text_format.h>
#include <grpcpp/server.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "client/ctl/command_line.h"
#include "credbroker/v1/admin.grpc.pb.h"
#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::ctl {

// One method: the answers to give, in order (the last one again), and the requests it saw.
template <typename Request, typename Response>
class Method {
 public:
  void Answer(Response response) {
    const std::scoped_lock lock(mutex_);
    answers_.emplace_back(grpc::Status::OK, std::move(response));
  }
  // In protobuf's text form.
  void Answer(const std::string& text) {
    Response response;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &response)) << text;
    Answer(std::move(response));
  }
  void Refuse(grpc::Status status) {
    const std::scoped_lock lock(mutex_);
    answers_.emplace_back(std::move(status), Response());
  }
  std::vector<Request> requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }
  Request last() const {
    const std::scoped_lock lock(mutex_);
    return requests_.empty() ? Request() : requests_.back();
  }
  grpc::Status Take(const Request& request, Response* response) {
    const std::scoped_lock lock(mutex_);
    requests_.push_back(request);
    if (answers_.empty()) return grpc::Status::OK;
    const auto& answer = answers_[std::min(next_, answers_.size() - 1)];
    ++next_;
    *response = answer.second;
    return answer.first;
  }

 private:
  mutable std::mutex mutex_;
  size_t next_ = 0;
  std::vector<std::pair<grpc::Status, Response>> answers_;
  std::vector<Request> requests_;
};

class FakeBroker final : public v1::BrokerService::Service {
 public:
#define CREDBROKER_FAKE(NAME, REQUEST, RESPONSE)                                         \
  Method<v1::REQUEST, v1::RESPONSE> on_##NAME;                                           \
  grpc::Status NAME(grpc::ServerContext*, const v1::REQUEST* request, v1::RESPONSE* out) \
      override {                                                                         \
    return on_##NAME.Take(*request, out);                                                \
  }
  CREDBROKER_FAKE(Acquire, AcquireRequest, Grant)
  CREDBROKER_FAKE(Renew, RenewRequest, RenewResponse)
  CREDBROKER_FAKE(Release, ReleaseRequest, ReleaseResponse)
  CREDBROKER_FAKE(Report, ReportRequest, ReportResponse)
};

class FakeAdmin final : public v1::AdminService::Service {
 public:
  CREDBROKER_FAKE(Disable, DisableRequest, DisableResponse)
  CREDBROKER_FAKE(Enable, EnableRequest, EnableResponse)
  CREDBROKER_FAKE(BatchUpdate, BatchUpdateRequest, BatchUpdateResponse)
  CREDBROKER_FAKE(UndoBatch, UndoBatchRequest, UndoBatchResponse)
  CREDBROKER_FAKE(ListCredentials, ListCredentialsRequest, ListCredentialsResponse)
  CREDBROKER_FAKE(GetCredential, GetCredentialRequest, Credential)
  CREDBROKER_FAKE(CreateCredential, CreateCredentialRequest, Credential)
  CREDBROKER_FAKE(UpdateCredential, UpdateCredentialRequest, Credential)
  CREDBROKER_FAKE(DeleteCredential, DeleteCredentialRequest, DeleteCredentialResponse)
  CREDBROKER_FAKE(ResetAvailability, ResetAvailabilityRequest, ResetAvailabilityResponse)
  CREDBROKER_FAKE(Explain, ExplainRequest, ExplainResponse)
  CREDBROKER_FAKE(GetStats, GetStatsRequest, GetStatsResponse)
  CREDBROKER_FAKE(TestPolicy, TestPolicyRequest, TestPolicyResponse)
#undef CREDBROKER_FAKE

  // Streams: all messages of the client, then one answer.
  Method<v1::ImportCredentialsRequest, v1::ImportCredentialsResponse> on_Import;
  grpc::Status ImportCredentials(grpc::ServerContext*,
                                 grpc::ServerReader<v1::ImportCredentialsRequest>* reader,
                                 v1::ImportCredentialsResponse* out) override;
  std::vector<v1::ExportCredentialsResponse> exported;
  Method<v1::ExportCredentialsRequest, v1::ExportCredentialsResponse> on_Export;
  grpc::Status ExportCredentials(
      grpc::ServerContext*, const v1::ExportCredentialsRequest* request,
      grpc::ServerWriter<v1::ExportCredentialsResponse>* writer) override;
  std::vector<v1::WatchCredentialsResponse> events;
  Method<v1::WatchCredentialsRequest, v1::WatchCredentialsResponse> on_Watch;
  grpc::Status WatchCredentials(grpc::ServerContext*, const v1::WatchCredentialsRequest* request,
                                grpc::ServerWriter<v1::WatchCredentialsResponse>* writer) override;
};

// A folder that is removed at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  const std::string& path() const { return path_; }
  // Makes the folders above it.
  std::string Write(const std::string& relative, const std::string& bytes) const;
  std::string Read(const std::string& relative) const;
  bool Has(const std::string& relative) const;

 private:
  std::string path_;
};

// 2026-01-02T03:04:05Z: the time every run of credbrokerctl sees.
inline const absl::Time kNow = absl::FromUnixSeconds(1767323045);

class CtlTest : public ::testing::Test {
 protected:
  struct Result {
    int code = 0;
    std::string out;
    std::string err;
  };

  CtlTest();
  ~CtlTest() override;
  Result Run(std::vector<std::string> args, const std::string& in = "");
  // Without --server.
  Result RunBare(const std::vector<std::string>& args, const std::string& in = "");

  FakeBroker broker_;
  FakeAdmin admin_;
  ScratchFolder folder_;
  Environment env_;
  std::map<std::string, std::string> variables_;

 private:
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// A refusal with ErrorInfo, RetryInfo and BadRequest, as the broker sends it.
grpc::Status Refusal(grpc::StatusCode code, const std::string& message, const std::string& reason,
                     const std::map<std::string, std::string>& metadata = {},
                     absl::Duration retry = absl::ZeroDuration(),
                     const std::map<std::string, std::string>& fields = {});

}  // namespace credbroker::ctl

#endif  // CREDBROKER_TESTS_CTL_FAKE_BROKER_H_
