// Session streams over the connection of RpcTest.
#ifndef CREDBROKER_TESTS_RPC_SESSION_RPC_FIXTURE_H_
#define CREDBROKER_TESTS_RPC_SESSION_RPC_FIXTURE_H_

#include <algorithm>
#include <memory>
#include <string>

#include "tests/rpc/rpc_fixture.h"

namespace credbroker::rpc {

// One stream, read and written by the test.
class Stream {
 public:
  explicit Stream(v1::BrokerService::Stub& stub) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    stream_ = stub.Session(&context_);
  }
  v1::SessionRequest Next() {
    v1::SessionRequest request;
    request.set_number(++number_);
    return request;
  }
  bool Write(const v1::SessionRequest& request) { return stream_->Write(request); }
  // Reads until `done` is content; everything read so far is merged.
  template <typename Done>
  v1::SessionResponse Until(Done done) {
    v1::SessionResponse all;
    v1::SessionResponse one;
    while (!done(all)) {
      if (!stream_->Read(&one)) {
        ADD_FAILURE() << "the stream ended";
        break;
      }
      const uint64_t processed = std::max(all.processed(), one.processed());
      all.MergeFrom(one);
      all.set_processed(processed);
    }
    return all;
  }
  v1::SessionResponse Ask(const v1::SessionRequest& request) {
    EXPECT_TRUE(Write(request));
    return Until([&](const auto& all) { return all.processed() >= request.number(); });
  }
  v1::SessionResponse Hello(const std::string& session_id = "") {
    v1::SessionRequest request = Next();
    request.mutable_hello()->set_client("test");
    request.mutable_hello()->set_session_id(session_id);
    v1::SessionResponse response = Ask(request);
    EXPECT_EQ(response.welcome().session_id().size(), 16u);
    return response;
  }
  v1::SessionResponse Stock(uint32_t count, const std::string& model = "gpt") {
    v1::SessionRequest request = Next();
    v1::SessionTarget* target = request.add_targets();
    target->set_target(1);
    target->add_providers("openai");
    target->set_model(model);
    v1::SessionPrefetch* prefetch = request.add_prefetches();
    prefetch->set_target(1);
    prefetch->set_count(count);
    return Ask(request);
  }
  grpc::Status End() {
    stream_->WritesDone();
    v1::SessionResponse rest;
    while (stream_->Read(&rest)) {
    }
    return stream_->Finish();
  }
  grpc::Status Status() {
    v1::SessionResponse rest;
    while (stream_->Read(&rest)) {
    }
    return stream_->Finish();
  }
  void Break() { context_.TryCancel(); }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> stream_;
  uint64_t number_ = 0;
};

class SessionRpcTest : public RpcTest {
 protected:
  session::SessionRegistry& registry() { return broker_service_->sessions().registry(); }
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_TESTS_RPC_SESSION_RPC_FIXTURE_H_
