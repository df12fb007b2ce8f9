#include "server/http/request_head.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace credbroker::http {
namespace {

constexpr absl::string_view kMethods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                          "PATCH", "DELETE", "OPTIONS"};

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

bool IsToken(absl::string_view text) { return !text.empty() && absl::c_all_of(text, IsTokenChar); }

bool CarriesBody(absl::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH" || method == "DELETE";
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Printable ASCII, every percent escape complete and not that of a control character.
bool IsCleanTarget(absl::string_view target) {
  for (size_t i = 0; i < target.size(); ++i) {
    const char c = target[i];
    if (c <= 0x20 || c >= 0x7f || c == '#' || c == '\\') return false;
    if (c != '%') continue;
    if (i + 2 >= target.size()) return false;
    const int high = HexDigit(target[i + 1]);
    const int low = HexDigit(target[i + 2]);
    if (high < 0 || low < 0) return false;
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

std::optional<Refusal> ParseRequestLine(absl::string_view line, const HeadLimits& limits,
                                        RequestHead& head) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3 || !IsToken(parts[0])) return Refusal{400, "malformed request line"};
  if (parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0") {
    return absl::StartsWith(parts[2], "HTTP/") ? Refusal{505, "HTTP version not supported"}
                                               : Refusal{400, "malformed request line"};
  }
  if (!absl::c_linear_search(kMethods, parts[0])) return Refusal{501, "method not implemented"};
  if (parts[1].size() > limits.max_target_bytes) return Refusal{414, "request target too long"};
  if (!absl::StartsWith(parts[1], "/") || !IsCleanTarget(parts[1])) {
    return Refusal{400, "malformed request target"};
  }
  head.method = std::string(parts[0]);
  head.target = std::string(parts[1]);
  head.keep_alive = parts[2] == "HTTP/1.1";
  return std::nullopt;
}

std::optional<Refusal> ParseHeaderLine(absl::string_view line, RequestHead& head) {
  const size_t colon = line.find(':');
  // A blank before the colon or at the start of the line (folding) is what smuggling is made of.
  if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Refusal{400, "malformed header"};
  }
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  for (const char c : value) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t') {
      return Refusal{400, "control character in a header"};
    }
  }
  head.headers.emplace_back(std::string(line.substr(0, colon)), std::string(value));
  return std::nullopt;
}

// What the headers say about the message itself.
struct Framing {
  int hosts = 0;
  int lengths = 0;
};

std::optional<Refusal> ApplyHeader(absl::string_view name, absl::string_view value,
                                   const HeadLimits& limits, RequestHead& head, Framing& framing) {
  if (absl::EqualsIgnoreCase(name, "host")) {
    ++framing.hosts;
  } else if (absl::EqualsIgnoreCase(name, "transfer-encoding")) {
    return Refusal{411, "send Content-Length; transfer encodings are not accepted"};
  } else if (absl::EqualsIgnoreCase(name, "content-length")) {
    uint64_t length = 0;
    const bool digits = !value.empty() && absl::c_all_of(value, [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c));
    });
    if (++framing.lengths > 1 || !digits) return Refusal{400, "malformed Content-Length"};
    if (!absl::SimpleAtoi(value, &length) || length > limits.max_body_bytes) {
      return Refusal{413, "body too large"};
    }
    head.content_length = length;
  } else if (absl::EqualsIgnoreCase(name, "connection")) {
    for (const absl::string_view option : absl::StrSplit(value, ',')) {
      const absl::string_view token = absl::StripAsciiWhitespace(option);
      if (absl::EqualsIgnoreCase(token, "close")) head.keep_alive = false;
    }
  } else if (absl::EqualsIgnoreCase(name, "expect")) {
    if (!absl::EqualsIgnoreCase(value, "100-continue")) return Refusal{417, "unknown expectation"};
    head.expects_continue = true;
  } else if (absl::EqualsIgnoreCase(name, "content-encoding")) {
    if (!absl::EqualsIgnoreCase(value, "identity")) return Refusal{415, "encoded body"};
  } else if (absl::EqualsIgnoreCase(name, "content-type")) {
    if (absl::StartsWithIgnoreCase(value, "multipart/")) return Refusal{415, "multipart body"};
  }
  return std::nullopt;
}

