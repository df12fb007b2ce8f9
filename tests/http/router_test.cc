#include "server/http/router.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "server/obs/log.h"

namespace credbroker::http {
namespace {

Request Of(const std::string& method, const std::string& path) {
  Request request;
  request.method = method;
  request.path = path;
  return request;
}

Router::Handler Says(const std::string& text) {
  return [text](const Request&) {
    Response response;
    response.body = text;
    return response;
  };
}

std::string HeaderOf(const Response& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(Router, PrefersTheExactPathThenTheLongestPrefix) {
  Router router;
  router.Handle("GET", "/a/*", Says("short"));
  router.Handle("GET", "/a/b/*", Says("long"));
  router.Handle("GET", "/a/b/c", Says("exact"));
  EXPECT_EQ(router.Dispatch(Of("GET", "/a/b/c")).body, "exact");
  EXPECT_EQ(router.Dispatch(Of("GET", "/a/b/d")).body, "long");
  EXPECT_EQ(router.Dispatch(Of("GET", "/a/x")).body, "short");
  EXPECT_EQ(router.Dispatch(Of("GET", "/a/")).body, "short");
  EXPECT_EQ(router.Dispatch(Of("GET", "/a")).status, 404);
}

TEST(Router, AnswersAnUnknownPathWithoutRepeatingIt) {
  const Response response = Router().Dispatch(Of("GET", "/<script>"));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(nlohmann::json::parse(response.body)["error"]["code"], 404);
  EXPECT_EQ(response.body.find("script"), std::string::npos);
}

TEST(Router, AnswersAnotherMethodWithTheAllowedOnes) {
  Router router;
  router.Handle("GET", "/a", Says("x"));
  router.Handle("POST", "/a", Says("y"));
  const Response response = router.Dispatch(Of("DELETE", "/a"));
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(HeaderOf(response, "Allow"), "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(nlohmann::json::parse(response.body)["error"]["code"], 405);
}

TEST(Router, ServesHeadByGetAndOptionsByItself) {
  Router router;
  router.Handle("GET", "/a", Says("x"));
  EXPECT_EQ(router.Dispatch(Of("HEAD", "/a")).status, 200);
  const Response options = router.Dispatch(Of("OPTIONS", "/a"));
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(HeaderOf(options, "Allow"), "GET, HEAD, OPTIONS");
}

TEST(Router, AddsSecurityHeadersUnlessTheHandlerHasItsOwn) {
  Router router;
  router.Handle("GET", "/a", [](const Request&) {
    Response response;
    response.SetHeader("cache-control", "max-age=60");
    return response;
  });
  const Response response = router.Dispatch(Of("GET", "/a"));
  EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(HeaderOf(response, "cache-control"), "max-age=60");
  EXPECT_EQ(HeaderOf(response, "Cache-Control"), "");
  EXPECT_EQ(HeaderOf(Router().Dispatch(Of("GET", "/")), "Cache-Control"), "no-store");
}

TEST(Router, TurnsAnExceptionIntoAPlainErrorAndALogLine) {
  Router router;
  router.Handle("GET", "/a",
                [](const Request&) -> Response { throw std::runtime_error("inner detail"); });
  std::string logged;
  const obs::ScopedLogSink sink([&logged](absl::string_view line) { logged = std::string(line); });
  const Response response = router.Dispatch(Of("GET", "/a"));
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.find("inner"), std::string::npos);
  EXPECT_NE(logged.find("inner detail"), std::string::npos);
}

TEST(Response, CannotBeSplitByAHeaderValue) {
  Response response;
  response.SetHeader("Location", "/x\r\nSet-Cookie: a=b");
  EXPECT_EQ(response.headers[0].second, "/xSet-Cookie: a=b");
}

TEST(Request, FindsHeadersInAnyCase) {
  Request request;
  request.headers = {{"X-Forwarded-Method", "GET"}};
  request.query = {{"a", "1"}};
  EXPECT_EQ(request.Header("x-forwarded-method"), "GET");
  EXPECT_EQ(request.Header("other"), "");
  EXPECT_EQ(request.Query("a"), "1");
  EXPECT_EQ(request.Query("b"), "");
}

}  // namespace
}  // namespace credbroker::http
