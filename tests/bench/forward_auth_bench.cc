// GET /lease of the sidecar against a static 204 of the same HTTP listener, over one kept
// connection each, in alternating rounds of one process. The lease comes from a source that always
// has one, so that it is the sidecar's own work that is compared; each is reported by nobody and
// given back after the round.
//
//   forward_auth_bench [--rounds N] [--requests N]
//
// Prints one line of JSON: microseconds a request of both, per round, and the median of the ratios.
// Exit code 1: that median is above 1.3.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/sidecar/pages.h"
#include "server/http/file_descriptor.h"
#include "server/http/listener.h"
#include "tests/sidecar/fake_source.h"

namespace credbroker::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTarget = 1.3;

class Connection {
 public:
  explicit Connection(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const int on = 1;
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror("connect");
      std::exit(2);
    }
  }

  // Microseconds a request, one after another.
  double Run(const std::string& request, int count) {
    const auto began = Clock::now();
    for (int i = 0; i < count; ++i) One(request);
    return std::chrono::duration<double, std::micro>(Clock::now() - began).count() / count;
  }

 private:
  void One(const std::string& request) {
    if (send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) Fail();
    std::string answer;
    while (answer.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(fd_.get(), chunk_.data(), chunk_.size(), 0);
      if (got <= 0) Fail();
      answer.append(chunk_.data(), static_cast<size_t>(got));
    }
    if (answer.compare(0, 13, "HTTP/1.1 204 ") != 0) Fail();
  }
  [[noreturn]] static void Fail() {
    std::fprintf(stderr, "forward_auth_bench: no 204\n");
    std::exit(2);
  }

  const http::FileDescriptor fd_;
  std::array<char, 16384> chunk_;
};

int Main(int argc, char** argv) {
  int rounds = 15, requests = 2'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    (flag == "--rounds" ? rounds : requests) = std::atoi(argv[i + 1]);
  }
  sidecar::Office office("", /*max_leases=*/100'000);
  http::Router router;
  sidecar::AddPages(router, {.answers = &office.config.forward_auth(),
                             .routes = &office.routes,
                             .desk = office.desk.get(),
                             .metrics = &office.metrics});
  router.Handle("GET", "/static", [](const http::Request&) {
    http::Response response;
    response.status = 204;
    return response;
  });
  http::ListenerOptions options;
  options.idle_timeout = absl::Seconds(60);
  options.max_requests_per_connection = 1'000'000'000;
  auto listener = http::Listener::Start(std::move(router), options);
  if (!listener.ok()) return 2;
  const std::string head = " HTTP/1.1\r\nHost: sidecar\r\nUser-Agent: bench\r\n\r\n";
  const std::string lease = "GET /lease?provider=claude&model=claude-sonnet-4" + head;
  const std::string fixed = "GET /static" + head;
  Connection connection((*listener)->port());
  std::vector<double> lease_us, fixed_us, ratios;
  for (int i = -1; i < rounds; ++i) {
    const bool lease_first = i % 2 == 0;
    const double a = connection.Run(lease_first ? lease : fixed, requests);
    const double b = connection.Run(lease_first ? fixed : lease, requests);
    office.desk->ReturnAll();
    office.source.asked.clear();
    if (i < 0) continue;  // warm-up
    lease_us.push_back(lease_first ? a : b);
    fixed_us.push_back(lease_first ? b : a);
    ratios.push_back(lease_us.back() / fixed_us.back());
  }
  std::vector<double> sorted = ratios;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  std::printf("{\"lease_us\":[%s],\"static_us\":[%s],\"ratio\":%.3f}\n",
              absl::StrJoin(lease_us, ",").c_str(), absl::StrJoin(fixed_us, ",").c_str(), median);
  return median <= kTarget ? 0 : 1;
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) { return credbroker::bench::Main(argc, argv); }
