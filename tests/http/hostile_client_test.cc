// Clients that are slow, silent, greedy or malicious: they get a refusal or nothing, and everybody
// else is served meanwhile.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/http/listener.h"
#include "tests/http/raw_client.h"

namespace credbroker::http {
namespace {

class HostileClient : public testing::Test {
 protected:
  HostileClient() {
    // One worker: if a hostile client could hold it, nobody else would be served.
    options_.worker_threads = 1;
  }

  void Start() {
    Router router;
    router.Handle("GET", "/hello", [](const Request&) {
      Response response;
      response.body = "\"hello\"";
      return response;
    });
    router.Handle("GET", "/admin", [this](const Request&) {
      ++smuggled_;
      return Response();
    });
    router.Handle("POST", "/echo", [](const Request& request) {
      Response response;
      response.body = request.body;
      return response;
    });
    router.Handle("GET", "/big", [](const Request&) {
      Response response;
      response.content_type = "application/octet-stream";
      response.body = std::string(16 << 20, 'x');
      return response;
    });
    auto listener = Listener::Start(std::move(router), options_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }

  void ExpectOthersAreServed() { EXPECT_EQ(StatusOf(Get(listener_->port(), "/hello")), 200); }

  ListenerOptions options_;
  std::atomic<int> smuggled_{0};
  std::unique_ptr<Listener> listener_;
};

TEST_F(HostileClient, WithAHugeHeaderIsRefused) {
  Start();
  const std::string answer =
      Fetch(listener_->port(), "GET /hello HTTP/1.1\r\nHost: x\r\nA: " + std::string(1 << 20, 'a'));
  EXPECT_EQ(StatusOf(answer), 431);
  ExpectOthersAreServed();
}

TEST_F(HostileClient, WithThousandsOfHeadersIsRefused) {
  Start();
  std::string request = "GET /hello HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 2000; ++i) request += "A: b\r\n";
  EXPECT_EQ(StatusOf(Fetch(listener_->port(), request + "\r\n")), 431);
  ExpectOthersAreServed();
}

TEST_F(HostileClient, WithABadRequestLineIsRefusedAtOnce) {
  options_.head_timeout = absl::Seconds(60);
  Start();
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), std::string("get / HTTP/1.1\r\n\r\n"),
        std::string("GET /hello HTTP/1.1\nHost: x\n\n"), std::string("\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string(300, '\0')}) {
    const int status = StatusOf(Fetch(listener_->port(), bytes));
    EXPECT_TRUE(status == 400 || status == 505) << bytes << " got " << status;
  }
  ExpectOthersAreServed();
}

TEST_F(HostileClient, CannotSmuggleASecondRequest) {
  Start();
  const std::string inner = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string length = "Content-Length: " + std::to_string(inner.size()) + "\r\n";
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  for (const std::string& request :
       {post + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
        post + "Transfer-Encoding: chunked\r\n" + length + "\r\n0\r\n\r\n" + inner,
        post + "Transfer-Encoding : chunked\r\n" + length + "\r\n0\r\n\r\n" + inner,
        post + "Content-Length: 0\r\n" + length + "\r\n" + inner,
        post + "X: y\n" + length + "\r\n" + inner,
        "GET /hello HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + inner}) {
    const std::string answer = Fetch(listener_->port(), request);
    EXPECT_GE(StatusOf(answer), 400) << request;
    EXPECT_EQ(answer.find("HTTP/1.1", 9), std::string::npos) << "two answers to " << request;
  }
  // A body that looks like a request is a body.
  RawClient client(listener_->port());
  client.Send(post + length + "Connection: close\r\n\r\n" + inner);
  EXPECT_EQ(BodyOf(client.ReadAll()), inner);
  EXPECT_EQ(smuggled_, 0);
}

TEST_F(HostileClient, WhoIsSlowWithTheHeadIsCutOffAndHoldsNoWorker) {
  options_.head_timeout = absl::Milliseconds(300);
  Start();
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<RawClient>(listener_->port()));
    slow.back()->Send("GET /hello HT");
  }
  ExpectOthersAreServed();
  for (const auto& client : slow) EXPECT_EQ(StatusOf(client->ReadAll()), 408);
}

TEST_F(HostileClient, CannotExtendTheHeadTimeByDripping) {
  options_.head_timeout = absl::Milliseconds(200);
  Start();
  RawClient client(listener_->port());
  std::atomic<bool> over{false};
  std::thread drip([&] {
    for (const char c : std::string("GET /hello HTTP/1.1\r\n")) client.Send({&c, 1});
    while (!over && client.Send("A: b\r\n")) std::this_thread::yield();
  });
  const int status = StatusOf(client.ReadAll());
  over = true;
  drip.join();
  // By time, or by the size it reached before.
  EXPECT_TRUE(status == 408 || status == 431) << status;
  ExpectOthersAreServed();
}

TEST_F(HostileClient, WhoIsSlowWithTheBodyIsCutOff) {
  options_.body_timeout = absl::Milliseconds(200);
  Start();
  RawClient client(listener_->port());
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  ExpectOthersAreServed();
  EXPECT_EQ(StatusOf(client.ReadAll()), 408);
}

TEST_F(HostileClient, WithABodyAboveTheLimitIsRefusedBeforeItIsRead) {
  Start();
  EXPECT_EQ(StatusOf(Fetch(listener_->port(),
                           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")),
            413);
  ExpectOthersAreServed();
}

TEST_F(HostileClient, WhoNeverReadsHoldsNoWorkerAndIsCutOff) {
  options_.write_timeout = absl::Milliseconds(300);
  Start();
  RawClient client(listener_->port());
  client.Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  for (int i = 0; i < 20; ++i) ExpectOthersAreServed();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  // Served on while the deadline passes; then what is left of the answer is gone.
  while (std::chrono::steady_clock::now() < deadline - std::chrono::milliseconds(9400)) {
    ExpectOthersAreServed();
  }
  EXPECT_LT(client.ReadAll().size(), 16U << 20);
}

TEST_F(HostileClient, CannotKeepOthersOutWithIdleConnections) {
  options_.max_connections = 8;
  options_.head_timeout = absl::Seconds(60);
  Start();
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(std::make_unique<RawClient>(listener_->port()));
  ExpectOthersAreServed();
}

TEST_F(HostileClient, CannotUseARangeOrABrotliRequestAsALever) {
  Start();
  std::string ranges = "bytes=0-0";
  for (int i = 0; i < 900; ++i) ranges += ",0-0";
  const std::string answer =
      Fetch(listener_->port(), "GET /hello HTTP/1.1\r\nHost: x\r\nRange: " + ranges +
                                   "\r\nAccept-Encoding: br\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(BodyOf(answer), "\"hello\"");
}

TEST_F(HostileClient, WithFormOrMultipartTricksIsRefused) {
  Start();
  EXPECT_EQ(StatusOf(Fetch(listener_->port(),
                           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; "
                           "boundary=\r\nContent-Length: 4\r\n\r\nabcd")),
            415);
  EXPECT_EQ(StatusOf(Fetch(listener_->port(),
                           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: "
                           "application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n\r\n" +
                               std::string(9000, '&'))),
            413);
  ExpectOthersAreServed();
}

}  // namespace
}  // namespace credbroker::http
