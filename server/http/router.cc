#include "server/http/router.h"

#include <cassert>
#include <exception>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/obs/json_line.h"
#include "server/obs/log.h"

namespace credbroker::http {
namespace {

std::string AllowedMethods(const std::map<std::string, Router::Handler>& methods) {
  std::vector<std::string> names;
  for (const auto& [method, handler] : methods) {
    names.push_back(method);
    if (method == "GET") names.emplace_back("HEAD");
  }
  names.emplace_back("OPTIONS");
  return absl::StrJoin(names, ", ");
}

void AddDefault(Response& response, absl::string_view name, absl::string_view value) {
  if (!response.HasHeader(name)) response.SetHeader(name, value);
}

// What OWASP's list for headers asks of an API; the console brings its own policy.
void AddSecurityHeaders(Response& response) {
  AddDefault(response, "X-Content-Type-Options", "nosniff");
  AddDefault(response, "Cache-Control", "no-store");
  AddDefault(response, "Referrer-Policy", "no-referrer");
  AddDefault(response, "X-Frame-Options", "DENY");
  AddDefault(response, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
}

Response Call(const Router::Handler& handler, const Request& request) {
  try {
    return handler(request);
  } catch (const std::exception& error) {
    // The text may hold internals: it goes to the log, not to the caller.
    obs::LogError("http", "a handler failed", {{"path", request.path}, {"error", error.what()}});
  } catch (...) {
    obs::LogError("http", "a handler failed", {{"path", request.path}});
  }
  return ErrorResponse(500, "internal error");
}

}  // namespace

absl::string_view Request::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return {};
}

absl::string_view Request::Query(absl::string_view name) const {
  const auto found = query.find(std::string(name));
  return found == query.end() ? absl::string_view() : absl::string_view(found->second);
}

void Response::SetHeader(absl::string_view name, absl::string_view value) {
  std::string clean;
  for (const char c : value) {
    if (!absl::ascii_iscntrl(static_cast<unsigned char>(c))) clean += c;
  }
  for (auto& [key, old] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) {
      old = std::move(clean);
      return;
    }
  }
  headers.emplace_back(std::string(name), std::move(clean));
}

bool Response::HasHeader(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return true;
  }
  return false;
}

Response ErrorResponse(int status, absl::string_view message) {
  obs::JsonLine error(1024);
  error.AddLiteral("code", absl::StrCat(status));
  error.AddString("message", message);
  obs::JsonLine body(1024);
  body.AddLiteral("error", std::move(error).Finish());
  Response response;
  response.status = status;
  response.body = std::move(body).Finish() + "\n";
  return response;
}

void Router::Handle(absl::string_view method, absl::string_view path, Handler handler) {
  assert(absl::StartsWith(path, "/"));
  const bool is_prefix = absl::EndsWith(path, "/*");
  if (is_prefix) path.remove_suffix(1);
  auto& table = is_prefix ? prefixes_ : exact_;
  table[std::string(path)][std::string(method)] = std::move(handler);
}

const Router::Methods* Router::Find(const std::string& path) const {
  if (const auto found = exact_.find(path); found != exact_.end()) return &found->second;
  const Methods* best = nullptr;
  size_t best_length = 0;
  for (const auto& [prefix, methods] : prefixes_) {
    if (absl::StartsWith(path, prefix) && prefix.size() > best_length) {
      best = &methods;
      best_length = prefix.size();
    }
  }
  return best;
}

Response Router::Dispatch(const Request& request) const {
  Response response;
  const Methods* methods = Find(request.path);
  if (methods == nullptr) {
    response = ErrorResponse(404, "no such page");
  } else if (request.method == "OPTIONS") {
    response.status = 204;
    response.SetHeader("Allow", AllowedMethods(*methods));
  } else if (const auto found = methods->find(request.method == "HEAD" ? "GET" : request.method);
             found != methods->end()) {
    response = Call(found->second, request);
  } else {
    response = ErrorResponse(405, "method not allowed");
    response.SetHeader("Allow", AllowedMethods(*methods));
  }
  AddSecurityHeaders(response);
  return response;
}

}  // namespace credbroker::http
