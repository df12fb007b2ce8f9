#include "core/material.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/error_body.h"

namespace credbroker::core {
namespace {

// RFC 9110 5.6.2.
bool IsToken(absl::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        !absl::StrContains("!#$%&'*+-.^_`|~", c)) {
      return false;
    }
  }
  return true;
}

// What would end the header and begin another (RFC 9110 5.5).
bool BreaksHeader(absl::string_view value) {
  for (const char c : value) {
    if (c == '\r' || c == '\n' || c == '\0') return true;
  }
  return false;
}

// What the refresher and the broker alone may hold.
bool StaysHere(absl::string_view field) {
  return field == "refresh_token" || field == "service_account";
}

absl::Status InjectionError(absl::string_view header, absl::string_view field) {
  return absl::InvalidArgumentError(
      absl::StrCat("header '", header, "' field '", field, "': must not contain CR, LF or NUL"));
}

// The top-level strings of the attributes object.
class Attributes {
 public:
  explicit Attributes(absl::string_view json) {
    ForEachScalarMember(
        json, [this](absl::string_view key, absl::string_view value, bool is_string, int depth) {
          if (depth == 1 && is_string) members_.emplace_back(key, value);
          return true;
        });
  }
  // The value as written in JSON, or an empty view.
  absl::string_view Find(absl::string_view key) const {
    for (const auto& [name, value] : members_) {
      if (name == key) return value;
    }
    return {};
  }

 private:
  std::vector<std::pair<absl::string_view, absl::string_view>> members_;
};

class Renderer {
 public:
  Renderer(const SecretMaterial& secret, absl::string_view attributes_json)
      : secret_(secret), attributes_(attributes_json) {}

  // Adds the header unless a field is absent.
  absl::Status Render(const HeaderTemplate& header,
                      std::vector<std::pair<std::string, Secret>>& out) {
    if (!IsToken(header.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("header '", absl::CHexEscape(header.name), "': not a header name"));
    }
    std::vector<absl::string_view> pieces;
    absl::string_view rest = header.value;
    if (BreaksHeader(rest)) return InjectionError(header.name, "value");
    while (!rest.empty()) {
      const size_t open = rest.find('{');
      pieces.push_back(rest.substr(0, open));
      if (open == absl::string_view::npos) break;
      rest.remove_prefix(open + 1);
      if (absl::ConsumePrefix(&rest, "{")) {  // "{{" is a brace
        pieces.push_back("{");
        continue;
      }
      const size_t close = rest.find('}');
      if (close == absl::string_view::npos) {
        return absl::InvalidArgumentError(
            absl::StrCat("header '", header.name, "': a brace of its template is not closed"));
      }
      absl::string_view value;
      if (absl::Status s = Lookup(header.name, rest.substr(0, close), value); !s.ok()) return s;
      if (value.empty()) return absl::OkStatus();
      pieces.push_back(value);
      rest.remove_prefix(close + 1);
    }
    out.emplace_back(header.name, Join(pieces));
    return absl::OkStatus();
  }

 private:
  // Sized once: a growing string would leave copies of the secret behind.
  static Secret Join(const std::vector<absl::string_view>& pieces) {
    size_t size = 0;
    for (const absl::string_view piece : pieces) size += piece.size();
    Secret joined = Secret::OfSize(size);
    size_t at = 0;
    for (const absl::string_view piece : pieces) {
      if (piece.empty()) continue;
      std::memcpy(joined.mutable_data() + at, piece.data(), piece.size());
      at += piece.size();
    }
    return joined;
  }

  absl::Status Lookup(absl::string_view header, absl::string_view field,
                      absl::string_view& value) const {
    if (StaysHere(field)) {
      return absl::InvalidArgumentError(absl::StrCat("header '", header, "' field '", field,
                                                     "': is never sent upstream as a header"));
    }
    value = FindSecret(field);
    if (value.empty()) {
      value = attributes_.Find(field);
      // Escapes are what a header value has no use for: quotes, backslashes, controls.
      if (absl::StrContains(value, '\\')) {
        return absl::InvalidArgumentError(
            absl::StrCat("header '", header, "' field '", field,
                         "': an attribute with quotes, backslashes, CR, LF, NUL or other "
                         "escapes cannot be a header"));
      }
    }
    if (BreaksHeader(value)) return InjectionError(header, field);
    return absl::OkStatus();
  }

