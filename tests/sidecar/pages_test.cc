#include "client/sidecar/pages.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/http/listener.h"
#include "tests/http/raw_client.h"
#include "tests/sidecar/fake_source.h"

namespace credbroker::sidecar {
namespace {

// The pages before a desk.
class Window {
 public:
  explicit Window(const std::string& yaml) : office(yaml) {
    AddPages(router, {.answers = &office.config.forward_auth(),
                      .routes = &office.routes,
                      .desk = office.desk.get(),
                      .metrics = &office.metrics});
  }
  http::Response Lease(std::multimap<std::string, std::string> query = {{"provider", "claude"}},
                       std::vector<std::pair<std::string, std::string>> headers = {}) {
    http::Request request;
    request.method = "GET";
    request.path = "/lease";
    request.query = std::move(query);
    request.headers = std::move(headers);
    return router.Dispatch(request);
  }
  http::Response Report(const std::string& body) {
    http::Request request;
    request.method = "POST";
    request.path = "/report";
    request.body = body;
    return router.Dispatch(request);
  }

  Office office;
  http::Router router;
};

std::string HeaderOf(const http::Response& response, absl::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

TEST(LeasePage, HandsOutTheCredentialAsHeaders) {
  Window window("");
  FakeCredential& credential = window.office.source.credentials[0];
  credential.base_url = "https://api.example.com";
  credential.proxy_url = "http://u:p@proxy:3128";
  credential.model = "claude-sonnet-4";
  credential.headers = {{"x-api-key", "k1"}, {"anthropic-version", "2023-06-01"}};
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(HeaderOf(response, "x-api-key"), "k1");
  EXPECT_EQ(HeaderOf(response, "anthropic-version"), "2023-06-01");
  EXPECT_EQ(HeaderOf(response, "x-credbroker-mode"), "lease");
  EXPECT_EQ(HeaderOf(response, "x-credbroker-credential"), "c1");
  EXPECT_EQ(HeaderOf(response, "x-credbroker-model"), "claude-sonnet-4");
  EXPECT_EQ(HeaderOf(response, "x-credbroker-base-url"), "https://api.example.com");
  EXPECT_EQ(HeaderOf(response, "x-credbroker-proxy-url"), "http://u:p@proxy:3128");
  EXPECT_EQ(HeaderOf(response, "cache-control"), "no-store");
  const std::string lease = HeaderOf(response, "x-credbroker-lease");
  EXPECT_EQ(lease.size(), 24u);
  const http::Response reported = window.Report("{\"lease\":\"" + lease + "\",\"status\":200}");
  EXPECT_EQ(reported.status, 200);
  EXPECT_NE(reported.body.find("\"accepted\""), std::string::npos) << reported.body;
  EXPECT_EQ(window.office.desk->live(), 0u);
}

TEST(LeasePage, PutsThePrefixBeforeTheCredentialsHeadersOnly) {
  Window window("forward_auth: {header_prefix: X-Upstream-, allow_status: 200}\n");
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(HeaderOf(response, "x-upstream-authorization"), "Bearer secret-1");
  EXPECT_EQ(HeaderOf(response, "authorization"), "");
  EXPECT_NE(HeaderOf(response, "x-credbroker-lease"), "");
}

TEST(LeasePage, NeverEmitsWhatIsNoHttpField) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"authorization", "Bearer a\r\nSet-Cookie: x=y"},
           {"authorization", std::string("a\0b", 3)},
           {"authorization", "a\nb"},
           {"authorization", " a"},
           {"bad name", "a"},
           {"", "a"},
           {"a:b", "a"},
           {"transfer-encoding", "chunked"},
           {"Content-Length", "5"},
           {"connection", "close"},
           {"x-credbroker-lease", "s_"}}) {
    Window window("");
    window.office.source.credentials[0].headers = {{name, value}};
    const http::Response response = window.Lease();
    EXPECT_EQ(response.status, 503) << name;
    EXPECT_EQ(HeaderOf(response, "x-credbroker-reason"), "UNUSABLE_CREDENTIAL") << name;
    EXPECT_EQ(HeaderOf(response, "set-cookie"), "");
    EXPECT_EQ(window.office.desk->live(), 0u);
    EXPECT_EQ(window.office.source.seen.released, 1) << name;
  }
}

