#include "client/sidecar/settings.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/sidecar/http_field.h"
#include "server/config/problems.h"
#include "server/config/reader.h"
#include "server/config/yaml.h"

namespace credbroker::sidecar {
namespace {

using config::Item;
using config::Join;
using config::Problems;

constexpr size_t kMaxSocketPath = 107;
constexpr std::uintmax_t kMaxFileBytes = 1 << 20;

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

bool IsLoopback(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return false;
  }
  const absl::string_view host = address.substr(0, colon);
  return host == "[::1]" || (absl::StartsWith(host, "127.") &&
                             host.find_first_not_of("0123456789.") == absl::string_view::npos);
}

class Checker {
 public:
  Checker(Problems& problems, pb::Config& config) : problems_(problems), config_(config) {}

  void Run() {
    Broker();
    Listeners(*config_.mutable_grpc(), "grpc");
    Listeners(*config_.mutable_http(), "http");
    if (config_.grpc().empty() && config_.http().empty()) {
      problems_.Add("http", "no listener; give at least one under http or grpc");
    }
    if (config_.has_access_log()) Log();
    if (config_.routes_size() > 256) problems_.Add("routes", "more than 256; remove some");
    absl::flat_hash_set<std::string> names = {"defaults"};
    for (int i = 0; i < config_.routes_size(); ++i) {
      const std::string path = Item("routes", i);
      pb::Route& route = *config_.mutable_routes(i);
      if (!IsName(route.name())) {
        problems_.Add(Join(path, "name"), "required; 1 to 64 characters of [a-z0-9._-]");
      } else if (!names.insert(route.name()).second) {
        problems_.Add(Join(path, "name"), "is used twice; choose another");
      }
      if (route.providers().empty()) problems_.Add(Join(path, "providers"), "required; 1 to 16");
      Route(route, path);
    }
    pb::Route& defaults = *config_.mutable_defaults();
    if (!defaults.name().empty()) problems_.Add("defaults.name", "is not given here; remove it");
    if (defaults.has_match()) problems_.Add("defaults.match", "is not given here; remove it");
    defaults.set_name("defaults");
    Route(defaults, "defaults");
    Answers();
    Limits();
    if (config_.log_level().empty()) config_.set_log_level("info");
    for (const char* level : {"debug", "info", "warning", "error"}) {
      if (config_.log_level() == level) return;
    }
    problems_.Add("log_level", "is none of: debug, info, warning, error");
  }

 private:
  void Broker() {
    const pb::Broker& broker = config_.broker();
    if (broker.address().empty()) {
      problems_.Add("broker.address", "required; e.g. \"unix:/run/credbroker/broker.sock\"");
    }
    if (broker.instance().size() > 128) problems_.Add("broker.instance", "at most 128 bytes");
    if (broker.tls().certificate_file().empty() != broker.tls().key_file().empty()) {
      problems_.Add("broker.tls", "give certificate_file and key_file together, or neither");
    }
  }

  void Socket(pb::UnixSocket& socket, const std::string& path) {
    if (socket.path().empty() || socket.path()[0] != '/' || socket.path().size() > kMaxSocketPath) {
      problems_.Add(Join(path, "path"), "required; an absolute path of at most 107 bytes");
    } else if (!paths_.insert(socket.path()).second) {
      problems_.Add(Join(path, "path"), "is used twice; choose another");
    }
    if (socket.admitted_uids_size() > 64) {
      problems_.Add(Join(path, "admitted_uids"), "more than 64 uids; remove some");
    }
    if (socket.mode().empty()) {
      socket.set_mode(socket.admitted_uids().empty() ? "0600" : "0660");
    } else if (socket.mode().size() > 4 || socket.mode().size() < 3 ||
               socket.mode().find_first_not_of("01234567") != std::string::npos ||
               (socket.mode().size() == 4 && socket.mode()[0] != '0')) {
      problems_.Add(Join(path, "mode"), "is no permission mode; write octal digits like \"0660\"");
    }
  }

  void Listeners(google::protobuf::RepeatedPtrField<pb::Listener>& listeners,
                 const std::string& name) {
    if (listeners.size() > 16) problems_.Add(name, "more than 16 listeners; remove some");
    for (int i = 0; i < listeners.size(); ++i) {
      const std::string path = Item(name, i);
      if (listeners[i].has_unix_socket()) {
        Socket(*listeners[i].mutable_unix_socket(), Join(path, "unix_socket"));
      } else if (!IsLoopback(listeners[i].loopback())) {
        problems_.Add(Join(path, "loopback"),
                      "write a loopback address like \"127.0.0.1:7310\", or give unix_socket: "
                      "whoever reaches a listener gets credentials");
      }
    }
  }

