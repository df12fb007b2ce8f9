#include "credbroker/client/client.h"

#include <utility>

#include <grpcpp/client_context.h>

#include "absl/strings/str_cat.h"
#include "client/retry/channel.h"
#include "client/retry/unary_calls.h"
#include "client/session/grpc_stream.h"
#include "client/session/runner.h"
#include "client/session/target_check.h"

namespace credbroker::client {

class ClientState {
 public:
  explicit ClientState(ClientOptions options, const std::string& address)
      : options_(std::move(options)),
        address_(address),
        channel_(MakeChannel(options_, address)),
        calls_(MakeGrpcStub(channel_, Prepare()),
               {.max_attempts = options_.max_attempts,
                .min_backoff = options_.min_backoff,
                .max_backoff = options_.max_backoff,
                .clock = options_.clock,
                .sleeper = options_.sleeper,
                .random = options_.random},
               epochs_) {}

  const ClientOptions& options() const { return options_; }
  const std::string& address() const { return address_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const UnaryCalls& calls() const { return calls_; }
  const std::shared_ptr<EpochGate>& epochs() const { return epochs_; }

  // Sets what a call leaves open.
  CallOptions Complete(CallOptions options) const {
    if (!options.timeout.has_value()) options.timeout = options_.default_timeout;
    return options;
  }

  std::function<void(grpc::ClientContext&)> Prepare() const {
    if (options_.bearer_token.empty()) return nullptr;
    return [value = absl::StrCat("Bearer ", options_.bearer_token)](grpc::ClientContext& context) {
      context.AddMetadata("authorization", value);
    };
  }

 private:
  const ClientOptions options_;
  const std::shared_ptr<EpochGate> epochs_ = std::make_shared<EpochGate>();
  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  const UnaryCalls calls_;
};

absl::StatusOr<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  if (absl::Status bad = CheckClientOptions(options); !bad.ok()) return bad;
  if (options.clock == nullptr) options.clock = SystemClock();
  if (options.sleeper == nullptr) options.sleeper = SystemSleeper();
  if (options.random == nullptr) options.random = SystemRandom();
  const std::string address = *ParseAddress(options.address);
  return std::unique_ptr<Client>(
      new Client(std::make_shared<ClientState>(std::move(options), address)));
}

Client::Client(std::shared_ptr<ClientState> state) : state_(std::move(state)) {}
Client::~Client() = default;

absl::StatusOr<v1::Grant> Client::Acquire(v1::AcquireRequest request, const CallOptions& options) {
  return state_->calls().Acquire(std::move(request), state_->Complete(options));
}

absl::StatusOr<v1::RenewResponse> Client::Renew(const v1::RenewRequest& request,
                                                const CallOptions& options) {
  return state_->calls().Renew(request, state_->Complete(options));
}

absl::StatusOr<v1::ReleaseResponse> Client::Release(const v1::ReleaseRequest& request,
                                                    const CallOptions& options) {
  return state_->calls().Release(request, state_->Complete(options));
}

absl::StatusOr<v1::ReportResponse> Client::Report(const v1::ReportRequest& request,
                                                  const CallOptions& options) {
  return state_->calls().Report(request, state_->Complete(options));
}

absl::StatusOr<std::unique_ptr<Session>> Client::OpenSession(SessionOptions options) {
  if (absl::Status bad = CheckSessionOptions(options); !bad.ok()) return bad;
  GrpcStream::Options stream;
  stream.connect = [state = state_](const std::string& owner) {
    const auto address = ParseAddress(owner);
    // Where the credentials would go in plain text, an owner is not followed.
    const bool follow = !owner.empty() && address.ok() &&
                        (state->options().tls.has_value() || IsLocalAddress(*address));
    return MakeChannel(state->options(), follow ? *address : state->address());
  };
  stream.prepare = state_->Prepare();
  const SessionParts parts{state_->options().clock, state_->options().random, state_->epochs()};
  return std::make_unique<Session>(std::make_unique<SessionRunner>(
      std::move(options), parts, std::make_unique<GrpcStream>(std::move(stream))));
}

int64_t Client::epoch() const { return state_->epochs()->highest(); }
std::shared_ptr<grpc::Channel> Client::channel() const { return state_->channel(); }

}  // namespace credbroker::client
