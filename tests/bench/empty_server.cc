// A BrokerService whose handlers only copy a prebuilt reply, on the broker's own transport: what
// the broker is compared with.
//
//   empty_server SOCKET GRANT_FILE REPORT_FILE
//
// The files hold a serialized Grant and ReportResponse, as load_client saves them from a broker.
// Serves until SIGTERM.
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "credbroker/v1/broker.grpc.pb.h"
#include "server/obs/grpc_metrics.h"
#include "server/rpc/grpc_server.h"

namespace credbroker::bench {
namespace {

using Stub = v1::BrokerService;
using RawBroker = Stub::WithRawMethod_Acquire<Stub::WithRawMethod_Report<Stub::Service>>;

class EmptyService final : public rpc::RpcService {
 public:
  EmptyService(v1::Grant grant, v1::ReportResponse report)
      : grant_(std::move(grant)), report_(std::move(report)) {}
  std::unique_ptr<rpc::BoundService> Bind() override { return std::make_unique<Bound>(*this); }

 private:
  class Bound final : public rpc::BoundService {
   public:
    explicit Bound(const EmptyService& owner) : owner_(owner) {}
    grpc::Service& service() override { return raw_; }
    void Serve(rpc::Guard& guard, obs::GrpcServerMetrics& metrics,
               grpc::ServerCompletionQueue& queue) override {
      auto set = std::make_unique<rpc::MethodSet>(Stub::service_full_name(), guard, metrics, queue);
      set->Unary<v1::AcquireRequest, v1::Grant>(
          "Acquire",
          [this](auto* c, auto* b, auto* w, auto* q, void* t) {
            raw_.RequestAcquire(c, b, w, q, q, t);
          },
          [this](const rpc::CallInfo&, auto responder) {
            responder.reply() = owner_.grant_;
            responder.Finish();
          },
          kCalls);
      set->Unary<v1::ReportRequest, v1::ReportResponse>(
          "Report",
          [this](auto* c, auto* b, auto* w, auto* q, void* t) {
            raw_.RequestReport(c, b, w, q, q, t);
          },
          [this](const rpc::CallInfo&, auto responder) {
            responder.reply() = owner_.report_;
            responder.Finish();
          },
          kCalls);
      sets_.push_back(std::move(set));
    }

   private:
    static constexpr int kCalls = 64;
    const EmptyService& owner_;
    RawBroker raw_;
    std::vector<std::unique_ptr<rpc::MethodSet>> sets_;
  };

  const v1::Grant grant_;
  const v1::ReportResponse report_;
};

template <typename Message>
bool Read(const char* path, Message* message) {
  std::ifstream file(path, std::ios::binary);
  return file && message->ParseFromIstream(&file);
}

int Main(int argc, char** argv) {
  v1::Grant grant;
  v1::ReportResponse report;
  if (argc != 4 || !Read(argv[2], &grant) || !Read(argv[3], &report)) {
    std::fprintf(stderr, "usage: empty_server SOCKET GRANT_FILE REPORT_FILE\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::vector<obs::GrpcMethod> methods;
  for (const char* method : {"Acquire", "Report"}) {
    methods.push_back({Stub::service_full_name(), method, obs::GrpcType::kUnary});
  }
  obs::GrpcServerMetrics metrics(methods);
  EmptyService service(std::move(grant), std::move(report));
  rpc::GrpcServer::Endpoint endpoint;
  endpoint.unix_socket = rpc::UnixListener::Options{.path = argv[1], .mode = 0600, .uids = {}};
  endpoint.services = {&service};
  rpc::GrpcServer::Options options;
  options.endpoints.push_back(std::move(endpoint));
  auto server = rpc::GrpcServer::Start(std::move(options), metrics);
  if (!server.ok()) {
    std::fprintf(stderr, "empty_server: %s\n", server.status().ToString().c_str());
    return 1;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  (*server)->Stop(absl::Seconds(1));
  return 0;
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) { return credbroker::bench::Main(argc, argv); }
