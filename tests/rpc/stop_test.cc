// How a server stops: what its services may still do, and when.
#include <atomic>
#include <chrono>
#include <future>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/rpc/session_rpc_fixture.h"

namespace credbroker::rpc {
namespace {

using RawSession = v1::BrokerService::WithRawMethod_Session<v1::BrokerService::Service>;

// Serves only Session, by a handler of the test's.
class OneStreamService final : public RpcService {
 public:
  std::function<void(std::shared_ptr<BidiStream>)> handler;

  std::unique_ptr<BoundService> Bind() override { return std::make_unique<Bound>(*this); }

 private:
  class Bound final : public BoundService {
   public:
    explicit Bound(OneStreamService& owner) : owner_(owner) {}
    grpc::Service& service() override { return raw_; }
    void Serve(Guard& guard, obs::GrpcServerMetrics& metrics,
               grpc::ServerCompletionQueue& queue) override {
      sets_.push_back(std::make_unique<MethodSet>(v1::BrokerService::service_full_name(), guard,
                                                  metrics, queue));
      sets_.back()->BidiStreaming(
          "Session",
          [this](auto* c, auto* s, auto* q, void* t) { raw_.RequestSession(c, s, q, q, t); },
          [this](const CallInfo&, std::shared_ptr<BidiStream> stream) {
            owner_.handler(std::move(stream));
          });
    }

   private:
    OneStreamService& owner_;
    RawSession raw_;
    std::vector<std::unique_ptr<MethodSet>> sets_;
  };
};

TEST(GrpcServerStop, WaitsForCallsWhoseEndTheirLoopHasNotSeen) {
  TempDir dir;
  obs::Metrics metrics{obs::Metrics::Options{.version = "test", .revision = "test"}};
  OneStreamService service;
  constexpr int kStreams = 8;
  std::vector<std::shared_ptr<BidiStream>> streams;  // the loop's, until it is held up
  std::atomic<int> over{0};
  absl::Notification held_up, go_on;
  service.handler = [&](std::shared_ptr<BidiStream> stream) {
    stream->OnEvents({.message = {}, .end = {}, .written = {}, .over = [&over] { ++over; }});
    streams.push_back(std::move(stream));
    if (streams.size() < kStreams) return;
    held_up.Notify();
    go_on.WaitForNotification();
  };
  GrpcServer::Options options;
  options.loop_threads = 1;
  options.endpoints.push_back(
      {.unix_socket = UnixListener::Options{.path = dir.File("broker.sock"), .mode = 0666},
       .services = {&service}});
  auto server = GrpcServer::Start(options, metrics.grpc());
  ASSERT_TRUE(server.ok()) << server.status();
  const auto channel =
      grpc::CreateChannel("unix:" + dir.File("broker.sock"), grpc::InsecureChannelCredentials());
  const auto stub = v1::BrokerService::NewStub(channel);
  std::vector<std::unique_ptr<Stream>> clients;
  for (int i = 0; i < kStreams; ++i) clients.push_back(std::make_unique<Stream>(*stub));
  held_up.WaitForNotification();
  const std::future<void> stopped =
      std::async(std::launch::async, [&] { (*server)->Stop(absl::ZeroDuration()); });
  for (const auto& client : clients) EXPECT_FALSE(client->Status().ok());
  EXPECT_EQ(over, 0) << "for the callers it is over, and the loop was not told yet";
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  // Each is answered now, on a queue that must still take it.
  go_on.Notify();
  stopped.wait();
  EXPECT_EQ(over, kStreams);
  EXPECT_EQ((*server)->guards()[0]->in_flight(), 0);
  for (const auto& stream : streams) stream->Cancel();  // nothing is left to be cut
}

}  // namespace
}  // namespace credbroker::rpc
