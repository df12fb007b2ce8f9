#include "server/http/listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/http/raw_client.h"

namespace credbroker::http {
namespace {

using Clock = std::chrono::steady_clock;

Router TestRouter() {
  Router router;
  router.Handle("GET", "/hello", [](const Request& request) {
    Response response;
    response.content_type = "text/plain";
    response.body = absl::StrCat("hello ", request.Query("name"), " from ", request.remote_address);
    return response;
  });
  router.Handle("POST", "/echo", [](const Request& request) {
    Response response;
    response.content_type = "text/plain";
    response.body = request.body;
    return response;
  });
  router.Handle("GET", "/big", [](const Request&) {
    Response response;
    response.content_type = "application/octet-stream";
    response.body = std::string(8 << 20, 'x');
    return response;
  });
  return router;
}

std::unique_ptr<Listener> StartListener(const ListenerOptions& options = {}) {
  auto listener = Listener::Start(TestRouter(), options);
  EXPECT_TRUE(listener.ok()) << listener.status();
  return listener.ok() ? *std::move(listener) : nullptr;
}

TEST(Listener, ServesOnAFreePortAndSaysWhich) {
  const auto listener = StartListener();
  EXPECT_GT(listener->port(), 0);
  EXPECT_EQ(listener->address(), absl::StrCat("127.0.0.1:", listener->port()));
  const std::string answer = Get(listener->port(), "/hello?name=J%C3%BCrgen");
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(BodyOf(answer), "hello J\xC3\xBCrgen from 127.0.0.1");
  EXPECT_NE(answer.find("X-Content-Type-Options: nosniff\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Cache-Control: no-store\r\n"), std::string::npos);
}

TEST(Listener, AnswersHeadWithTheHeadersOnly) {
  const auto listener = StartListener();
  const std::string answer =
      Fetch(listener->port(), "HEAD /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_NE(answer.find("Content-Length: 21\r\n"), std::string::npos) << answer;
  EXPECT_EQ(BodyOf(answer), "");
}

TEST(Listener, AnswersErrorsAsJson) {
  const auto listener = StartListener();
  const std::string missing = Get(listener->port(), "/../../etc/passwd");
  EXPECT_EQ(StatusOf(missing), 404);
  EXPECT_NE(missing.find("Content-Type: application/json\r\n"), std::string::npos);
  const std::string method =
      Fetch(listener->port(),
            "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
  EXPECT_EQ(StatusOf(method), 405);
  EXPECT_NE(method.find("Allow: GET, HEAD, OPTIONS\r\n"), std::string::npos);
}

TEST(Listener, ReadsABodyThatComesInPieces) {
  const auto listener = StartListener();
  RawClient client(listener->port());
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-");
  client.Send("Length: 6\r\n\r\nabc");
  client.Send("def");
  EXPECT_EQ(BodyOf(client.ReadAnswer()), "abcdef");
}

TEST(Listener, KeepsTheConnectionAndTakesPipelinedRequests) {
  const auto listener = StartListener();
  RawClient client(listener->port());
  const std::string get = "GET /hello?name=a HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz";
  client.Send(get + post + get);
  EXPECT_EQ(BodyOf(client.ReadAnswer()), "hello a from 127.0.0.1");
  EXPECT_EQ(BodyOf(client.ReadAnswer()), "xyz");
  EXPECT_EQ(BodyOf(client.ReadAnswer()), "hello a from 127.0.0.1");
}

TEST(Listener, SaysContinueToAClientThatWaitsForIt) {
  const auto listener = StartListener();
  RawClient client(listener->port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(StatusOf(client.ReadAnswer()), 100);
  client.Send("abc");
  EXPECT_EQ(BodyOf(client.ReadAnswer()), "abc");
}

TEST(Listener, AnswersAClientThatHasStoppedSending) {
  const auto listener = StartListener();
  RawClient client(listener->port());
  client.Send("GET /hello HTTP/1.0\r\n\r\n");
  client.EndSending();
  EXPECT_EQ(StatusOf(client.ReadAll()), 200);
}

TEST(Listener, SendsAnAnswerLargerThanAnyBuffer) {
  const auto listener = StartListener();
  EXPECT_EQ(BodyOf(Get(listener->port(), "/big")).size(), 8U << 20);
}

TEST(Listener, ClosesAfterTheLastAllowedRequest) {
  ListenerOptions options;
  options.max_requests_per_connection = 2;
  const auto listener = StartListener(options);
  RawClient client(listener->port());
  const std::string get = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
  client.Send(get + get + get);
  EXPECT_EQ(StatusOf(client.ReadAnswer()), 200);
  EXPECT_NE(client.ReadAnswer().find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(client.ReadAll(), "");
}

TEST(Listener, ServesManyClientsAtOnce) {
  const auto listener = StartListener();
  std::vector<std::thread> threads;
  std::atomic<int> served{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) {
        if (StatusOf(Get(listener->port(), "/hello")) == 200) ++served;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 400);
}

TEST(Listener, RefusesAnAddressThatIsNotLoopbackUnlessAllowed) {
  for (const char* host : {"0.0.0.0", "::", "192.0.2.1"}) {
    ListenerOptions options;
    options.host = host;
    const auto listener = Listener::Start(TestRouter(), options);
    EXPECT_EQ(listener.status().code(), absl::StatusCode::kFailedPrecondition) << host;
  }
  ListenerOptions options;
  options.host = "0.0.0.0";
  options.allow_non_loopback = true;
  EXPECT_TRUE(Listener::Start(TestRouter(), options).ok());
}

TEST(Listener, RefusesAPortInUseInsteadOfSharingIt) {
  const auto first = StartListener();
  ListenerOptions options;
  options.port = first->port();
  EXPECT_EQ(Listener::Start(TestRouter(), options).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Listener, RefusesOptionsThatMakeNoSense) {
  const auto code = [](auto change) {
    ListenerOptions options;
    change(options);
    return Listener::Start(TestRouter(), options).status().code();
  };
  using absl::StatusCode;
  EXPECT_EQ(code([](auto& o) { o.host = "example.org"; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.host = ""; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.port = 65536; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.port = -1; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.worker_threads = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.max_connections = 0; }), StatusCode::kInvalidArgument);
}

TEST(ListenerStop, ClosesIdleConnectionsAtOnce) {
  const auto listener = StartListener();
  RawClient idle(listener->port());
  ASSERT_EQ(StatusOf(Get(listener->port(), "/hello")), 200);
  const auto before = Clock::now();
  EXPECT_TRUE(listener->Stop(absl::Seconds(30)).ok());
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(10));
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(RawClient(listener->port()).connected());
  EXPECT_TRUE(listener->Stop(absl::ZeroDuration()).ok());
}

// A handler that waits until the test lets it go.
struct Gate {
  std::promise<void> entered;
  std::promise<void> opened;
  std::shared_future<void> open{opened.get_future().share()};
};

Router GatedRouter(const std::shared_ptr<Gate>& gate) {
  Router router;
  router.Handle("GET", "/gate", [gate](const Request&) {
    gate->entered.set_value();
    gate->open.wait();
    return Response();
  });
  return router;
}

TEST(ListenerStop, LetsARequestUnderWayFinish) {
  const auto gate = std::make_shared<Gate>();
  auto listener = Listener::Start(GatedRouter(gate), ListenerOptions());
  ASSERT_TRUE(listener.ok());
  RawClient client((*listener)->port());
  client.Send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
  gate->entered.get_future().wait();
  auto stopped =
      std::async(std::launch::async, [&] { return (*listener)->Stop(absl::Seconds(30)); });
  gate->opened.set_value();
  EXPECT_EQ(StatusOf(client.ReadAll()), 200);
  EXPECT_TRUE(stopped.get().ok());
}

TEST(ListenerStop, DoesNotWaitForeverForAHandler) {
  const auto gate = std::make_shared<Gate>();
  auto listener = Listener::Start(GatedRouter(gate), ListenerOptions());
  ASSERT_TRUE(listener.ok());
  RawClient client((*listener)->port());
  client.Send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
  gate->entered.get_future().wait();
  EXPECT_EQ((*listener)->Stop(absl::Milliseconds(20)).code(), absl::StatusCode::kDeadlineExceeded);
  listener->reset();
  gate->opened.set_value();
}

TEST(Listener, ServesConnectionsAcceptedElsewhere) {
  ListenerOptions options;
  options.bind = false;
  const auto listener = StartListener(options);
  EXPECT_EQ(listener->port(), 0);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  listener->HandOver(ends[0]);
  constexpr absl::string_view kRequest =
      "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(send(ends[1], kRequest.data(), kRequest.size(), 0),
            static_cast<ssize_t>(kRequest.size()));
  std::string answer;
  std::array<char, 4096> chunk;
  for (ssize_t got = 0; (got = recv(ends[1], chunk.data(), chunk.size(), 0)) > 0;) {
    answer.append(chunk.data(), static_cast<size_t>(got));
  }
  close(ends[1]);
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(BodyOf(answer), "hello  from unix");
}

TEST(Listener, CountsWhatItRefuses) {
  const auto listener = StartListener();
  EXPECT_EQ(listener->refused(), 0u);
  Get(listener->port(), "/hello");
  EXPECT_EQ(listener->refused(), 0u);
  EXPECT_EQ(StatusOf(Fetch(listener->port(), "GET /hello HTTP/1.1\r\n folded: x\r\n\r\n")), 400);
  EXPECT_EQ(listener->refused(), 1u);
}

}  // namespace
}  // namespace credbroker::http
