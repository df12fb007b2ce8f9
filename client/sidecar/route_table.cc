#include "client/sidecar/route_table.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/sidecar/check_request.h"
#include "client/sidecar/settings.h"

namespace credbroker::sidecar {
namespace {

constexpr absl::string_view kLeasePath = "/lease";
constexpr absl::string_view kParameters[] = {"provider", "model",      "group",
                                             "session",  "credential", "route"};

RouteTable::Refusal BadRequest(std::string message) {
  return {400, "INVALID_FIELD", std::move(message)};
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// nullopt: an escape that is none, or a control character in the end.
std::optional<std::string> Decode(absl::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return std::nullopt;
    out += c;
  }
  return out;
}

// A header of the request; `*ambiguous` if it is given twice.
std::optional<absl::string_view> One(const http::Request& request, absl::string_view name,
                                     bool* ambiguous) {
  std::optional<absl::string_view> found;
  for (const auto& [key, value] : request.headers) {
    if (!absl::EqualsIgnoreCase(key, name)) continue;
    if (found.has_value()) *ambiguous = true;
    found = value;
  }
  return found;
}

bool HasDotSegment(absl::string_view path) {
  for (const absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

absl::string_view WithoutPort(absl::string_view host) {
  const size_t colon = host.rfind(':');
  if (colon == absl::string_view::npos || absl::EndsWith(host, "]")) return host;
  return host.substr(0, colon);
}

bool HostMatches(absl::string_view pattern, absl::string_view host) {
  if (absl::StartsWith(pattern, "*.")) {
    const absl::string_view suffix = pattern.substr(1);
    return host.size() > suffix.size() && absl::EndsWithIgnoreCase(host, suffix);
  }
  return absl::EqualsIgnoreCase(pattern, host);
}

}  // namespace

// What is known of the request that the proxy wants to send upstream.
struct RouteTable::Original {
  std::string path;   // decoded; empty: not known
  std::string query;  // raw
  std::string host;   // without port
  // The original query where it is that of this request (Envoy); null: see `query`.
  const std::multimap<std::string, std::string>* parameters = nullptr;

  static std::variant<Original, Refusal> Read(const http::Request& request) {
    Original original;
    bool ambiguous = false;
    std::optional<absl::string_view> uri = One(request, "x-original-uri", &ambiguous);
    const auto forwarded = One(request, "x-forwarded-uri", &ambiguous);
    if (uri.has_value() && forwarded.has_value() && *uri != *forwarded) ambiguous = true;
    if (!uri.has_value()) uri = forwarded;
    auto host = One(request, "x-forwarded-host", &ambiguous);
    const auto other_host = One(request, "x-original-host", &ambiguous);
    if (host.has_value() && other_host.has_value() && *host != *other_host) ambiguous = true;
    if (!host.has_value()) host = other_host;
    if (ambiguous) {
      return BadRequest(
          "the original request is described twice; let the proxy remove what its clients send in "
          "X-Original-* and X-Forwarded-*");
    }
    if (host.has_value()) original.host = std::string(WithoutPort(*host));
    if (uri.has_value()) {
      if (auto refusal = original.SetUri(*uri)) return *refusal;
    } else if (request.path.size() > kLeasePath.size()) {
      original.path = request.path.substr(kLeasePath.size());
      original.parameters = &request.query;
      if (HasDotSegment(original.path)) return BadRequest("the path has dot segments");
    }
    return original;
  }

  std::optional<Refusal> SetUri(absl::string_view uri) {
    // A request line may hold the absolute form.
    for (const absl::string_view scheme : {"http://", "https://"}) {
      if (!absl::StartsWithIgnoreCase(uri, scheme)) continue;
      const size_t slash = uri.find('/', scheme.size());
      uri = slash == absl::string_view::npos ? absl::string_view("/") : uri.substr(slash);
      break;
    }
    uri = uri.substr(0, uri.find('#'));
    const size_t mark = uri.find('?');
    const std::optional<std::string> decoded = Decode(uri.substr(0, mark), false);
    if (!decoded.has_value() || decoded->empty() || (*decoded)[0] != '/' ||
        absl::StrContains(uri, ' ')) {
      return BadRequest("the original URI is malformed");
    }
    if (HasDotSegment(*decoded)) return BadRequest("the original URI has dot segments");
    path = *decoded;
    if (mark != absl::string_view::npos) query = std::string(uri.substr(mark + 1));
    return std::nullopt;
  }

  // The value of a query parameter. False: it is malformed, or given twice with two values.
  bool Parameter(absl::string_view name, std::string* out) const {
    if (parameters != nullptr) {
      const auto [first, last] = parameters->equal_range(std::string(name));
      if (first != last) *out = first->second;
      return std::distance(first, last) <= 1;
    }
    bool found = false;
    for (const absl::string_view pair : absl::StrSplit(query, '&')) {
      const size_t equals = pair.find('=');
      const auto key = Decode(pair.substr(0, equals), true);
      if (!key.has_value() || *key != name) continue;
      const auto value = equals == absl::string_view::npos ? std::optional<std::string>("")
                                                           : Decode(pair.substr(equals + 1), true);
      if (!value.has_value() || (found && *value != *out)) return false;
      *out = *value;
      found = true;
    }
    return true;
  }
};

namespace {

// The segment of `path` after `prefix`; empty: another path.
absl::string_view Segment(absl::string_view path, absl::string_view prefix) {
  if (!absl::StartsWith(path, prefix)) return {};
  const absl::string_view rest = path.substr(prefix.size());
  return rest.substr(0, rest.find_first_of("/:"));
}

}  // namespace

RouteTable::RouteTable(const pb::Config& config)
    : explicit_requests_(config.forward_auth().explicit_requests()) {
  routes_.reserve(static_cast<size_t>(config.routes_size()) + 1);
  const auto add = [this](const pb::Route& rules) {
    routes_.push_back({.rules = rules,
                       .index = routes_.size(),
                       .ttl = ToDuration(rules.ttl()),
                       .max_wait = ToDuration(rules.max_wait()),
                       .timeout = ToDuration(rules.timeout())});
  };
  for (const pb::Route& rules : config.routes()) add(rules);
  add(config.defaults());
  for (const Route& route : routes_) by_name_.emplace(route.rules.name(), &route);
}

const Route* RouteTable::Match(const http::Request& request, const Original& original) const {
  for (size_t i = 0; i + 1 < routes_.size(); ++i) {
    const pb::Match& match = routes_[i].rules.match();
    if (!match.host().empty() && !HostMatches(match.host(), original.host)) continue;
    if (!absl::StartsWith(original.path, match.path_prefix())) continue;
    bool all = true;
    for (const auto& [name, value] : match.headers()) {
      bool twice = false;
      const auto found = One(request, name, &twice);
      all = all && found.has_value() && !twice && *found == value;
    }
    if (all) return &routes_[i];
  }
  return nullptr;
}

std::variant<RouteTable::Wanted, RouteTable::Refusal> RouteTable::Resolve(
    const http::Request& request) const {
  // Below /lease/ the query is the end user's, and names nothing.
  const bool own_query = request.path.size() <= kLeasePath.size();
  const auto asked = [&](absl::string_view name) {
    return own_query ? request.Query(name) : absl::string_view();
  };
  for (const auto& [name, value] : request.query) {
    if (!own_query) break;
    if (std::find(std::begin(kParameters), std::end(kParameters), name) == std::end(kParameters)) {
      return BadRequest(
          "unknown parameter; known: provider, model, group, session, credential, route");
    }
    if (request.query.count(name) > 1) return BadRequest("a parameter is given twice");
  }
  if (own_query && !request.query.empty() && !explicit_requests_) {
    return Refusal{403, "NOT_ALLOWED", "requests may not name what they want themselves here"};
  }
  auto read = Original::Read(request);
  if (auto* refusal = std::get_if<Refusal>(&read)) return std::move(*refusal);
  const Original& original = std::get<Original>(read);

  Wanted wanted;
  const absl::string_view provider = asked("provider");
  if (const absl::string_view name = asked("route"); !name.empty()) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return Refusal{403, "NO_ROUTE", "no such route"};
    wanted.route = found->second;
  } else if (provider.empty()) {
    wanted.route = Match(request, original);
  }
  if (wanted.route == nullptr) {
    if (provider.empty() && defaults().rules.providers().empty()) {
      return Refusal{403, "NO_ROUTE", "no route is for this request, and it names no provider"};
    }
    wanted.route = &defaults();
  }

  const pb::Route& rules = wanted.route->rules;
  api::AcquireRequest& out = wanted.request;
  const absl::string_view group = asked("group");
  out.set_group(group.empty() ? rules.group() : std::string(group));
  if (provider.empty()) {
    *out.mutable_providers() = rules.providers();
  } else {
    for (const absl::string_view one : absl::StrSplit(provider, ',')) {
      out.add_providers(std::string(one));
    }
  }
  out.set_credential_id(std::string(asked("credential")));

  bool twice = false;
  std::string model(asked("model"));
  if (model.empty()) model = rules.model();
  if (model.empty() && !rules.model_header().empty()) {
    model = std::string(One(request, rules.model_header(), &twice).value_or(""));
  }
  if (model.empty() && !rules.model_query().empty() &&
      !original.Parameter(rules.model_query(), &model)) {
    return BadRequest("the model in the original URI is malformed, or given twice");
  }
  if (model.empty() && !rules.model_path_prefix().empty()) {
    model = std::string(Segment(original.path, rules.model_path_prefix()));
  }
  out.set_model(std::move(model));

  std::string session(asked("session"));
  if (session.empty() && !rules.session_header().empty()) {
    session = std::string(One(request, rules.session_header(), &twice).value_or(""));
  }
  out.set_session_key(std::move(session));
  if (twice) return BadRequest("a header that names model or session is given twice");
  if (const auto bad = Check(out)) {
    return BadRequest(absl::StrCat(bad->field, ": ", bad->description));
  }
  return wanted;
}

}  // namespace credbroker::sidecar
