// Strict reading of an HTTP/1 request head (RFC 9112), before the HTTP library sees it.
//
// The packaged library is lenient: it bounds neither the number of headers nor the time, takes
// bare line feeds and reads the body by whichever length header it looks at first. So a head is
// checked here and handed on rewritten. Refused with a reason: anything two parsers could read
// differently (both lengths, repeated lengths, folded or odd headers, bare LF), chunked bodies
// (clients of this port know their length), encoded and multipart bodies.
//
// Thread-safety: plain functions and values.
#ifndef CREDBROKER_SERVER_HTTP_REQUEST_HEAD_H_
#define CREDBROKER_SERVER_HTTP_REQUEST_HEAD_H_

#include <cstddef>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace credbroker::http {

struct HeadLimits {
  size_t max_head_bytes = 16 * 1024;
  size_t max_target_bytes = 2048;
  size_t max_header_bytes = 8000;  // One line; the library's own limit is 8192.
  size_t max_headers = 64;
  size_t max_body_bytes = 64 * 1024;
};

struct Refusal {
  int status;
  const char* reason;
};

struct RequestHead {
  std::string method;
  std::string target;  // Origin form.
  std::vector<std::pair<std::string, std::string>> headers;
  size_t content_length = 0;
  bool keep_alive = true;
  bool expects_continue = false;

  // The head as the library gets it: one length, nothing about the connection, no Range (nothing
  // here is worth a partial answer), gzip as the only encoding.
  std::string Rewritten() const;
};

// Looks for the end of the head in what arrived so far.
struct HeadScan {
  size_t size = 0;       // Of the head with its empty line; 0: not complete.
  bool bare_lf = false;  // A line feed without carriage return: refuse at once.
};
HeadScan FindHeadEnd(absl::string_view bytes);

// REQUIRES: `head` ends with the first empty line.
std::variant<RequestHead, Refusal> ParseRequestHead(absl::string_view head,
                                                    const HeadLimits& limits);

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_REQUEST_HEAD_H_
