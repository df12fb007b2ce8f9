// Heads of HTTP requests: no bytes crash the reader, and what it hands on to the HTTP library reads
// the same a second time, so that no two parsers see different requests.
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "core/check.h"
#include "server/http/request_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace http = credbroker::http;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const http::HeadScan scan = http::FindHeadEnd(bytes);
  CB_CHECK(scan.size <= size);
  if (scan.size == 0 || scan.bare_lf) return 0;
  const auto parsed = http::ParseRequestHead(bytes.substr(0, scan.size), {});
  const auto* head = std::get_if<http::RequestHead>(&parsed);
  if (head == nullptr) {
    const auto& refusal = std::get<http::Refusal>(parsed);
    CB_CHECK(refusal.status >= 400 && refusal.status < 600 && refusal.reason != nullptr);
    return 0;
  }
  const std::string rewritten = head->Rewritten();
  const http::HeadScan again = http::FindHeadEnd(rewritten);
  CB_CHECK(again.size == rewritten.size() && !again.bare_lf);
  http::HeadLimits wide;  // the rewritten one has a line or two more
  wide.max_head_bytes *= 2;
  wide.max_headers += 4;
  const auto second = http::ParseRequestHead(rewritten, wide);
  const auto* same = std::get_if<http::RequestHead>(&second);
  CB_CHECK(same != nullptr);
  CB_CHECK(same->method == head->method && same->target == head->target);
  CB_CHECK(same->content_length == head->content_length);
  return 0;
}
