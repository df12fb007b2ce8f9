#include "client/retry/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

// Linux: sockaddr_un.sun_path.
constexpr size_t kMaxSocketPath = 107;

absl::Status Bad(absl::string_view what) { return LocalError(LocalReason::kInvalidArgument, what); }

}  // namespace

absl::StatusOr<std::string> ParseAddress(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return Bad(absl::StrCat("address: '", text, "' ", why,
                            "; give unix:/path, host:port or dns:///host:port"));
  };
  absl::string_view path;
  if (absl::StartsWith(text, "/")) {
    path = text;
  } else if (absl::StartsWith(text, "unix:")) {
    path = text.substr(5);
    if (absl::StartsWith(path, "///")) path.remove_prefix(2);
    if (path.empty()) return bad("has no path");
  }
  if (!path.empty()) {
    if (path.size() > kMaxSocketPath) return bad("is too long for a unix socket");
    return absl::StrCat("unix:", path);
  }
  absl::string_view host = text;
  if (absl::StartsWith(host, "dns:///")) host.remove_prefix(7);
  const size_t colon = host.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(host.substr(colon + 1), &port) || port < 1 || port > 65535 ||
      absl::StrContains(host, "/")) {
    return bad("is no address");
  }
  return absl::StrCat("dns:///", host);
}

bool IsLocalAddress(absl::string_view parsed) {
  if (absl::StartsWith(parsed, "unix:")) return true;
  const absl::string_view host = parsed.substr(absl::string_view("dns:///").size());
  return absl::StartsWith(host, "localhost:") || absl::StartsWith(host, "127.") ||
         absl::StartsWith(host, "[::1]:");
}

absl::Status CheckClientOptions(const ClientOptions& options) {
  const auto address = ParseAddress(options.address);
  if (!address.ok()) return address.status();
  if (options.tls.has_value() &&
      options.tls->certificate_chain.empty() != options.tls->private_key.empty()) {
    return Bad("tls: certificate_chain and private_key belong together");
  }
  if (!options.bearer_token.empty() && !options.tls.has_value() && !IsLocalAddress(*address)) {
    return Bad("bearer_token: refused without tls, except to a unix socket or loopback");
  }
  if (options.default_timeout <= absl::ZeroDuration()) {
    return Bad("default_timeout: must be more than 0");
  }
  if (options.max_attempts < 1 || options.max_attempts > 10) return Bad("max_attempts: 1 to 10");
  if (options.min_backoff <= absl::ZeroDuration() || options.max_backoff < options.min_backoff) {
    return Bad("min_backoff: more than 0, and at most max_backoff");
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> MakeChannel(const ClientOptions& options,
                                           const std::string& address) {
  grpc::ChannelArguments args;
  // round_robin connects anew in the moment in which a connection breaks: a whole fleet at once,
  // ahead of its jitter. A unix socket is one address; pick_first waits for the next call.
  args.SetLoadBalancingPolicyName(absl::StartsWith(address, "unix:") ? "pick_first"
                                                                     : "round_robin");
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetMaxReceiveMessageSize(64 << 20);
  // Counts per cause travel in the trailer; gRPC's 8 KiB is too near.
  args.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 64 << 10);
  // Sessions and retries back off by themselves; gRPC's 1 s to 120 s would only be in their way.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A channel of this client alone: its connection is not shared with other clients' of the
  // process.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options.tls.has_value()) {
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = options.tls->root_certificates;
    ssl.pem_cert_chain = options.tls->certificate_chain;
    ssl.pem_private_key = options.tls->private_key;
    credentials = grpc::SslCredentials(ssl);
    if (!options.tls->server_name.empty()) {
      args.SetSslTargetNameOverride(options.tls->server_name);
    }
  }
  return grpc::CreateCustomChannel(address, credentials, args);
}

}  // namespace credbroker::client
