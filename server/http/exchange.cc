#include "server/http/exchange.h"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace credbroker::http {
namespace {

// The library's view of a connection: bytes that are all there, an answer that is collected.
class MemoryStream : public httplib::Stream {
 public:
  MemoryStream(std::string input, const std::string& remote_address)
      : input_(std::move(input)), remote_address_(remote_address) {}

  bool is_readable() const override { return at_ < input_.size(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    const size_t take = std::min(size, input_.size() - at_);
    std::memcpy(out, input_.data() + at_, take);
    at_ += take;
    return static_cast<ssize_t>(take);
  }
  ssize_t write(const char* bytes, size_t size) override {
    output_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = remote_address_;
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return INVALID_SOCKET; }

  bool consumed() const { return at_ == input_.size(); }
  std::string TakeOutput() { return std::move(output_); }

 private:
  const std::string input_;
  const std::string& remote_address_;
  size_t at_ = 0;
  std::string output_;
};

Request FromLibrary(const httplib::Request& from) {
  Request request;
  request.method = from.method;
  request.path = from.path;
  request.query.insert(from.params.begin(), from.params.end());
  request.headers.assign(from.headers.begin(), from.headers.end());
  request.body = from.body;
  request.remote_address = from.remote_addr;
  return request;
}

void ToLibrary(const Response& from, httplib::Response& response) {
  response.status = from.status;
  for (const auto& [name, value] : from.headers) response.set_header(name, value);
  if (from.status != 204 && from.status != 304) {
    response.set_content(from.body, from.content_type);
  }
}

}  // namespace

class Exchange::Engine : public httplib::Server {
 public:
  Engine(Router router, size_t max_body_bytes) : router_(std::move(router)) {
    set_payload_max_length(max_body_bytes);
    const auto answer = [this](const httplib::Request& request, httplib::Response& response) {
      ToLibrary(router_.Dispatch(FromLibrary(request)), response);
    };
    // Without a body to read, the library's table of regular expressions is not needed.
    set_pre_routing_handler([answer](const httplib::Request& request, httplib::Response& response) {
      if (request.has_header("Content-Length")) return HandlerResponse::Unhandled;
      answer(request, response);
      return HandlerResponse::Handled;
    });
    Post(".*", answer);
    Put(".*", answer);
    Patch(".*", answer);
    Delete(".*", answer);
    // What the library refuses by itself.
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      ToLibrary(ErrorResponse(response.status, "request refused"), response);
    });
  }

  Answer Run(const RequestHead& head, absl::string_view body, const std::string& remote_address,
             bool last) {
    std::string input = head.Rewritten();
    input.append(body.data(), body.size());
    MemoryStream stream(std::move(input), remote_address);
    const bool close = last || !head.keep_alive;
    bool closed = false;
    const bool ok = process_request(stream, close, closed, [](httplib::Request&) {});
    Answer answer;
    answer.keep_alive = ok && !close && !closed && stream.consumed();
    answer.bytes = stream.TakeOutput();
    if (answer.bytes.empty()) {
      answer = {RefusalBytes({400, "request refused"}), false};
    }
    return answer;
  }

 private:
  const Router router_;
};

std::string RefusalBytes(const Refusal& refusal) {
  const std::string body = ErrorResponse(refusal.status, refusal.reason).body;
  return absl::StrCat("HTTP/1.1 ", refusal.status, " ", refusal.reason,
                      "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
                      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                      "Connection: close\r\n\r\n",
                      body);
}

Exchange::Exchange(Router router, size_t max_body_bytes)
    : engine_(std::make_unique<Engine>(std::move(router), max_body_bytes)) {}

Exchange::~Exchange() = default;

Exchange::Answer Exchange::Run(const RequestHead& head, absl::string_view body,
                               const std::string& remote_address, bool last) const {
  return engine_->Run(head, body, remote_address, last);
}

}  // namespace credbroker::http
