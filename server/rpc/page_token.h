// Page tokens: where a list goes on, bound to the query it belongs to. Opaque to callers, not
// secret: a token made up by hand can only page wrongly through what its maker may list anyway.
// Thread-safety: pure functions.
#ifndef CREDBROKER_SERVER_RPC_PAGE_TOKEN_H_
#define CREDBROKER_SERVER_RPC_PAGE_TOKEN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace credbroker::rpc {

// `query` is everything that must be the same on the next page, e.g. method, filter and order.
// REQUIRES: no part holds the byte 0x1f (ids are printable).
std::string EncodePageToken(absl::string_view query, const std::vector<std::string>& parts);
// The parts; nothing for a token that is not ours, is damaged, or belongs to another query.
std::optional<std::vector<std::string>> DecodePageToken(absl::string_view query,
                                                        absl::string_view token);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_PAGE_TOKEN_H_
