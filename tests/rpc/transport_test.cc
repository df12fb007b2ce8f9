#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <future>

#include "gmock/gmock.h"
#include "server/rpc/watchdog.h"
#include "tests/rpc/rpc_fixture.h"

namespace credbroker::rpc {
namespace {

using TransportTest = RpcTest;

TEST_F(TransportTest, ChecksHealthByService) {
  const auto check = [&](const char* service) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    const grpc::Status status = health_stub_->Check(&context, request, &response);
    return status.ok() ? static_cast<int>(response.status())
                       : -static_cast<int>(status.error_code());
  };
  EXPECT_EQ(check(""), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(check("nothing"), -static_cast<int>(grpc::StatusCode::NOT_FOUND));
  health_.Set("test", absl::UnavailableError("broken"));
  EXPECT_EQ(check("readiness"), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(check("liveness"), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(TransportTest, HealthWatchSeesTheTurn) {
  grpc::ClientContext context;
  SetDeadline(context);
  auto reader = health_stub_->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  health_.Set("test", absl::UnavailableError("broken"));
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
}

TEST_F(TransportTest, StopsInTimeWithOpenStreamsAndParkedCalls) {
  ASSERT_TRUE(Create("a", nullptr, 1).ok());
  v1::Grant first, second;
  ASSERT_TRUE(Acquire(&first).ok());
  grpc::ClientContext watch, health;
  auto watcher = admin_->WatchCredentials(&watch, {});
  auto health_watcher = health_stub_->Watch(&health, {});
  grpc::health::v1::HealthCheckResponse status;
  ASSERT_TRUE(health_watcher->Read(&status));
  auto parked = std::async(std::launch::async, [&] { return Acquire(&second, absl::Seconds(20)); });
  while (engine_->Stats().pool.parked == 0) std::this_thread::yield();
  while (server_->guards()[0]->in_flight(CallClass::kStream) == 0) std::this_thread::yield();
  const absl::Time began = absl::Now();
  health_.StartDraining();
  gate_.Set(ServingGate::State::kStopping);
  engine_->Stop(absl::Seconds(1));
  server_->Stop(absl::Seconds(3));
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  EXPECT_EQ(parked.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  v1::WatchCredentialsResponse event;
  EXPECT_FALSE(watcher->Read(&event));
  EXPECT_EQ(DetailsOf(watcher->Finish()).info.reason(), "SHUTTING_DOWN");
  ASSERT_TRUE(health_watcher->Read(&status));
  EXPECT_EQ(status.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_NE(::access(socket_.c_str(), F_OK), 0) << "the socket file is gone";
}

TEST_F(TransportTest, ACancelledImportIsNotTakenForAWholeOne) {
  v1::ImportCredentialsRequest header;
  header.mutable_header()->set_source("s");
  v1::ImportCredentialsResponse reply;
  for (int i = 0; i < 300; ++i) {
    grpc::ClientContext context;
    SetDeadline(context);
    auto writer = admin_->ImportCredentials(&context, &reply);
    writer->Write(header);
    // Time enough, now and then, for the server to have taken the call and to wait for more.
    if (i % 10 == 0) {
      ASSERT_TRUE(Create(absl::StrCat("c", i)).ok());
    }
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  grpc::ClientContext context;
  SetDeadline(context);
  auto writer = admin_->ImportCredentials(&context, &reply);
  writer->Write(header);
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(imports_ended_, 1);
}

TEST_F(TransportTest, AUidThatIsNotAdmittedIsClosed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ASSERT_EQ(::chmod(std::string(socket_.substr(0, socket_.rfind('/'))).c_str(), 0755), 0);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_.c_str(), sizeof(address.sun_path) - 1);
  const pid_t child = ::fork();
  if (child == 0) {
    // Closed without a byte: that is the refusal.
    char byte = 0;
    if (::setuid(65534) != 0 ||
        ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      ::_exit(2);
    }
    ::_exit(::read(fd, &byte, 1) == 0 ? 0 : 1);
  }
  int result = -1;
  ::waitpid(child, &result, 0);
  ::close(fd);
  EXPECT_EQ(WEXITSTATUS(result), 0);
  EXPECT_EQ(server_->refused_connections(), 1u);
}

// Connects to a target of the server ("unix:/path" or "127.0.0.1:port").
int ConnectTo(const std::string& target) {
  sockaddr_un local{};
  sockaddr_in tcp{};
  const bool is_unix = target.rfind("unix:", 0) == 0;
  if (is_unix) {
    local.sun_family = AF_UNIX;
    std::strncpy(local.sun_path, target.c_str() + 5, sizeof(local.sun_path) - 1);
  } else {
    tcp.sin_family = AF_INET;
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tcp.sin_port = htons(static_cast<uint16_t>(std::stoi(target.substr(target.rfind(':') + 1))));
  }
  const int fd = ::socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto* address =
      is_unix ? reinterpret_cast<sockaddr*>(&local) : reinterpret_cast<sockaddr*>(&tcp);
  EXPECT_EQ(::connect(fd, address, is_unix ? sizeof(local) : sizeof(tcp)), 0);
  return fd;
}

// Whether gRPC has the connection: a server speaks first. False: it was closed.
bool IsServed(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, 0) == 1;
}

TEST_F(TransportTest, AListenerHasAtMostSoManyConnections) {
  for (const bool tcp : {false, true}) {
    GrpcServer::Options options;
    options.max_connections = 2;
    GrpcServer::Endpoint endpoint{.services = {health_service_.get()}};
    if (tcp) {
      endpoint.tcp_address = "127.0.0.1:0";
      endpoint.plaintext = true;
    } else {
      endpoint.unix_socket = UnixListener::Options{.path = dir_.File("few.sock")};
    }
    options.endpoints = {endpoint};
    auto server = GrpcServer::Start(options, metrics_.grpc());
    ASSERT_TRUE(server.ok()) << server.status();
    const std::string target = (*server)->targets()[0];
    const int one = ConnectTo(target), two = ConnectTo(target);
    EXPECT_TRUE(IsServed(one) && IsServed(two)) << target;
    const int three = ConnectTo(target);
    EXPECT_FALSE(IsServed(three)) << target;
    EXPECT_EQ((*server)->connections_over_limit(), 1u);
    ::close(three);
    ::close(one);
    // gRPC closes its end in its own time.
    bool served = false;
    for (const absl::Time end = absl::Now() + absl::Seconds(30); !served && absl::Now() < end;) {
      const int again = ConnectTo(target);
      served = IsServed(again);
      ::close(again);
    }
    EXPECT_TRUE(served) << "one that ended makes room: " << target;
    ::close(two);
    (*server)->Stop(absl::ZeroDuration());
  }
}

TEST_F(TransportTest, ATcpPortInUseIsRefused) {
  const auto start = [&](const std::string& address) {
    GrpcServer::Options options;
    options.endpoints.push_back(
        {.tcp_address = address, .plaintext = true, .services = {health_service_.get()}});
    return GrpcServer::Start(options, metrics_.grpc());
  };
  auto first = start("127.0.0.1:0");
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = start((*first)->targets()[0]);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), testing::HasSubstr("in use"));
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::health::v1::HealthCheckResponse reply;
  auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel((*first)->targets()[0], grpc::InsecureChannelCredentials()));
  EXPECT_TRUE(stub->Check(&context, {}, &reply).ok());
}

// The end in this process of the connection whose client is at `port`; -1: not accepted yet.
int AcceptedFrom(in_port_t port) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
        peer.sin_family == AF_INET && peer.sin_port == port) {
      return fd;
    }
  }
  return -1;
}

