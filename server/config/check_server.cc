#include <cstddef>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/config/check.h"

namespace credbroker::config {
namespace {

constexpr size_t kMaxSocketPath = 107;  // sockaddr_un, unix(7), and the NUL that ends it

struct HostPort {
  std::string host;
  int port = 0;
};

std::optional<HostPort> ParseHostPort(absl::string_view text) {
  HostPort out;
  absl::string_view rest;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return std::nullopt;
    out.host = std::string(text.substr(1, end - 1));
    rest = text.substr(end + 1);
    if (out.host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string::npos) {
      return std::nullopt;
    }
  } else {
    const size_t colon = text.find(':');
    if (colon == absl::string_view::npos) return std::nullopt;
    out.host = std::string(text.substr(0, colon));
    rest = text.substr(colon);
    if (out.host.find_first_of(" /@\"'") != std::string::npos) return std::nullopt;
  }
  if (out.host.empty() || !absl::StartsWith(rest, ":")) return std::nullopt;
  rest.remove_prefix(1);
  if (rest.empty() || rest.size() > 5 ||
      rest.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(rest, &out.port) || out.port > 65535) {
    return std::nullopt;
  }
  return out;
}

// 127.0.0.0/8 written out in full, ::1, and the one name that RFC 6761 binds to them.
bool IsLoopback(absl::string_view host) {
  if (host == "::1" || host == "localhost") return true;
  int parts = 0;
  if (!absl::StartsWith(host, "127.")) return false;
  while (true) {
    const size_t dot = host.find('.');
    const absl::string_view part = host.substr(0, dot);
    int number = 0;
    if (part.empty() || part.size() > 3 ||
        part.find_first_not_of("0123456789") != absl::string_view::npos ||
        !absl::SimpleAtoi(part, &number) || number > 255) {
      return false;
    }
    ++parts;
    if (dot == absl::string_view::npos) return parts == 4;
    host.remove_prefix(dot + 1);
  }
}

class ServerCheck {
 public:
  ServerCheck(const v1::Config& config, Problems& problems)
      : config_(config), problems_(problems) {}

  void Run() {
    const v1::Listeners& listeners = config_.listeners();
    if (listeners.data().empty() && listeners.admin().empty()) {
      problems_.Add("listeners", "no listener; give at least one under listeners.data");
    }
    Listeners(listeners.data(), "listeners.data");
    Listeners(listeners.admin(), "listeners.admin");
    if (config_.has_http()) Address(config_.http().address(), "http.address");
    Store();
  }

 private:
  void Listeners(const google::protobuf::RepeatedPtrField<v1::Listener>& list,
                 const std::string& path) {
    if (list.size() > 64) problems_.Add(path, "more than 64 listeners; remove some");
    for (int i = 0; i < list.size(); ++i) {
      const std::string item = Item(path, i);
      switch (list[i].address_case()) {
        case v1::Listener::kUnixSocket:
          Unix(list[i].unix_socket(), Join(item, "unix_socket"));
          break;
        case v1::Listener::kTcp:
          Tcp(list[i].tcp(), Join(item, "tcp"));
          break;
        case v1::Listener::ADDRESS_NOT_SET:
          problems_.Add(item, "no address; give unix_socket or tcp");
      }
    }
  }

  void Unix(const v1::UnixListener& listener, const std::string& path) {
    const std::string& file = listener.path();
    const std::string at = Join(path, "path");
    if (file.empty()) {
      problems_.Add(at, "required; the absolute path of the socket");
    } else if (file[0] != '/') {
      problems_.Add(at, absl::StrCat(Quoted(file), " is relative; write an absolute path"));
    } else if (file.size() > kMaxSocketPath) {
      problems_.Add(at, absl::StrCat("has ", file.size(), " bytes; a socket's path has at most ",
                                     kMaxSocketPath));
    } else {
      Once(absl::StrCat("unix:", file), at);
    }
    if (listener.admitted_uids_size() > 64) {
      problems_.Add(Join(path, "admitted_uids"), "more than 64 uids; remove some");
    }
    const std::string& mode = listener.mode();
    if (mode.empty()) return;
    const bool octal = mode.size() >= 3 && mode.size() <= 4 &&
                       mode.find_first_not_of("01234567") == std::string::npos &&
                       (mode.size() == 3 || mode[0] == '0');
    if (!octal) {
      problems_.Add(Join(path, "mode"), absl::StrCat(Quoted(mode),
                                                     " is no permission mode; write "
                                                     "octal digits like \"0660\""));
    }
  }

  void Tcp(const v1::TcpListener& listener, const std::string& path) {
    const std::string at = Join(path, "address");
    const std::optional<HostPort> address = Address(listener.address(), at);
    if (!listener.plaintext()) {
      problems_.Add(path,
                    "TLS is not available yet; set plaintext: true on a loopback address, or "
                    "use a unix_socket");
    } else if (address.has_value() && !IsLoopback(address->host)) {
      problems_.Add(at, absl::StrCat(Quoted(listener.address()),
                                     " is not loopback; plaintext is served on 127.0.0.1 or [::1] "
                                     "only"));
    }
  }

  std::optional<HostPort> Address(const std::string& text, const std::string& at) {
    if (text.empty()) {
      problems_.Add(at, "required; host:port, like 127.0.0.1:7300");
      return std::nullopt;
    }
    const std::optional<HostPort> out = ParseHostPort(text);
    if (!out.has_value()) {
      problems_.Add(at, absl::StrCat(Quoted(text),
                                     " is no address; write host:port, IPv6 as "
                                     "[::1]:7300"));
    } else if (out->port != 0) {
      Once(absl::StrCat(out->host, ":", out->port), at);
    }
    return out;
  }

  void Once(const std::string& address, const std::string& at) {
    const auto [it, first] = addresses_.try_emplace(address, at);
    if (!first) problems_.Add(at, absl::StrCat("is the address of ", it->second, "; use another"));
  }

  void Store() {
    const v1::Store& store = config_.store();
    switch (store.backend_case()) {
      case v1::Store::BACKEND_NOT_SET:
        problems_.Add("store", "required; give sqlite with a path, or memory: {} for a trial");
        break;
      case v1::Store::kSqlite:
        if (store.sqlite().path().empty()) {
          problems_.Add("store.sqlite.path", "required; the file of the database");
        }
        if (!config_.has_keyring()) {
          problems_.Add("keyring", "required with store.sqlite; give the path of the sealing keys");
        }
        break;
      case v1::Store::kMemory:
        break;
    }
    if (!config_.has_keyring()) return;
    if (config_.keyring().path().empty()) {
      problems_.Add("keyring.path", "required; the file of the sealing keys");
    } else if (config_.keyring().path() == store.sqlite().path()) {
      problems_.Add("keyring.path", "is the file of store.sqlite; use another");
    }
  }

  const v1::Config& config_;
  Problems& problems_;
  absl::flat_hash_map<std::string, std::string> addresses_;  // -> where it was given
};

}  // namespace

void CheckServer(const v1::Config& config, Problems& problems) {
  ServerCheck(config, problems).Run();
}

}  // namespace credbroker::config
