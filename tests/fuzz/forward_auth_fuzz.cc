// Any bytes as an HTTP request for a lease: no crash; what is asked of the broker is within its
// bounds; an answer is one well-formed head that ends where it should, whatever was sent.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/sidecar/check_request.h"
#include "client/sidecar/http_field.h"
#include "client/sidecar/pages.h"
#include "server/http/exchange.h"
#include "server/http/request_head.h"
#include "tests/sidecar/fake_source.h"

namespace {

namespace http = credbroker::http;
namespace sidecar = credbroker::sidecar;

constexpr char kConfig[] = R"(
routes:
  - {name: a, match: {host: "*.example.com", path_prefix: /v1/}, providers: [claude],
     model_query: model}
  - {name: b, match: {headers: {x-team: blue}}, providers: [openai], model_header: x-model}
  - {name: c, match: {path_prefix: /v1beta/}, providers: [gemini],
     model_path_prefix: /v1beta/models/}
  - {name: d, match: {host: shadow}, providers: [claude], shadow: true, session_header: x-s}
)";

struct World {
  World() : office(kConfig, 1'000'000) {
    office.source.up = false;
    http::Router router;
    sidecar::AddPages(router, {.answers = &office.config.forward_auth(),
                               .routes = &office.routes,
                               .desk = office.desk.get(),
                               .metrics = &office.metrics});
    exchange = std::make_unique<http::Exchange>(std::move(router), 1 << 20);
  }
  sidecar::Office office;
  std::unique_ptr<http::Exchange> exchange;
};

void CheckAnswer(absl::string_view answer) {
  const size_t end = answer.find("\r\n\r\n");
  if (!absl::StartsWith(answer, "HTTP/1.1 ") || end == absl::string_view::npos) std::abort();
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(answer.substr(0, end), "\r\n")) {
    const size_t colon = line.find(": ");
    if (!first &&
        (colon == absl::string_view::npos || !sidecar::IsFieldName(line.substr(0, colon)) ||
         !sidecar::IsFieldValue(line.substr(colon + 2)))) {
      std::abort();
    }
    first = false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* const world = new World;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const http::HeadScan scan = http::FindHeadEnd(bytes);
  if (scan.size == 0) return 0;
  auto head = http::ParseRequestHead(bytes.substr(0, scan.size), {});
  if (const auto* refusal = std::get_if<http::Refusal>(&head)) {
    if (refusal->status < 400 || refusal->status > 599) std::abort();
    return 0;
  }
  auto& request = std::get<http::RequestHead>(head);
  const absl::string_view body = bytes.substr(scan.size);
  if (body.size() < request.content_length) return 0;
  const auto answer =
      world->exchange->Run(request, body.substr(0, request.content_length), "unix", true);
  CheckAnswer(answer.bytes);
  for (const auto& asked : world->office.source.asked) {
    if (sidecar::Check(asked).has_value()) std::abort();
  }
  world->office.source.asked.clear();
  world->office.source.routes.clear();
  world->office.source.timeouts.clear();
  world->office.desk->ReturnAll();
  world->office.source.seen = {};
  return 0;
}
