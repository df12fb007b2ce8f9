// Exchange: turns one complete request in memory into the bytes of its answer, with the HTTP
// library for decoding, compression and formatting. No socket, no waiting.
//
// Thread-safety: Answer may run on any number of threads at once.
#ifndef CREDBROKER_SERVER_HTTP_EXCHANGE_H_
#define CREDBROKER_SERVER_HTTP_EXCHANGE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "server/http/request_head.h"
#include "server/http/router.h"

namespace credbroker::http {

// The bytes of a JSON error that ends the connection.
std::string RefusalBytes(const Refusal& refusal);

class Exchange {
 public:
  Exchange(Router router, size_t max_body_bytes);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  struct Answer {
    std::string bytes;
    bool keep_alive = false;
  };
  // REQUIRES: body.size() == head.content_length. `last`: end the connection with this answer.
  Answer Run(const RequestHead& head, absl::string_view body, const std::string& remote_address,
             bool last) const;

 private:
  class Engine;
  const std::unique_ptr<Engine> engine_;
};

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_EXCHANGE_H_