TEST(LeasePage, GoesOnWithAnotherCredentialIfOneCannotBeEmitted) {
  Window window("");
  FakeCredential good;
  good.id = "c2";
  window.office.source.credentials[0].headers = {{"authorization", "a\r\nb"}};
  window.office.source.credentials.push_back(good);
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(HeaderOf(response, "x-credbroker-credential"), "c2");
  EXPECT_EQ(window.office.Acquired(Face::kHttp, Granting::kUnusable), 1u);
}

struct Told {
  absl::Status refusal;
  int status;
  const char* reason;
  const char* retry_after;
};

class RefusalPage : public testing::TestWithParam<Told> {};

TEST_P(RefusalPage, SaysWhyAndWhenToComeBack) {
  Window window("");
  window.office.source.refusal = GetParam().refusal;
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, GetParam().status);
  EXPECT_EQ(HeaderOf(response, "x-credbroker-reason"), GetParam().reason);
  EXPECT_EQ(HeaderOf(response, "x-credbroker-status"), absl::StrCat(GetParam().status));
  EXPECT_EQ(HeaderOf(response, "retry-after"), GetParam().retry_after);
  EXPECT_NE(response.body.find(absl::StrCat("\"reason\":\"", GetParam().reason)), std::string::npos)
      << response.body;
}

INSTANTIATE_TEST_SUITE_P(
    Refusals, RefusalPage,
    testing::Values(
        Told{Refused(absl::StatusCode::kResourceExhausted, "COOLING", absl::Seconds(42)), 429,
             "COOLING", "42"},
        Told{Refused(absl::StatusCode::kResourceExhausted, "BUSY"), 429, "BUSY", "1"},
        Told{Refused(absl::StatusCode::kFailedPrecondition, "ALL_DISABLED"), 403, "ALL_DISABLED",
             ""},
        Told{Refused(absl::StatusCode::kNotFound, "NO_SUCH_MODEL"), 403, "NO_SUCH_MODEL", ""},
        Told{Refused(absl::StatusCode::kUnavailable, "SEALED"), 503, "SEALED", "1"},
        Told{client::LocalError(client::LocalReason::kSessionLost, "lost", absl::Seconds(5)), 503,
             "BROKER_AWAY", "5"}));

TEST(LeasePage, CanAnswerEveryRefusalWithOneStatus) {
  Window window("forward_auth: {deny_status: 403}\n");
  window.office.source.refusal = Refused(absl::StatusCode::kResourceExhausted, "COOLING");
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(HeaderOf(response, "x-credbroker-status"), "429");
}

TEST(LeasePage, BypassesWithAMarkAndNoCredential) {
  Window window("defaults: {when_away: bypass}\n");
  window.office.source.refusal = client::LocalError(client::LocalReason::kSessionLost, "lost");
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(HeaderOf(response, "x-credbroker-mode"), "bypass");
  EXPECT_EQ(HeaderOf(response, "authorization"), "");
  EXPECT_EQ(HeaderOf(response, "x-credbroker-lease"), "");
}

TEST(LeasePage, MarksWhatComesFromTheLastKnownMaterial) {
  Window window("defaults: {when_away: serve-last}\n");
  window.office.source.credentials[0].served_last = true;
  const http::Response response = window.Lease();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(HeaderOf(response, "x-credbroker-mode"), "last");
}