std::optional<Refusal> ParseHeaders(absl::string_view text, const HeadLimits& limits,
                                    RequestHead& head) {
  Framing framing;
  const bool is_1_1 = head.keep_alive;  // Set by the request line from the version alone.
  for (const absl::string_view line : absl::StrSplit(text, "\r\n", absl::SkipEmpty())) {
    if (line.size() > limits.max_header_bytes || head.headers.size() >= limits.max_headers) {
      return Refusal{431, "headers too large"};
    }
    if (const auto refusal = ParseHeaderLine(line, head)) return refusal;
    const auto& [name, value] = head.headers.back();
    if (const auto refusal = ApplyHeader(name, value, limits, head, framing)) return refusal;
  }
  if (framing.hosts > 1 || (is_1_1 && framing.hosts == 0)) {
    return Refusal{400, "exactly one Host is needed"};
  }
  if (head.content_length > 0 && !CarriesBody(head.method)) {
    return Refusal{400, "this method carries no body"};
  }
  return std::nullopt;
}

bool IsDropped(absl::string_view name) {
  constexpr absl::string_view kDropped[] = {
      "connection", "keep-alive",     "proxy-connection", "te",
      "trailer",    "upgrade",        "expect",           "range",
      "if-range",   "content-length", "accept-encoding"};
  return absl::c_any_of(kDropped, [name](absl::string_view dropped) {
    return absl::EqualsIgnoreCase(name, dropped);
  });
}

// A coding with a weight ("gzip;q=0" refuses it) is read as a refusal: plain is always right.
bool AcceptsGzip(absl::string_view accept_encoding) {
  for (const absl::string_view coding : absl::StrSplit(accept_encoding, ',')) {
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(coding), "gzip")) return true;
  }
  return false;
}

}  // namespace

std::string RequestHead::Rewritten() const {
  std::string text = absl::StrCat(method, " ", target, " HTTP/1.1\r\n");
  bool gzip = false, host = false;
  for (const auto& [name, value] : headers) {
    host = host || absl::EqualsIgnoreCase(name, "host");
    if (absl::EqualsIgnoreCase(name, "accept-encoding")) gzip = gzip || AcceptsGzip(value);
    if (!IsDropped(name)) absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  // HTTP/1.0 may have none, 1.1 has one, empty where nothing is known (RFC 9112 section 3.2).
  if (!host) text += "Host:\r\n";
  if (gzip) text += "Accept-Encoding: gzip\r\n";
  if (CarriesBody(method)) absl::StrAppend(&text, "Content-Length: ", content_length, "\r\n");
  if (!keep_alive) text += "Connection: close\r\n";
  text += "\r\n";
  return text;
}

HeadScan FindHeadEnd(absl::string_view bytes) {
  size_t line_start = 0;
  for (size_t at = bytes.find('\n'); at != absl::string_view::npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return {.size = 0, .bare_lf = true};
    if (at - 1 == line_start) return {.size = at + 1, .bare_lf = false};
    line_start = at + 1;
  }
  return {};
}

std::variant<RequestHead, Refusal> ParseRequestHead(absl::string_view head,
                                                    const HeadLimits& limits) {
  if (head.size() > limits.max_head_bytes) return Refusal{431, "headers too large"};
  const size_t line_end = head.find("\r\n");
  if (line_end == 0 || line_end == absl::string_view::npos) {
    return Refusal{400, "malformed request line"};
  }
  RequestHead result;
  if (const auto refusal = ParseRequestLine(head.substr(0, line_end), limits, result)) {
    return *refusal;
  }
  if (const auto refusal = ParseHeaders(head.substr(line_end + 2), limits, result)) {
    return *refusal;
  }
  return result;
}

}  // namespace credbroker::http
