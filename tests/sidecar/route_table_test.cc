#include "client/sidecar/route_table.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/sidecar/fake_source.h"

namespace credbroker::sidecar {
namespace {

constexpr char kRoutes[] = R"(
routes:
  - name: claude
    match: {host: api.anthropic.com, path_prefix: /v1/}
    group: team-a
    providers: [claude, claude-api]
    model_header: x-model
    session_header: x-session
  - name: gemini
    match: {path_prefix: /v1beta/}
    providers: [gemini]
    model_path_prefix: /v1beta/models/
  - name: tagged
    match: {headers: {x-team: blue}}
    providers: [openai]
    model_query: model
  - name: fixed
    match: {host: "*.example.com"}
    providers: [openai]
    model: gpt-5
)";

using Headers = std::vector<std::pair<std::string, std::string>>;

http::Request Ask(Headers headers, const std::string& path = "/lease",
                  std::multimap<std::string, std::string> query = {}) {
  http::Request request;
  request.method = "GET";
  request.path = path;
  request.headers = std::move(headers);
  request.query = std::move(query);
  return request;
}

class RouteTableTest : public testing::Test {
 protected:
  RouteTable::Wanted Wanted(const http::Request& request) {
    auto resolved = table_.Resolve(request);
    if (const auto* refusal = std::get_if<RouteTable::Refusal>(&resolved)) {
      ADD_FAILURE() << refusal->status << " " << refusal->reason << ": " << refusal->message;
      return {.route = &table_.defaults(), .request = {}};
    }
    return std::get<RouteTable::Wanted>(resolved);
  }
  int Refused(const http::Request& request) {
    auto resolved = table_.Resolve(request);
    const auto* refusal = std::get_if<RouteTable::Refusal>(&resolved);
    return refusal == nullptr ? 0 : refusal->status;
  }

  const pb::Config config_ = Office::Load(kRoutes);
  const RouteTable table_{config_};
};

TEST_F(RouteTableTest, MapsTheOriginalRequestToItsRoute) {
  const auto wanted = Wanted(Ask({{"X-Original-URI", "/v1/messages?beta=true"},
                                  {"X-Forwarded-Host", "API.Anthropic.com:443"},
                                  {"X-Model", "claude-sonnet-4"},
                                  {"X-Session", "s1"}}));
  EXPECT_EQ(wanted.route->rules.name(), "claude");
  EXPECT_EQ(wanted.request.group(), "team-a");
  EXPECT_EQ(wanted.request.providers_size(), 2);
  EXPECT_EQ(wanted.request.model(), "claude-sonnet-4");
  EXPECT_EQ(wanted.request.session_key(), "s1");
}

TEST_F(RouteTableTest, TakesTheModelFromThePath) {
  const auto wanted =
      Wanted(Ask({{"X-Forwarded-Uri", "/v1beta/models/gemini-2.5-pro:streamGenerateContent"}}));
  EXPECT_EQ(wanted.route->rules.name(), "gemini");
  EXPECT_EQ(wanted.request.model(), "gemini-2.5-pro");
}

TEST_F(RouteTableTest, TakesTheModelFromTheOriginalQuery) {
  const auto wanted =
      Wanted(Ask({{"X-Original-URI", "/x?a=1&model=o%2B4+mini"}, {"X-Team", "blue"}}));
  EXPECT_EQ(wanted.route->rules.name(), "tagged");
  EXPECT_EQ(wanted.request.model(), "o+4 mini");
}

TEST_F(RouteTableTest, TakesWhatFollowsLeaseInThePathForTheOriginalUri) {
  const auto wanted = Wanted(Ask({{"X-Team", "blue"}}, "/lease/v1/chat", {{"model", "m"}}));
  EXPECT_EQ(wanted.route->rules.name(), "tagged");
  EXPECT_EQ(wanted.request.model(), "m");
  EXPECT_EQ(Wanted(Ask({}, "/lease/v1beta/models/g:x")).request.model(), "g");
}

TEST_F(RouteTableTest, MatchesHostsBelowAWildcardOnly) {
  EXPECT_EQ(Wanted(Ask({{"X-Forwarded-Host", "a.example.com"}})).request.model(), "gpt-5");
  EXPECT_EQ(Refused(Ask({{"X-Forwarded-Host", "example.com"}})), 403);
  EXPECT_EQ(Refused(Ask({{"X-Forwarded-Host", "evilexample.com"}})), 403);
}

TEST_F(RouteTableTest, LetsTheQueryOfLeaseNameEverything) {
  const auto wanted = Wanted(Ask({{"X-Original-URI", "/v1/messages"}}, "/lease",
                                 {{"provider", "a,b"},
                                  {"model", "m"},
                                  {"group", "g"},
                                  {"session", "s"},
                                  {"credential", "c/1"}}));
  EXPECT_EQ(wanted.route, &table_.defaults());
  EXPECT_EQ(wanted.request.providers(1), "b");
  EXPECT_EQ(wanted.request.group(), "g");
  EXPECT_EQ(wanted.request.session_key(), "s");
  EXPECT_EQ(wanted.request.credential_id(), "c/1");
  EXPECT_EQ(Wanted(Ask({}, "/lease", {{"route", "fixed"}})).request.model(), "gpt-5");
}

TEST_F(RouteTableTest, RefusesExplicitRequestsWhereTheyAreOff) {
  const pb::Config config =
      Office::Load(std::string(kRoutes) + "forward_auth: {explicit_requests: false}\n");
  const RouteTable table(config);
  auto resolved = table.Resolve(Ask({}, "/lease", {{"provider", "a"}}));
  ASSERT_TRUE(std::holds_alternative<RouteTable::Refusal>(resolved));
  EXPECT_EQ(std::get<RouteTable::Refusal>(resolved).status, 403);
}

TEST_F(RouteTableTest, RefusesWhatNoRouteIsFor) {
  EXPECT_EQ(Refused(Ask({})), 403);
  EXPECT_EQ(Refused(Ask({{"X-Original-URI", "/other"}})), 403);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"route", "none"}})), 403);
}

