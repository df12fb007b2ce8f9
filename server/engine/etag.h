// The etag of a credential: "<uid>.<revision>" in lower-case hex. It covers document and intent,
// not availability. Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_ENGINE_ETAG_H_
#define CREDBROKER_SERVER_ENGINE_ETAG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "core/ids.h"

namespace credbroker::engine {

struct Etag {
  core::Uid uid;
  uint64_t revision = 0;
  friend bool operator==(const Etag&, const Etag&) = default;
};

std::string EtagText(const Etag& etag);
// Nothing for any text EtagText would not write.
std::optional<Etag> ParseEtag(absl::string_view text);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_ETAG_H_
