// A broker, as its callers see it: single calls with retries, and sessions.
//
// Thread-safety: all functions may be called from any thread. Sessions may outlive the Client.
#ifndef CREDBROKER_CLIENT_CLIENT_H_
#define CREDBROKER_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/client/clock.h"
#include "credbroker/client/session.h"
#include "credbroker/v1/lease.pb.h"

namespace grpc {
class Channel;
}

namespace credbroker::client {

class ClientState;
class UnaryStub;

// TLS as PEM text. Without it the connection is plain.
struct TlsOptions {
  // Whom to trust. Empty: the system's roots.
  std::string root_certificates{};
  // The client's own certificate chain and key, both or none: mTLS.
  std::string certificate_chain{};
  std::string private_key{};
  // Expect this name in the server's certificate instead of the address.
  std::string server_name{};
};

struct ClientOptions {
  // "unix:/path" or "/path"; "dns:///host:port" or "host:port" (every address of the name is used
  // in turn). Required.
  std::string address{};
  std::optional<TlsOptions> tls{};
  // Sent as "authorization: Bearer ..." with every call. Refused without TLS, except to a unix
  // socket or loopback.
  std::string bearer_token{};
  // Of a call that names none: more than 0.
  absl::Duration default_timeout = absl::Seconds(10);
  // Attempts of one unary call, the first included: 1 to 10.
  int max_attempts = 4;
  // Bounds of the full-jitter backoff between attempts.
  absl::Duration min_backoff = absl::Milliseconds(50);
  absl::Duration max_backoff = absl::Seconds(5);
  // Null: the system's.
  std::shared_ptr<const Clock> clock{};
  std::shared_ptr<Sleeper> sleeper{};
  std::shared_ptr<Random> random{};
};

struct CallOptions {
  // In all, retries included; not set: default_timeout.
  std::optional<absl::Duration> timeout{};
  // Also wait for and repeat refusals that say when to come back (RESOURCE_EXHAUSTED with
  // RetryInfo), if that is within the timeout. Default: they are the caller's to judge.
  bool retry_refusals = false;
};

// Which calls are repeated after which error; client/retry/retry_policy.cc has the table:
//   UNAVAILABLE          Renew, Release, Report: always. Acquire: with a request_id; one is made up
//                        where the caller gave none, so that a repeat gets the same lease.
//   RESOURCE_EXHAUSTED   Acquire, with RetryInfo and retry_refusals.
//   anything else        never.
// The wait is the error's RetryInfo, if it has one, plus jitter; else full jitter below an
// exponential ceiling. A call whose next attempt would be due after its timeout fails at once with
// the error it has.
class Client {
 public:
  // INVALID_ARGUMENT naming the option. Connects on first use.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Single leases, for programs that make few calls; broker.proto says what they mean. A Grant
  // holds secrets in plain strings: see WipeSecrets.
  absl::StatusOr<v1::Grant> Acquire(v1::AcquireRequest request, const CallOptions& options = {});
  absl::StatusOr<v1::RenewResponse> Renew(const v1::RenewRequest& request,
                                          const CallOptions& options = {});
  absl::StatusOr<v1::ReleaseResponse> Release(const v1::ReleaseRequest& request,
                                              const CallOptions& options = {});
  absl::StatusOr<v1::ReportResponse> Report(const v1::ReportRequest& request,
                                            const CallOptions& options = {});

  // Starts a session; it connects in the background. INVALID_ARGUMENT naming the option.
  absl::StatusOr<std::unique_ptr<Session>> OpenSession(SessionOptions options);

  // The highest ownership epoch any answer carried; 0: none yet.
  int64_t epoch() const;
  // For stubs of other services (AdminService) over the same connection; include
  // <grpcpp/channel.h> to use it.
  std::shared_ptr<grpc::Channel> channel() const;

 private:
  explicit Client(std::shared_ptr<ClientState> state);

  std::shared_ptr<ClientState> state_;
};

// Overwrites the secret fields of a grant and leaves them empty.
void WipeSecrets(v1::Grant* grant);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_CLIENT_H_
