// RawClient: a TCP connection that sends exactly what a test says, and reads with a time limit.
#ifndef CREDBROKER_TESTS_HTTP_RAW_CLIENT_H_
#define CREDBROKER_TESTS_HTTP_RAW_CLIENT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::http {

class RawClient {
 public:
  // Connects to 127.0.0.1; a read that waits longer than 10 s fails.
  explicit RawClient(int port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  // False if the peer has gone.
  bool Send(absl::string_view bytes);
  // No more from this side; the peer sees the end of the stream.
  void EndSending();
  // What comes until the peer closes. A reset ends it as well.
  std::string ReadAll();
  // One answer: its head, and as much body as Content-Length says.
  std::string ReadAnswer();

 private:
  bool Fill();

  int fd_;
  bool connected_ = false;
  std::string buffer_;
};

// One request on a connection of its own.
std::string Fetch(int port, absl::string_view request);
// "GET <path>" with Connection: close.
std::string Get(int port, absl::string_view path);
// The status code of an answer, 0 if it is none.
int StatusOf(absl::string_view answer);
std::string BodyOf(absl::string_view answer);

}  // namespace credbroker::http

#endif  // CREDBROKER_TESTS_HTTP_RAW_CLIENT_H_