  void Log() {
    pb::AccessLog& log = *config_.mutable_access_log();
    if (log.has_unix_socket()) Socket(*log.mutable_unix_socket(), "access_log.unix_socket");
    if (!log.udp().empty() && !IsLoopback(log.udp())) {
      problems_.Add("access_log.udp", "write a loopback address like \"127.0.0.1:5140\"");
    }
    if (!log.has_unix_socket() && log.udp().empty()) {
      problems_.Add("access_log", "gives no address; give unix_socket or udp, or remove it");
    }
  }

  void HeaderName(const std::string& value, const std::string& path) {
    if (!value.empty() && !IsFieldName(value)) problems_.Add(path, "is no header name");
  }

  static void Set(absl::Duration value, google::protobuf::Duration* span) {
    span->set_seconds(absl::ToInt64Seconds(value));
  }

  void Span(const google::protobuf::Duration& span, absl::Duration min, absl::Duration max,
            const std::string& path) {
    const absl::Duration value = ToDuration(span);
    if (value < min || value > max) {
      problems_.Add(path, absl::StrCat("is out of range; ", absl::FormatDuration(min), " to ",
                                       absl::FormatDuration(max)));
    }
  }

  void Route(pb::Route& route, const std::string& path) {
    if (route.group().empty()) route.set_group("default");
    if (!IsName(route.group())) {
      problems_.Add(Join(path, "group"), "1 to 64 characters of [a-z0-9._-]");
    }
    if (route.providers_size() > 16) problems_.Add(Join(path, "providers"), "at most 16");
    for (int i = 0; i < route.providers_size(); ++i) {
      if (!IsName(route.providers(i))) {
        problems_.Add(Item(Join(path, "providers"), i), "1 to 64 characters of [a-z0-9._-]");
      }
    }
    if (!IsCleanText(route.model(), 256)) problems_.Add(Join(path, "model"), "at most 256 bytes");
    HeaderName(route.model_header(), Join(path, "model_header"));
    HeaderName(route.session_header(), Join(path, "session_header"));
    HeaderName(route.shadow_fingerprint_header(), Join(path, "shadow_fingerprint_header"));
    for (const std::string* prefix : {&route.match().path_prefix(), &route.model_path_prefix()}) {
      if (!prefix->empty() && (*prefix)[0] != '/') {
        problems_.Add(Join(path, prefix == &route.model_path_prefix() ? "model_path_prefix"
                                                                      : "match.path_prefix"),
                      "must begin with \"/\"");
      }
    }
    if (route.match().headers().size() > 8) problems_.Add(Join(path, "match.headers"), "at most 8");
    for (const auto& [name, value] : route.match().headers()) {
      HeaderName(name.empty() ? " " : name, Join(path, "match.headers"));
    }
    if (!route.has_ttl()) Set(absl::Minutes(10), route.mutable_ttl());
    Span(route.ttl(), absl::Seconds(1), absl::Hours(1), Join(path, "ttl"));
    Span(route.max_wait(), absl::ZeroDuration(), absl::Seconds(30), Join(path, "max_wait"));
    if (!route.has_timeout()) Set(absl::Seconds(2), route.mutable_timeout());
    Span(route.timeout(), absl::Milliseconds(50), absl::Seconds(30), Join(path, "timeout"));
    if (!route.has_stock()) route.set_stock(64);
    Number(route.stock(), 0, 512, Join(path, "stock"));
    if (route.stock_models_size() > 64) problems_.Add(Join(path, "stock_models"), "at most 64");
    if (route.serve_last_max() == 0) route.set_serve_last_max(16);
    Number(route.serve_last_max(), 1, 100'000, Join(path, "serve_last_max"));
    if (route.when_away() == pb::WHEN_AWAY_UNSPECIFIED) {
      route.set_when_away(pb::WHEN_AWAY_FAIL_CLOSED);
    }
  }

  void Number(uint32_t value, uint32_t min, uint32_t max, const std::string& path) {
    if (value < min || value > max) {
      problems_.Add(path, absl::StrCat(value, " is out of range; ", min, " to ", max));
    }
  }

  void Answers() {
    pb::ForwardAuth& answers = *config_.mutable_forward_auth();
    if (!answers.header_prefix().empty() &&
        (!IsFieldName(answers.header_prefix()) || answers.header_prefix().size() > 64 ||
         absl::StartsWithIgnoreCase(answers.header_prefix(), "x-credbroker-"))) {
      problems_.Add("forward_auth.header_prefix",
                    "at most 64 bytes of a header name, not X-Credbroker-");
    }
    if (answers.allow_status() == 0) answers.set_allow_status(204);
    Number(answers.allow_status(), 200, 299, "forward_auth.allow_status");
    if (answers.deny_status() != 0) {
      Number(answers.deny_status(), 400, 599, "forward_auth.deny_status");
    }
    if (!answers.has_explicit_requests()) answers.set_explicit_requests(true);
  }

  void Limits() {
    pb::Limits& limits = *config_.mutable_limits();
    if (limits.max_leases() == 0) limits.set_max_leases(50'000);
    if (limits.max_targets() == 0) limits.set_max_targets(256);
    if (limits.max_connections() == 0) limits.set_max_connections(1'024);
    if (limits.http_threads() == 0) limits.set_http_threads(32);
    Number(limits.max_leases(), 1, 100'000, "limits.max_leases");
    Number(limits.max_targets(), 1, 4'096, "limits.max_targets");
    Number(limits.max_connections(), 1, 65'536, "limits.max_connections");
    Number(limits.http_threads(), 1, 256, "limits.http_threads");
    Number(limits.grpc_threads(), 0, 64, "limits.grpc_threads");
    if (!limits.has_ended_retention()) Set(absl::Minutes(10), limits.mutable_ended_retention());
    Span(limits.ended_retention(), absl::ZeroDuration(), absl::Hours(1), "limits.ended_retention");
    if (!limits.has_drain_timeout()) Set(absl::Seconds(5), limits.mutable_drain_timeout());
    Span(limits.drain_timeout(), absl::ZeroDuration(), absl::Seconds(60), "limits.drain_timeout");
  }

  Problems& problems_;
  pb::Config& config_;
  absl::flat_hash_set<std::string> paths_;
};

void ResolvePaths(absl::string_view name, pb::Config& config) {
  std::error_code error;
  const std::filesystem::path file =
      std::filesystem::absolute(std::filesystem::path(std::string(name)), error);
  if (error || !config.has_broker()) return;
  pb::Broker& broker = *config.mutable_broker();
  std::vector<std::string*> paths = {broker.mutable_token_file()};
  if (broker.has_tls()) {
    paths.push_back(broker.mutable_tls()->mutable_roots_file());
    paths.push_back(broker.mutable_tls()->mutable_certificate_file());
    paths.push_back(broker.mutable_tls()->mutable_key_file());
  }
  for (std::string* path : paths) {
    if (!path->empty() && (*path)[0] != '/') {
      *path = (file.parent_path() / *path).lexically_normal().string();
    }
  }
}

void SetAddress(absl::string_view text, pb::Listener* listener) {
  if (absl::ConsumePrefix(&text, "unix:") || absl::StartsWith(text, "/")) {
    listener->mutable_unix_socket()->set_path(std::string(text));
  } else {
    listener->set_loopback(std::string(text));
  }
}

}  // namespace

absl::Duration ToDuration(const google::protobuf::Duration& span) {
  return absl::Seconds(span.seconds()) + absl::Nanoseconds(span.nanos());
}

absl::StatusOr<pb::Config> LoadSettings(absl::string_view name, absl::string_view text) {
  Problems problems(name);
  const std::optional<config::Node> root = config::ParseYaml(text, problems);
  if (!root.has_value()) return problems.ToStatus();
  pb::Config config;
  config::ReadMessage(*root, problems, config);
  ResolvePaths(name, config);
  Checker(problems, config).Run();
  if (!problems.empty()) return problems.ToStatus();
  return config;
}

absl::StatusOr<pb::Config> LoadSettingsFile(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":1:1: is no file; name a YAML file"));
  }
  if (static_cast<std::uintmax_t>(info.st_size) > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":1:1: is larger than 1 MiB"));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return absl::UnavailableError(absl::StrCat("cannot read ", path));
  return LoadSettings(path, text);
}

absl::StatusOr<pb::Config> MakeSettings(const SimpleSettings& simple) {
  Problems problems("command line");
  pb::Config config;
  config.mutable_broker()->set_address(simple.broker);
  if (!simple.listen.empty()) SetAddress(simple.listen, config.add_grpc());
  if (!simple.http.empty()) SetAddress(simple.http, config.add_http());
  Checker(problems, config).Run();
  if (!problems.empty()) return problems.ToStatus();
  return config;
}

}  // namespace credbroker::sidecar