TEST(ShadowRoute, CountsDifferencesAndHandsOutNothing) {
  Window window("defaults: {shadow: true}\n");
  const auto ask = [&](std::vector<std::pair<std::string, std::string>> headers) {
    const http::Response response = window.Lease({{"provider", "claude"}}, std::move(headers));
    EXPECT_EQ(response.status, 204);
    EXPECT_EQ(HeaderOf(response, "x-credbroker-mode"), "shadow");
    for (const auto& [name, value] : response.headers) {
      EXPECT_EQ(value.find("secret-1"), std::string::npos) << name;
    }
    EXPECT_EQ(HeaderOf(response, "x-credbroker-lease"), "");
  };
  const size_t route = window.office.routes.defaults().index;
  const auto count = [&](Shadow what) { return window.office.metrics.shadow(route, what).value(); };
  ask({{"Authorization", "Bearer secret-1"}});
  EXPECT_EQ(count(Shadow::kSame), 1u);
  ask({{"Authorization", "Bearer other"}});
  EXPECT_EQ(count(Shadow::kDifferent), 1u);
  ask({});
  EXPECT_EQ(count(Shadow::kAbsent), 1u);
  window.office.source.refusal = Refused(absl::StatusCode::kResourceExhausted, "COOLING");
  ask({{"Authorization", "Bearer other"}});
  EXPECT_EQ(count(Shadow::kRefused), 1u);
  EXPECT_EQ(window.office.source.seen.released, 3);
  EXPECT_EQ(window.office.desk->live(), 0u);
}

TEST(ShadowRoute, ComparesFingerprints) {
  Window window("defaults: {shadow: true, shadow_fingerprint_header: X-Used}\n");
  const size_t route = window.office.routes.defaults().index;
  // sha256("secret-1")
  window.Lease({{"provider", "claude"}},
               {{"X-Used", "0cbec93e76a0d06d23d5a6f6e5b0a9f5d2e6b0b8d8e4a6a9f3c1b6a1f0c9d7e2"}});
  EXPECT_EQ(window.office.metrics.shadow(route, Shadow::kDifferent).value(), 1u);
  window.Lease({{"provider", "claude"}},
               {{"X-Used", "f7e7c36e458e80e6b6a2c67d0a9ec09bd718dadd7bfa8d6bf6e7ad526e46c2f7"}});
  EXPECT_EQ(window.office.metrics.shadow(route, Shadow::kSame).value(), 1u);
}

TEST(ReportPage, RefusesABodyByFieldAndCountsIt) {
  Window window("");
  const http::Response response = window.Report("{\"lease\":\"a\",\"status\":7}");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("status"), std::string::npos);
  EXPECT_EQ(window.office.metrics.reported(Face::kHttp, Reported::kMalformed).value(), 1u);
}

// What arrives on the wire, before any handler: refused, counted, and the next caller is served.
TEST(HostileRequest, IsRefusedAndHarmsNobody) {
  Window window("");
  auto listener = http::Listener::Start(window.router, {});
  ASSERT_TRUE(listener.ok());
  const int port = (*listener)->port();
  const std::string good =
      "GET /lease?provider=claude HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  uint64_t refused = 0;
  for (const std::string& extra :
       {std::string("Content-Length: 1\r\nContent-Length: 2\r\n"), std::string(" folded: x\r\n"),
        std::string("X-A: a\r\n b\r\n"), std::string("X-A: a\rb\r\n"),
        std::string("X-A: a\0b\r\n", 10), std::string("X-A : a\r\n"),
        std::string("Transfer-Encoding: chunked\r\n"), std::string("X-A: a\nX-B: b\r\n"),
        "X-Huge: " + std::string(70'000, 'x') + "\r\n"}) {
    const int status = http::StatusOf(http::Fetch(port, good + extra + "\r\n"));
    EXPECT_GE(status, 400) << extra.substr(0, 40);
    EXPECT_LT(status, 500) << extra.substr(0, 40);
    EXPECT_EQ((*listener)->refused(), ++refused) << extra.substr(0, 40);
  }
  for (const char* target : {"/lease?provider=a%0d%0aX:%20y", "/lease?provider=a&model=%00",
                             "/lease?provider=%zz", "/lease?model=%7f&provider=a"}) {
    EXPECT_EQ(http::StatusOf(http::Get(port, target)), 400) << target;
    EXPECT_EQ((*listener)->refused(), ++refused) << target;
  }
  EXPECT_EQ(http::StatusOf(http::Get(port, "/lease?provider=Claude")), 400);
  EXPECT_EQ(window.office.source.asked.size(), 0u);
  const std::string answer = http::Fetch(port, good + "\r\n");
  EXPECT_EQ(http::StatusOf(answer), 204);
  EXPECT_NE(answer.find("authorization: Bearer secret-1\r\n"), std::string::npos) << answer;
}

}  // namespace
}  // namespace credbroker::sidecar
