// Router: which handler answers which method and path. Knows neither sockets nor the HTTP library.
//
// A handler takes a request and returns a value. The router adds what every answer needs: security
// headers, HEAD for each GET, 404 and 405 as JSON, and a plain 500 for a handler that threw. There
// is no file serving, hence no directory listing and no path traversal.
//
// Thread-safety: fill it, then share it: Dispatch may run on any number of threads at once, and so
// may the handlers. A handler must return in bounded time.
#ifndef CREDBROKER_SERVER_HTTP_ROUTER_H_
#define CREDBROKER_SERVER_HTTP_ROUTER_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace credbroker::http {

struct Request {
  std::string method;
  std::string
      path;  // Percent-decoded, without the query. Untrusted bytes, but no control characters.
  std::multimap<std::string, std::string> query;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string remote_address;  // Numeric, without the port.

  // The first header of that name in any case, else empty.
  absl::string_view Header(absl::string_view name) const;
  // The first query parameter of that name, else empty.
  absl::string_view Query(absl::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;

  // Replaces a header of that name. Characters a header cannot hold are left out.
  void SetHeader(absl::string_view name, absl::string_view value);
  bool HasHeader(absl::string_view name) const;
};

// {"error":{"code":404,"message":"..."}}; `message` must not repeat what the caller sent.
Response ErrorResponse(int status, absl::string_view message);

class Router {
 public:
  using Handler = std::function<Response(const Request&)>;

  // `path` is exact ("/metrics"), or ends in "/*" for everything below ("/console/*" matches
  // "/console/" and "/console/a/b"). An exact path wins, then the longest prefix. HEAD comes with
  // GET. A second handler for the same method and path replaces the first.
  // REQUIRES: method is GET, POST, PUT, PATCH or DELETE; path begins with '/'.
  void Handle(absl::string_view method, absl::string_view path, Handler handler);

  Response Dispatch(const Request& request) const;

 private:
  using Methods = std::map<std::string, Handler>;
  const Methods* Find(const std::string& path) const;

  std::map<std::string, Methods> exact_;
  std::map<std::string, Methods> prefixes_;  // Without the '*'.
};

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_ROUTER_H_
