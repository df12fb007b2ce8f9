// A whole gRPC side on a unix socket in a folder of its own, over an engine with a memory store.
#ifndef CREDBROKER_TESTS_RPC_RPC_FIXTURE_H_
#define CREDBROKER_TESTS_RPC_RPC_FIXTURE_H_

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "credbroker/v1/admin.grpc.pb.h"
#include "credbroker/v1/broker.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/broker_service.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/health_service.h"
#include "server/store/memory_store.h"

namespace credbroker::rpc {

class TempDir {
 public:
  TempDir() {
    std::string name = "/tmp/cbrpcXXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string File(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

 private:
  std::string path_;
};

inline std::shared_ptr<const store::Keyring> FixtureKeyring() {
  const std::string key = absl::Base64Escape(std::string(store::kKeyBytes, 'k'));
  auto keyring = store::Keyring::Parse(
      absl::StrCat("credbroker-keyring 1\naaaaaaaaaaaaaaaa 2026-01-31T09:00:00Z active ", key,
                   "\n8899aabbccddeeff 2026-01-31T09:00:00Z derive ", key, "\n"),
      "test");
  return std::make_shared<const store::Keyring>(*std::move(keyring));
}

// The details of an error.
struct Details {
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  google::rpc::BadRequest bad;
  bool has_retry = false;
};
inline Details DetailsOf(const grpc::Status& status) {
  Details out;
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& any : details.details()) {
    any.UnpackTo(&out.info);
    out.has_retry |= any.UnpackTo(&out.retry);
    any.UnpackTo(&out.bad);
  }
  return out;
}

class RpcTest : public testing::Test {
 protected:
  explicit RpcTest(Guard::Options guard = {}, absl::Duration heartbeat = absl::Seconds(30)) {
    StartServer(std::move(guard), heartbeat);
  }
  ~RpcTest() override {
    channel_ = nullptr;
    engine_->Stop(absl::ZeroDuration());
    server_ = nullptr;
  }

  void StartServer(Guard::Options guard, absl::Duration heartbeat = absl::Seconds(30)) {
    engine::EngineOptions options;
    core::ProviderSettings openai;
    openai.name = "openai";
    openai.headers = {{"authorization", "Bearer {api_key}"}};
    options.settings.providers.push_back(openai);
    engine_ = std::make_unique<engine::Engine>(std::move(options), clock_, store_);
    ASSERT_TRUE(engine_->Start(FixtureKeyring()).ok());
    gate_.Set(ServingGate::State::kServing);
    health_.Set("test", absl::OkStatus());
    broker_service_ = std::make_unique<BrokerService>(*engine_, metrics_, gate_);
    AdminService::Options admin;
    admin.export_file = [](const core::Document& document, const core::Intent&) {
      return ExportedFile{document.id.str() + ".json", "{}"};
    };
    admin.import = [this](const CallInfo&, std::shared_ptr<ClientStream> stream, Worker&) {
      stream->OnEvents({.message = [stream](grpc::ByteBuffer&) { stream->Next(); },
                        .end =
                            [this, stream] {
                              ++imports_ended_;
                              stream->Finish(v1::ImportCredentialsResponse());
                            },
                        .cancelled = nullptr});
    };
    admin.sessions = &broker_service_->sessions().registry();
    admin.heartbeat = heartbeat;
    admin_service_ = std::make_unique<AdminService>(*engine_, gate_, std::move(admin));
    health_service_ = std::make_unique<HealthService>(health_);
    GrpcServer::Options server;
    server.guard = std::move(guard);
    server.endpoints.push_back(
        {.unix_socket = UnixListener::Options{.path = socket_, .mode = 0666},
         .services = {broker_service_.get(), admin_service_.get(), health_service_.get()}});
    auto started = GrpcServer::Start(server, metrics_.grpc());
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    channel_ = grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials());
    broker_ = v1::BrokerService::NewStub(channel_);
    admin_ = v1::AdminService::NewStub(channel_);
    health_stub_ = grpc::health::v1::Health::NewStub(channel_);
  }

  // A call's context with a deadline far away, so that a hang fails the test.
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
  }
  template <typename Stub, typename Request, typename Reply>
  static grpc::Status Call(Stub& stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Reply*),
                           const Request& request, Reply* reply) {
    grpc::ClientContext context;
    SetDeadline(context);
    return (stub.*method)(&context, request, reply);
  }

  grpc::Status Create(const std::string& id, v1::Credential* reply = nullptr, int cap = 0) {
    v1::CreateCredentialRequest request;
    request.mutable_credential()->set_id(id);
    request.mutable_credential()->set_provider("openai");
    request.mutable_credential()->set_max_in_flight(cap);
    request.mutable_secret()->set_api_key("sk-" + id);
    v1::Credential ignored;
    grpc::ClientContext context;
    SetDeadline(context);
    return admin_->CreateCredential(&context, request, reply == nullptr ? &ignored : reply);
  }
  grpc::Status Acquire(v1::Grant* grant, absl::Duration max_wait = absl::ZeroDuration()) {
    v1::AcquireRequest request;
    request.add_providers("openai");
    request.set_model("gpt(high)");
    request.mutable_max_wait()->set_seconds(absl::ToInt64Seconds(max_wait));
    grpc::ClientContext context;
    SetDeadline(context);
    return broker_->Acquire(&context, request, grant);
  }
  grpc::Status Report(const std::string& lease, int http_status, v1::ReportResponse* response) {
    v1::ReportRequest request;
    request.add_items()->set_lease_id(lease);
    request.mutable_items(0)->set_http_status(http_status);
    grpc::ClientContext context;
    SetDeadline(context);
    return broker_->Report(&context, request, response);
  }

  TempDir dir_;
  std::atomic<int> imports_ended_{0};  // whose caller sent everything
  const std::string socket_ = dir_.File("broker.sock");
  engine::BootClock clock_;
  store::MemoryStore store_;
  obs::HealthState health_;
  obs::Metrics metrics_{obs::Metrics::Options{.version = "test", .revision = "test"}};
  ServingGate gate_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<BrokerService> broker_service_;
  std::unique_ptr<AdminService> admin_service_;
  std::unique_ptr<HealthService> health_service_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::BrokerService::Stub> broker_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_stub_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_TESTS_RPC_RPC_FIXTURE_H_