TEST_F(TransportTest, ATcpSocketHoldsNoMoreThanIsTakenFromItAtOnce) {
  GrpcServer::Options options;
  options.endpoints.push_back(
      {.tcp_address = "127.0.0.1:0", .plaintext = true, .services = {health_service_.get()}});
  auto server = GrpcServer::Start(options, metrics_.grpc());
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string target = (*server)->targets()[0];
  sockaddr_in address{}, own{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(target.substr(target.find(':') + 1))));
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(own);
  ASSERT_EQ(::getsockname(client, reinterpret_cast<sockaddr*>(&own), &size), 0);
  const absl::Time end = absl::Now() + absl::Seconds(30);
  int accepted = -1;
  while (accepted < 0 && absl::Now() < end) accepted = AcceptedFrom(own.sin_port);
  ASSERT_GE(accepted, 0);
  int buffer = 0;
  size = sizeof(buffer);
  ASSERT_EQ(::getsockopt(accepted, SOL_SOCKET, SO_RCVBUF, &buffer, &size), 0);
  EXPECT_LE(buffer, options.limits.max_read_bytes);
  ::close(client);
  (*server)->Stop(absl::ZeroDuration());
}

TEST(UnixListener, ReplacesAStaleSocketAndNothingElse) {
  TempDir dir;
  const std::string path = dir.File("s");
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ::close(fd);
  }
  auto listener = UnixListener::Open({.path = path, .mode = 0640});
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_EQ(UnixListener::Open({.path = path}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const std::string file = dir.File("f");
  std::ofstream(file) << "precious";
  EXPECT_EQ(UnixListener::Open({.path = file}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(::access(file.c_str(), F_OK), 0);
  EXPECT_FALSE(UnixListener::Open({.path = "relative"}).ok());
  EXPECT_FALSE(UnixListener::Open({.path = "/" + std::string(120, 'x')}).ok());
}

TEST(Plaintext, IsForLoopbackAndOnRequestOnly) {
  EXPECT_TRUE(CheckPlaintextAddress("127.0.0.1:0", true).ok());
  EXPECT_TRUE(CheckPlaintextAddress("[::1]:80", true).ok());
  for (const char* address : {"0.0.0.0:80", "10.0.0.1:80", "localhost:80", "127.evil.com:80",
                              "[::]:80", "127.0.0.1", "127.0.0.1:70000"}) {
    EXPECT_FALSE(CheckPlaintextAddress(address, true).ok()) << address;
  }
  EXPECT_FALSE(CheckPlaintextAddress("127.0.0.1:80", false).ok());
}

class CappedTest : public RpcTest {
 protected:
  CappedTest() : RpcTest(Guard::Options{.max_unary = 3, .max_streams = 2}) {}
};

TEST_F(CappedTest, RefusesCallsAndStreamsBeyondTheCapAndStillChecksHealth) {
  ASSERT_TRUE(Create("a", nullptr, 1).ok());
  v1::Grant grant;
  ASSERT_TRUE(Acquire(&grant).ok());
  std::vector<std::future<grpc::Status>> parked;
  std::vector<v1::Grant> grants(3);
  for (auto& one : grants) {
    parked.push_back(
        std::async(std::launch::async, [&] { return Acquire(&one, absl::Seconds(20)); }));
  }
  while (engine_->Stats().pool.parked < 3) std::this_thread::yield();
  v1::Grant extra;
  const grpc::Status refused = Acquire(&extra);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(refused).info.reason(), "LIMIT_REACHED");
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchCredentialsResponse>>> watches;
  for (int i = 0; i < 2; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watches.push_back(admin_->WatchCredentials(contexts.back().get(), {}));
  }
  while (server_->guards()[0]->in_flight(CallClass::kStream) < 2) std::this_thread::yield();
  grpc::ClientContext third;
  auto watch = admin_->WatchCredentials(&third, {});
  EXPECT_EQ(DetailsOf(watch->Finish()).info.reason(), "LIMIT_REACHED");
  grpc::health::v1::HealthCheckResponse health;
  grpc::ClientContext context;
  EXPECT_TRUE(health_stub_->Check(&context, {}, &health).ok());
  engine_->Stop(absl::ZeroDuration());
  for (auto& call : parked) call.get();
  for (auto& one : contexts) one->TryCancel();
}

TEST(Watchdog, ActsAfterThreeFailuresInARow) {
  TempDir dir;
  std::promise<std::string> dead;
  Watchdog watchdog({.targets = {"unix:" + dir.File("nobody")},
                     .interval = absl::Milliseconds(1),
                     .patience = absl::Milliseconds(50),
                     .failures = 3,
                     .on_dead = [&](const std::string& target) { dead.set_value(target); }});
  EXPECT_EQ(dead.get_future().get(), "unix:" + dir.File("nobody"));
}

TEST_F(TransportTest, TheWatchdogLeavesALiveServerAlone) {
  std::atomic<bool> dead{false};
  const auto checks = [&] {
    return metrics_.grpc().Method("grpc.health.v1.Health/Check")->started.value();
  };
  Watchdog watchdog({.targets = server_->targets(),
                     .interval = absl::Milliseconds(1),
                     .on_dead = [&](const std::string&) { dead = true; }});
  while (checks() < 4 && !dead) std::this_thread::yield();
  EXPECT_FALSE(dead);
}

}  // namespace
}  // namespace credbroker::rpc
