#include "client/ctl/context.h"

#include <chrono>
#include <utility>

#include <google/protobuf/util/json_util.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/display.h"

namespace credbroker::ctl {
namespace {

// Linux: sockaddr_un.sun_path.
constexpr size_t kMaxSocketPath = 107;

Style StyleOf(const Environment& env, const GlobalOptions& options) {
  Style style;
  switch (options.color) {
    case ColorMode::kAlways:
      style.color = true;
      break;
    case ColorMode::kNever:
      break;
    case ColorMode::kAuto:  // https://no-color.org
      style.color =
          env.out_is_terminal && env.variable("NO_COLOR").empty() && env.variable("TERM") != "dumb";
  }
  if (env.out_is_terminal) style.width = env.terminal_width;
  return style;
}

std::string Json(const google::protobuf::Message& message, bool lines) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = lines;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return "{}";  // only for an Any of an unknown type
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

absl::StatusOr<std::string> ParseServer(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--server: '", text, "' ", why, "; give unix:/path or host:port"));
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
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535 ||
      absl::StrContains(text, "/")) {
    return bad("is no address");
  }
  return std::string(text);
}

Context::Context(const Environment& env, GlobalOptions options)
    : env_(env), options_(std::move(options)), style_(StyleOf(env, options_)) {}

const std::shared_ptr<grpc::Channel>& Context::channel() {
  if (channel_ == nullptr) {
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(-1);
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Counts per cause travel in the trailer; gRPC's 8 KiB is too near.
    args.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 64 << 10);
    channel_ = grpc::CreateCustomChannel(options_.server, grpc::InsecureChannelCredentials(), args);
  }
  return channel_;
}

v1::BrokerService::Stub& Context::broker() {
  if (broker_ == nullptr) broker_ = v1::BrokerService::NewStub(channel());
  return *broker_;
}

v1::AdminService::Stub& Context::admin() {
  if (admin_ == nullptr) admin_ = v1::AdminService::NewStub(channel());
  return *admin_;
}

void Context::Prepare(grpc::ClientContext& call, absl::Duration timeout) const {
  if (options_.timeout.has_value()) timeout = *options_.timeout;
  // The real clock, also where tests show another: gRPC compares with it.
  if (timeout != absl::InfiniteDuration()) {
    call.set_deadline(std::chrono::system_clock::now() +
                      std::chrono::microseconds(absl::ToInt64Microseconds(timeout)));
  }
}

void Context::PrintJson(const google::protobuf::Message& message) const {
  out() << Json(message, true) << '\n';
}

void Context::PrintJsonLine(const google::protobuf::Message& message) const {
  out() << Json(message, false) << '\n' << std::flush;
}

void Context::PrintError(const absl::Status& status, absl::string_view subject) const {
  err() << "credbrokerctl: ";
  if (!subject.empty()) err() << Printable(subject) << ": ";
  err() << ErrorText(status) << '\n';
}

void Context::ItemFailed(absl::string_view item, const absl::Status& status) {
  PrintError(status, item);
  if (!first_failure_.has_value()) first_failure_ = ExitCodeOf(status);
}

ExitCode Context::Code() const {
  if (!first_failure_.has_value()) return ExitCode::kOk;
  return done_ > 0 ? ExitCode::kPartial : *first_failure_;
}

}  // namespace credbroker::ctl