  absl::string_view FindSecret(absl::string_view field) const {
    if (field == "access_token") return secret_.access_token.reveal();
    if (field == "id_token") return secret_.id_token.reveal();
    if (field == "api_key") return secret_.api_key.reveal();
    if (field == "cookie") return secret_.cookie.reveal();
    if (field == "client_secret") return secret_.client_secret.reveal();
    if (!absl::ConsumePrefix(&field, "extra.")) return {};
    const auto it = secret_.extra.find(std::string(field));
    return it == secret_.extra.end() ? absl::string_view() : it->second.reveal();
  }

  const SecretMaterial& secret_;
  Attributes attributes_;
};

const std::vector<HeaderTemplate>& TemplatesFor(const ProviderSettings& provider, Kind kind) {
  for (const auto& [of_kind, headers] : provider.headers_by_kind) {
    if (of_kind == kind && !headers.empty()) return headers;
  }
  return provider.headers;
}

// A file somebody else writes is not ours to refresh, whatever it holds.
bool Refreshable(const Document& document, const SecretMaterial& secret,
                 const ProviderSettings& provider) {
  if (!provider.has_refresher || document.external_refresh) return false;
  switch (document.kind) {
    case Kind::kOAuth:
      return !secret.refresh_token.empty();
    case Kind::kServiceAccount:
      return !secret.service_account.empty();
    case Kind::kApiKey:
      return false;
  }
  return false;
}

struct Lengths {
  uint32_t name, value;
};

Lengths LengthsAt(const char* at) {
  Lengths lengths;
  std::memcpy(&lengths, at, sizeof lengths);
  return lengths;
}

}  // namespace

// The block holds, for each header: two lengths, then its name and value.
RenderedHeaders::RenderedHeaders(const std::vector<std::pair<std::string, Secret>>& headers) {
  size_t size = 0;
  for (const auto& [name, value] : headers) size += sizeof(Lengths) + name.size() + value.size();
  block_ = Secret::OfSize(size);
  char* to = block_.mutable_data();
  for (const auto& [name, value] : headers) {
    const Lengths lengths = {static_cast<uint32_t>(name.size()),
                             static_cast<uint32_t>(value.size())};
    std::memcpy(to, &lengths, sizeof lengths);
    to += sizeof lengths;
    to = std::copy(name.begin(), name.end(), to);
    const absl::string_view bytes = value.reveal();
    to = std::copy(bytes.begin(), bytes.end(), to);
  }
}

RenderedHeaders::Header RenderedHeaders::Iterator::operator*() const {
  const Lengths lengths = LengthsAt(at_);
  const char* const name = at_ + sizeof lengths;
  return {absl::string_view(name, lengths.name),
          Value(absl::string_view(name + lengths.name, lengths.value))};
}

RenderedHeaders::Iterator& RenderedHeaders::Iterator::operator++() {
  const Lengths lengths = LengthsAt(at_);
  at_ += sizeof lengths + lengths.name + lengths.value;
  return *this;
}

absl::StatusOr<std::shared_ptr<const Material>> RenderMaterial(const Document& document, Uid uid,
                                                               const SecretMaterial& secret,
                                                               const ProviderSettings& provider) {
  auto material = std::make_shared<Material>();
  material->uid = uid;
  material->version = secret.version;
  material->refreshable = Refreshable(document, secret, provider);
  material->expire_time = secret.expire_time;

  Renderer renderer(secret, document.attributes_json);
  std::vector<std::pair<std::string, Secret>> headers;
  for (const HeaderTemplate& header : TemplatesFor(provider, document.kind)) {
    if (absl::Status s = renderer.Render(header, headers); !s.ok()) return s;
  }
  for (const auto& [name, value] : document.headers) {
    if (!IsToken(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("header '", absl::CHexEscape(name), "': not a header name"));
    }
    if (BreaksHeader(value)) return InjectionError(name, "headers");
    std::erase_if(headers, [&](const auto& h) { return absl::EqualsIgnoreCase(h.first, name); });
    headers.emplace_back(name, Secret(value));
  }
  material->headers = RenderedHeaders(headers);
  return std::shared_ptr<const Material>(std::move(material));
}

}  // namespace credbroker::core
