#include "client/sidecar/access_log.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/sidecar/check_request.h"
#include "client/sidecar/json_input.h"
#include "client/sidecar/lease_table.h"

namespace credbroker::sidecar {
namespace {

using nlohmann::json;

constexpr size_t kMaxFramingBytes = 512;
constexpr int kClientClosed = 499;  // nginx: the client went away before it had its answer

absl::Status Malformed(absl::string_view what) { return absl::InvalidArgumentError(what); }

// The object after "<134>Nov 23 13:34:00 host nginx: ", or what else frames it.
absl::StatusOr<std::string> Payload(absl::string_view datagram) {
  if (datagram.size() > kMaxDatagramBytes) return Malformed("longer than 64 KiB");
  if (absl::StartsWith(datagram, "<")) {
    const size_t end = datagram.find('>');
    int priority = 0;
    if (end > 4 ||  // or npos
        !absl::SimpleAtoi(datagram.substr(1, end - 1), &priority) || priority < 0 ||
        priority > 191) {
      return Malformed("a syslog priority that is none");
    }
  }
  const size_t begin = datagram.find('{');
  if (begin > kMaxFramingBytes) {  // or npos
    return Malformed("no JSON object");
  }
  std::string text(datagram.substr(begin));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
  // Proxies log bytes as they came. Everything read here is ASCII, so one odd byte in some other
  // field is no reason to lose a report.
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return text;
}

// The last of "502, 200" or "502 : 200": several upstreams were tried with the one lease.
absl::string_view Last(absl::string_view list) {
  const size_t at = list.find_last_of(",:");
  return absl::StripAsciiWhitespace(at == absl::string_view::npos ? list : list.substr(at + 1));
}

// A member as text, whether it is text or a number. nullopt: neither.
std::optional<std::string> Word(const json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number()) return found->dump();
  return std::nullopt;
}

// Of Caddy: response headers, as arrays. Its "request" has the headers the end user sent, of which
// none may name a lease.
std::string LeaseIn(const json& line, const char* member) {
  const auto found = line.find(member);
  if (found == line.end() || !found->is_object()) return "";
  for (const auto& [name, value] : found->items()) {
    if (!absl::EqualsIgnoreCase(name, "x-credbroker-lease")) continue;
    if (value.is_string()) return value.get<std::string>();
    if (value.is_array() && value.size() == 1 && value[0].is_string()) {
      return value[0].get<std::string>();
    }
  }
  return "";
}

// What a configuration of Caddy put into "user_id", the one field of its log that it can fill: the
// lease, and the status of an error that was Caddy's own.
struct CaddyWords {
  std::string lease;
  int error = 0;
};

std::optional<CaddyWords> CaddyWordsOf(const json& line) {
  if (line.contains("lease") || !line.contains("resp_headers")) return std::nullopt;
  CaddyWords words;
  const std::string text = TextOf(line, "user_id").value_or("");
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(' ', 1));
  // Elsewhere it is the name of a user.
  if (ParseLeaseId(parts.first).has_value()) words.lease = std::string(parts.first);
  if (!absl::SimpleAtoi(parts.second, &words.error)) words.error = 0;
  return words;
}

std::string LeaseOf(const json& line, const std::optional<CaddyWords>& caddy) {
  if (caddy.has_value() && !caddy->lease.empty()) return caddy->lease;
  if (const auto lease = TextOf(line, "lease"); lease.has_value() && !lease->empty()) {
    return *lease == "-" ? "" : *lease;
  }
  std::string lease = LeaseIn(line, "resp_headers");
  return lease.empty() ? LeaseIn(line, "headers") : lease;
}

void ReadHeaders(const json& line, api::ReportItem* item) {
  constexpr absl::string_view kUpstream = "upstream_http_";
  for (const char* member : {"headers", "resp_headers"}) {
    if (const auto found = line.find(member); found != line.end()) AddHeaders(*found, item);
  }
  for (const auto& [name, value] : line.items()) {
    absl::string_view key = name;
    const bool upstream = absl::ConsumePrefix(&key, kUpstream);
    if ((!upstream && key != "retry_after") || !value.is_string()) continue;
    // Of several upstreams only the last one's header is the answer's; a date has a comma of its
    // own, so only nginx's " : " and a list of equal numbers could be cut. The whole is kept.
    AddHeader(absl::StrReplaceAll(key, {{"_", "-"}}), value.get_ref<const std::string&>(), item);
  }
}

