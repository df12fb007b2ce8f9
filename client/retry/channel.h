// The way to a broker: addresses, TLS and channel settings.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_RETRY_CHANNEL_H_
#define CREDBROKER_CLIENT_RETRY_CHANNEL_H_

#include <memory>
#include <string>

#include <grpcpp/channel.h>

#include "absl/status/statusor.h"
#include "credbroker/client/client.h"

namespace credbroker::client {

// The address for gRPC. INVALID_ARGUMENT unless it is a unix socket or host:port.
absl::StatusOr<std::string> ParseAddress(absl::string_view text);
// A unix socket, localhost, 127.x.y.z or [::1].
bool IsLocalAddress(absl::string_view parsed);
// INVALID_ARGUMENT naming the option.
absl::Status CheckClientOptions(const ClientOptions& options);
// REQUIRES: the options were checked; `address` came from ParseAddress.
std::shared_ptr<grpc::Channel> MakeChannel(const ClientOptions& options,
                                           const std::string& address);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_RETRY_CHANNEL_H_