TEST_F(RouteTableTest, RefusesWhatCouldHaveBeenSmuggledIn) {
  EXPECT_EQ(Refused(Ask({{"X-Original-URI", "/v1beta/a"}, {"X-Original-URI", "/v1beta/b"}})), 400);
  EXPECT_EQ(Refused(Ask({{"X-Original-URI", "/v1beta/a"}, {"X-Forwarded-Uri", "/v1beta/b"}})), 400);
  EXPECT_EQ(Refused(Ask({{"X-Forwarded-Host", "a.example.com"}, {"X-Forwarded-Host", "b"}})), 400);
  EXPECT_EQ(Refused(Ask({{"X-Original-URI", "/v1/x"},
                         {"X-Forwarded-Host", "api.anthropic.com"},
                         {"X-Model", "a"},
                         {"X-Model", "b"}})),
            400);
  EXPECT_EQ(Refused(Ask({{"X-Team", "blue"}, {"X-Original-URI", "/?model=a&model=b"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a"}, {"provider", "b"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a"}, {"evil", "b"}})), 400);
}

TEST_F(RouteTableTest, RefusesMalformedUris) {
  for (const char* uri : {"", "v1beta/x", "/v1beta/%zz", "/v1beta/%0d%0aX: y", "/v1beta/%00",
                          "/v1beta/../v1/x", "/v1beta/%2e%2e/x", "/v1beta/a b", "/v1beta/%7f"}) {
    EXPECT_EQ(Refused(Ask({{"X-Original-URI", uri}})), 400) << uri;
  }
}

TEST_F(RouteTableTest, RefusesNamesTheBrokerCannotTake) {
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "Claude"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a,,b"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a\r\nb"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a"}, {"model", "a\nb"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a"}, {"model", "\xff"}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a"}, {"model", std::string(257, 'x')}})), 400);
  EXPECT_EQ(Refused(Ask({}, "/lease", {{"provider", "a"}, {"group", "x/y"}})), 400);
}

TEST_F(RouteTableTest, TakesAnAbsoluteUri) {
  EXPECT_EQ(Wanted(Ask({{"X-Original-URI", "http://h/v1beta/models/m?x#y"}})).request.model(), "m");
}

}  // namespace
}  // namespace credbroker::sidecar