api::NetworkErrorKind KindOf(int status, const json& line) {
  if (status == 504) return api::NETWORK_ERROR_KIND_TIMEOUT;
  const auto connect = Word(line, "upstream_connect_time");
  if (connect.has_value() && !connect->empty() && Last(*connect) == "-") {
    return api::NETWORK_ERROR_KIND_CONNECT;
  }
  return api::NETWORK_ERROR_KIND_RESET;
}

struct Statuses {
  int answered = 0;  // what the proxy's client got
  int upstream = 0;  // what the upstream said last; 0: not known
  bool upstream_given = false;
  int broken = 0;  // the proxy's own error; 0: none
};

absl::StatusOr<Statuses> ReadStatuses(const json& line) {
  Statuses statuses;
  const std::optional<int> answered = StatusOf(line, "status");
  const std::optional<std::string> upstream = Word(line, "upstream_status");
  if (!answered.has_value() || !upstream.has_value()) return Malformed("a status that is none");
  statuses.answered = *answered;
  statuses.upstream_given = line.contains("upstream_status");
  const absl::string_view last = Last(*upstream);
  if (last.empty() || last == "-" || last == "000") return statuses;
  if (last.size() != 3 || !absl::SimpleAtoi(last, &statuses.upstream) || statuses.upstream < 100 ||
      statuses.upstream > 599) {
    return Malformed("an upstream_status that is none");
  }
  return statuses;
}

// Caddy logs 0 when its client left before there was an answer, and its own errors as if they were
// the upstream's.
void ApplyCaddy(const CaddyWords& words, Statuses* statuses) {
  if (statuses->answered == 0 || words.error == kClientClosed) {
    statuses->answered = kClientClosed;
  } else if (words.error >= 500) {
    statuses->broken = words.error;
  }
}

// What happened, from what was logged. False: the upstream was never asked.
bool Judge(const json& line, const Statuses& statuses, api::ReportItem* item) {
  const auto network = [item](api::NetworkErrorKind kind) {
    item->set_outcome(api::OUTCOME_NETWORK_ERROR);
    item->set_network_error(kind);
    return true;
  };
  if (const auto error = TextOf(line, "error"); error.has_value() && !error->empty()) {
    if (const auto kind = NetworkErrorOf(*error)) return network(*kind);
  }
  const bool gone = statuses.answered == kClientClosed || statuses.upstream == kClientClosed;
  const bool upstream_failed = statuses.upstream >= 400 && statuses.upstream != kClientClosed;
  if (gone && !upstream_failed) {
    item->set_outcome(api::OUTCOME_CANCELLED);
    return true;
  }
  if (statuses.broken != 0) return network(KindOf(statuses.broken, line));
  // nginx writes 502 and 504 of its own when the connection broke; then no header ever came.
  const auto header_time = Word(line, "upstream_header_time");
  if (header_time.has_value() && !header_time->empty() && Last(*header_time) == "-" &&
      (statuses.upstream == 502 || statuses.upstream == 504)) {
    return network(KindOf(statuses.upstream, line));
  }
  if (statuses.upstream_given && statuses.upstream == 0) return false;
  const int status = statuses.upstream != 0 ? statuses.upstream : statuses.answered;
  if (status == 0) return network(api::NETWORK_ERROR_KIND_UNSPECIFIED);
  item->set_http_status(status);
  return true;
}

}  // namespace

absl::StatusOr<LoggedCall> ParseAccessLog(absl::string_view datagram) {
  absl::StatusOr<std::string> payload = Payload(datagram);
  if (!payload.ok()) return payload.status();
  const std::optional<json> parsed = ParseJson(*payload);
  if (!parsed.has_value() || !parsed->is_object()) return Malformed("no JSON object");
  const json& line = *parsed;
  LoggedCall call;
  const std::optional<CaddyWords> caddy = CaddyWordsOf(line);
  std::string lease = LeaseOf(line, caddy);
  if (lease.empty()) return call;
  call.item.set_lease_id(std::move(lease));
  absl::StatusOr<Statuses> statuses = ReadStatuses(line);
  if (!statuses.ok()) return statuses.status();
  if (caddy.has_value()) ApplyCaddy(*caddy, &*statuses);
  if (!Judge(line, *statuses, &call.item)) {
    call.kind = LoggedCall::Kind::kUnused;
    return call;
  }
  call.kind = LoggedCall::Kind::kReport;
  if (const auto code = TextOf(line, "error_code"); code.has_value() && *code != "-") {
    call.item.set_error_code(code->substr(0, 128));
  }
  ReadHeaders(line, &call.item);
  if (const auto bad = Check(call.item)) return Malformed(bad->field);
  return call;
}

}  // namespace credbroker::sidecar
