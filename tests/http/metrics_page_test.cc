#include "server/http/metrics_page.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/http/listener.h"
#include "tests/http/raw_client.h"

namespace credbroker::http {
namespace {

TEST(MetricsPage, IsServedAsPrometheusText) {
  obs::Metrics metrics({.version = "1", .revision = "r"});
  Router router;
  AddMetricsPage(router, metrics);
  auto listener = Listener::Start(std::move(router), ListenerOptions());
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string answer = Get((*listener)->port(), "/metrics");
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_NE(answer.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            std::string::npos);
  EXPECT_NE(answer.find("credbroker_build_info{version=\"1\""), std::string::npos);
}

TEST(MetricsPage, IsCompressedForAScraperThatAsks) {
  obs::Metrics metrics({.version = "1", .revision = "r"});
  Router router;
  AddMetricsPage(router, metrics);
  auto listener = Listener::Start(std::move(router), ListenerOptions());
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string answer = Fetch(
      (*listener)->port(),
      "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_NE(answer.find("Content-Encoding: gzip\r\n"), std::string::npos);
}

}  // namespace
}  // namespace credbroker::http
