#include "client/sidecar/settings.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"

namespace credbroker::sidecar {
namespace {

constexpr char kGood[] = R"(
broker: {address: "unix:/run/credbroker/broker.sock", token_file: token}
grpc:
  - unix_socket: {path: /run/credbroker/sidecar.sock}
http:
  - loopback: "127.0.0.1:7310"
  - unix_socket: {path: /run/credbroker/http.sock, admitted_uids: [33]}
access_log: {udp: "127.0.0.1:5140"}
routes:
  - name: claude
    providers: [claude]
    when_away: serve-last
    ttl: 2m
)";

TEST(Settings, FillInEveryDefault) {
  const auto config = LoadSettings("/etc/credbroker/sidecar.yaml", kGood);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->broker().token_file(), "/etc/credbroker/token");
  EXPECT_EQ(config->grpc(0).unix_socket().mode(), "0600");
  EXPECT_EQ(config->http(1).unix_socket().mode(), "0660");
  const pb::Route& route = config->routes(0);
  EXPECT_EQ(route.group(), "default");
  EXPECT_EQ(ToDuration(route.ttl()), absl::Minutes(2));
  EXPECT_EQ(ToDuration(route.timeout()), absl::Seconds(2));
  EXPECT_EQ(route.stock(), 64u);
  EXPECT_EQ(route.serve_last_max(), 16u);
  EXPECT_EQ(ToDuration(config->defaults().ttl()), absl::Minutes(10));
  EXPECT_EQ(config->forward_auth().allow_status(), 204u);
  EXPECT_TRUE(config->forward_auth().explicit_requests());
  EXPECT_EQ(config->limits().max_leases(), 50'000u);
  EXPECT_EQ(ToDuration(config->limits().drain_timeout()), absl::Seconds(5));
}

struct BadLine {
  const char* lines;
  const char* says;
};

class BadSettings : public testing::TestWithParam<BadLine> {};

TEST_P(BadSettings, AreRefusedByField) {
  const auto config =
      LoadSettings("s.yaml", std::string("broker: {address: \"h:1\"}\n") + GetParam().lines);
  ASSERT_FALSE(config.ok()) << GetParam().lines;
  EXPECT_TRUE(absl::StrContains(config.status().message(), GetParam().says)) << config.status();
}

constexpr char kHttp[] = "http: [{loopback: \"127.0.0.1:1\"}]\n";

INSTANTIATE_TEST_SUITE_P(
    Lines, BadSettings,
    testing::Values(
        BadLine{"", "no listener"},
        BadLine{"http: [{loopback: \"0.0.0.0:1\"}]", "http[0].loopback"},
        BadLine{"http: [{loopback: \"10.0.0.1:1\"}]", "http[0].loopback"},
        BadLine{"grpc: [{loopback: \"localhost:1\"}]", "grpc[0].loopback"},
        BadLine{"http: [{unix_socket: {path: rel}}]", "http[0].unix_socket.path"},
        BadLine{"http: [{unix_socket: {path: /a, mode: \"999\"}}]", "mode"},
        BadLine{"http: [{unix_socket: {path: /a}}, {unix_socket: {path: /a}}]", "used twice"},
        BadLine{"htpp: []", "did you mean http"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\naccess_log: {udp: \"0.0.0.0:1\"}",
                "access_log.udp"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\nroutes: [{name: a}]", "routes[0].providers"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\nroutes: [{providers: [a]}]",
                "routes[0].name"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\nroutes: [{name: a, providers: [B]}]",
                "routes[0].providers[0]"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\ndefaults: {ttl: 2h}", "defaults.ttl"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\ndefaults: {when_away: maybe}", "none of"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\ndefaults: {stock: 513}", "defaults.stock"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\ndefaults: {model_header: \"a b\"}",
                "defaults.model_header"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\nforward_auth: {allow_status: 302}",
                "allow_status"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\nforward_auth: {header_prefix: \"a:\"}",
                "header_prefix"},
        BadLine{"http: [{loopback: \"127.0.0.1:1\"}]\nlimits: {max_leases: 100001}",
                "limits.max_leases"}));

TEST(Settings, NeedABroker) {
  const auto config = LoadSettings("s.yaml", kHttp);
  ASSERT_FALSE(config.ok());
  EXPECT_TRUE(absl::StrContains(config.status().message(), "broker.address"));
}

TEST(Settings, OfTheCommandLineKeepTheSameRules) {
  const auto good =
      MakeSettings({.broker = "unix:/b.sock", .listen = "unix:/s.sock", .http = "127.0.0.1:7310"});
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->grpc(0).unix_socket().path(), "/s.sock");
  EXPECT_EQ(good->http(0).loopback(), "127.0.0.1:7310");
  EXPECT_FALSE(MakeSettings({.broker = "unix:/b.sock", .listen = "", .http = "0.0.0.0:1"}).ok());
  EXPECT_FALSE(MakeSettings({.broker = "unix:/b.sock", .listen = "", .http = ""}).ok());
}

TEST(Settings, OfAFileThatIsNotThereAreNotFound) {
  EXPECT_EQ(LoadSettingsFile("/nonexistent/sidecar.yaml").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace credbroker::sidecar
