// A BrokerService whose handlers only copy a prebuilt reply, on the broker's own transport: what
// the broker is compared with.
//
//   empty_server SOCKET GRANT_FILE REPORT_FILE [SESSION_FILE]
//
// The files hold a serialized Grant and ReportResponse, as load_client saves them from a broker,
// and a SessionResponse, as session_client does: the answer to each message of a stream. Answers
// that wait for the one in flight go out together, as the broker's do. Serves until SIGTERM.
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <iterator>
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
using RawBroker = Stub::WithRawMethod_Acquire<
    Stub::WithRawMethod_Report<Stub::WithRawMethod_Session<Stub::Service>>>;

// One stream: every message is answered with the same bytes, the first with a welcome.
class EmptyStream {
 public:
  EmptyStream(const std::string& answer, std::shared_ptr<rpc::BidiStream> stream)
      : answer_(answer), stream_(std::move(stream)) {
    v1::SessionResponse welcome;
    welcome.mutable_welcome()->set_session_id(std::string(16, 's'));
    welcome_ = grpc::Slice(welcome.SerializeAsString());
  }
  void OnMessage() {
    waiting_.push_back(welcomed_ ? answer_ : welcome_);
    welcomed_ = true;
    if (!writing_) Write();
    stream_->Read();
  }
  void OnWritten() {
    writing_ = false;
    if (!waiting_.empty()) Write();
  }
  void OnEnd() { stream_->Finish(grpc::Status::OK); }

 private:
  // Messages one behind the other are one message with the lists of all.
  void Write() {
    grpc::ByteBuffer bytes(waiting_.data(), waiting_.size());
    waiting_.clear();
    writing_ = stream_->Write(bytes);
  }

  const grpc::Slice answer_;
  const std::shared_ptr<rpc::BidiStream> stream_;
  grpc::Slice welcome_;
  std::vector<grpc::Slice> waiting_;
  bool welcomed_ = false, writing_ = false;
};

class EmptyService final : public rpc::RpcService {
 public:
  EmptyService(v1::Grant grant, v1::ReportResponse report, std::string session)
      : grant_(std::move(grant)), report_(std::move(report)), session_(std::move(session)) {}
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
      set->BidiStreaming(
          "Session",
          [this](auto* c, auto* s, auto* q, void* t) { raw_.RequestSession(c, s, q, q, t); },
          [this](const rpc::CallInfo&, std::shared_ptr<rpc::BidiStream> stream) {
            auto empty = std::make_shared<EmptyStream>(owner_.session_, stream);
            stream->OnEvents({.message = [empty](grpc::ByteBuffer&) { empty->OnMessage(); },
                              .end = [empty] { empty->OnEnd(); },
                              .written = [empty] { empty->OnWritten(); },
                              .over = nullptr});
            stream->Read();
          });
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
  const std::string session_;
};

template <typename Message>
bool Read(const char* path, Message* message) {
  std::ifstream file(path, std::ios::binary);
  return file && message->ParseFromIstream(&file);
}

int Main(int argc, char** argv) {
  v1::Grant grant;
  v1::ReportResponse report;
  std::string session;
  if (argc < 4 || argc > 5 || !Read(argv[2], &grant) || !Read(argv[3], &report)) {
    std::fprintf(stderr, "usage: empty_server SOCKET GRANT_FILE REPORT_FILE [SESSION_FILE]\n");
    return 2;
  }
  if (argc == 5) {
    std::ifstream file(argv[4], std::ios::binary);
    session.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::vector<obs::GrpcMethod> methods;
  for (const char* method : {"Acquire", "Report", "Session"}) {
    methods.push_back({Stub::service_full_name(), method, obs::GrpcType::kUnary});
  }
  obs::GrpcServerMetrics metrics(methods);
  EmptyService service(std::move(grant), std::move(report), std::move(session));
  rpc::GrpcServer::Endpoint endpoint;
  endpoint.unix_socket = rpc::UnixListener::Options{.path = argv[1], .mode = 0600, .uids = {}};
  endpoint.services = {&service};
  rpc::GrpcServer::Options options;
  options.endpoints.push_back(std::move(endpoint));
  auto server = rpc::GrpcServer::Start(options, metrics);
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
