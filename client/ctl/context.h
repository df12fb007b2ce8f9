// What a command works with: the broker's stubs, the output, and its global options.
//
// Not thread-safe.
#ifndef CREDBROKER_CLIENT_CTL_CONTEXT_H_
#define CREDBROKER_CLIENT_CTL_CONTEXT_H_

#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/ctl/call_error.h"
#include "client/ctl/environment.h"
#include "client/ctl/exit_code.h"
#include "client/ctl/table.h"
#include "credbroker/v1/admin.grpc.pb.h"
#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::ctl {

inline constexpr char kDefaultServer[] = "unix:/run/credbroker/broker.sock";
// Deadline of a call unless --timeout or the command says otherwise.
inline constexpr absl::Duration kCallTimeout = absl::Seconds(10);
// Of calls that may touch every credential.
inline constexpr absl::Duration kBulkTimeout = absl::Minutes(10);

enum class Output { kTable, kWide, kJson };
enum class ColorMode { kAuto, kAlways, kNever };

struct GlobalOptions {
  // As given; empty: CREDBROKER_SERVER, else kDefaultServer.
  std::string server;
  std::optional<absl::Duration> timeout;
  Output output = Output::kTable;
  ColorMode color = ColorMode::kAuto;
};

// The address for gRPC: "/path" becomes "unix:/path". INVALID_ARGUMENT unless it is a unix socket
// or host:port.
absl::StatusOr<std::string> ParseServer(absl::string_view text);

class Context {
 public:
  // REQUIRES: `options.server` is what ParseServer gave. `env` outlives this.
  Context(const Environment& env, GlobalOptions options);
  Context(const Context&) = delete;

  const Environment& env() const { return env_; }
  std::istream& in() const { return *env_.in; }
  std::ostream& out() const { return *env_.out; }
  std::ostream& err() const { return *env_.err; }
  absl::Time now() const { return env_.now(); }
  const Style& style() const { return style_; }
  bool json() const { return options_.output == Output::kJson; }
  bool wide() const { return options_.output == Output::kWide; }
  const GlobalOptions& options() const { return options_; }

  v1::BrokerService::Stub& broker();
  v1::AdminService::Stub& admin();
  // Sets the deadline: --timeout, else `timeout`; none if both are infinite.
  void Prepare(grpc::ClientContext& call, absl::Duration timeout) const;
  absl::Status Finish(const grpc::Status& status) const { return FromGrpc(status, server()); }
  const std::string& server() const { return options_.server; }

  // Calls `method` of the stub `service` once.
  template <typename Service, typename Request, typename Response>
  absl::StatusOr<Response> Call(Service& service,
                                grpc::Status (Service::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                                const Request& request, absl::Duration timeout = kCallTimeout) {
    grpc::ClientContext call;
    Prepare(call, timeout);
    Response response;
    const grpc::Status status = (service.*method)(&call, request, &response);
    if (!status.ok()) return Finish(status);
    return response;
  }

  // The response as protobuf JSON: lowerCamelCase names, fields without value included (so that
  // `jq .counts.waiting` is 0, not null), enums by name, 64-bit numbers as strings.
  void PrintJson(const google::protobuf::Message& message) const;
  // On one line, for streams.
  void PrintJsonLine(const google::protobuf::Message& message) const;

  // Says what went wrong on stderr. `subject` is put before it, if not empty.
  void PrintError(const absl::Status& status, absl::string_view subject = "") const;
  // For commands over several items: prints it, goes on. The exit code is kPartial if any item
  // was done, else that of the first failure.
  void ItemFailed(absl::string_view item, const absl::Status& status);
  void ItemDone() { ++done_; }
  ExitCode Code() const;

 private:
  const std::shared_ptr<grpc::Channel>& channel();

  const Environment& env_;
  const GlobalOptions options_;
  Style style_;
  int done_ = 0;
  std::optional<ExitCode> first_failure_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::BrokerService::Stub> broker_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_CONTEXT_H_
