#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/material.h"
#include "core/provider_builtin.h"
#include "server/config/check.h"

namespace credbroker::config {
namespace {

constexpr int kMaxProviders = 256;
constexpr int kMaxRows = 256;
constexpr int kMaxAliases = 64;
constexpr int kMaxHeaders = 64;
constexpr size_t kMaxTemplateBytes = 8 << 10;
constexpr size_t kMaxBodyPattern = 256;
constexpr double kMaxFactor = 10;

bool IsBuiltin(absl::string_view name) {
  const auto all = core::BuiltinProviders();
  return std::any_of(all.begin(), all.end(), [name](const auto& p) { return p.name == name; });
}

class ProviderCheck {
 public:
  ProviderCheck(const v1::Config& config, Problems& problems)
      : config_(config), problems_(problems) {}

  void Run() {
    TooMany("providers", config_.providers_size(), kMaxProviders);
    for (const auto& builtin : core::BuiltinProviders()) names_.emplace(builtin.name, "built in");
    Names();
    Aliases();
    for (int i = 0; i < config_.providers_size(); ++i) {
      Provider(config_.providers(i), Item("providers", i));
    }
    Rows(config_.policy(), "policy");
  }

 private:
  void TooMany(const std::string& path, int size, int max) {
    if (size > max) problems_.Add(path, absl::StrCat("has ", size, " entries; at most ", max));
  }

  void Names() {
    absl::flat_hash_set<std::string> given;
    for (int i = 0; i < config_.providers_size(); ++i) {
      const std::string& name = config_.providers(i).name();
      const std::string at = Join(Item("providers", i), "name");
      if (!IsName(name)) {
        problems_.Add(at, name.empty() ? "required; 1 to 64 characters of [a-z0-9._-]"
                                       : absl::StrCat(Quoted(name),
                                                      " is no name; 1 to 64 "
                                                      "characters of [a-z0-9._-]"));
      } else if (!given.insert(name).second) {
        problems_.Add(at, absl::StrCat(Quoted(name), " is given twice; put both into one"));
      }
      names_.insert_or_assign(name, at);
    }
  }

  void Aliases() {
    for (int i = 0; i < config_.providers_size(); ++i) {
      const v1::Provider& provider = config_.providers(i);
      const std::string list = Join(Item("providers", i), "aliases");
      TooMany(list, provider.aliases_size(), kMaxAliases);
      for (int n = 0; n < provider.aliases_size(); ++n) {
        const std::string& alias = provider.aliases(n);
        const std::string at = Item(list, n);
        if (alias.empty() || alias.size() > 64) {
          problems_.Add(at, "has no or too many bytes; 1 to 64");
        } else if (const auto [it, first] = names_.try_emplace(alias, at); !first) {
          problems_.Add(at, absl::StrCat(Quoted(alias), " is taken (", it->second,
                                         "); names and aliases of providers are unique"));
        }
      }
    }
  }

  void Provider(const v1::Provider& provider, const std::string& path) {
    Headers(provider.headers(), Join(path, "headers"));
    BaseUrl(provider.base_url(), Join(path, "base_url"));
    absl::flat_hash_set<int> kinds;
    for (int i = 0; i < provider.kinds_size(); ++i) {
      const v1::KindDefaults& kind = provider.kinds(i);
      const std::string item = Item(Join(path, "kinds"), i);
      if (kind.kind() == credbroker::v1::CREDENTIAL_KIND_UNSPECIFIED) {
        problems_.Add(Join(item, "kind"), "required; oauth, api-key or service-account");
      } else if (!kinds.insert(kind.kind()).second) {
        problems_.Add(Join(item, "kind"), "is given twice; keep one of them");
      }
      Headers(kind.headers(), Join(item, "headers"));
      BaseUrl(kind.base_url(), Join(item, "base_url"));
    }
    Rows(provider.policy(), Join(path, "policy"));
  }

  void Headers(const google::protobuf::RepeatedPtrField<v1::HeaderTemplate>& headers,
               const std::string& path) {
    TooMany(path, headers.size(), kMaxHeaders);
    absl::flat_hash_set<std::string> names;
    for (int i = 0; i < headers.size(); ++i) {
      const std::string item = Item(path, i);
      HeaderName(headers[i].name(), Join(item, "name"));
      if (!names.insert(headers[i].name()).second) {
        problems_.Add(Join(item, "name"),
                      absl::StrCat(Quoted(headers[i].name()), " is given twice; keep one of them"));
      }
      Template(headers[i], Join(item, "value"));
    }
  }

  void HeaderName(const std::string& name, const std::string& at) {
    if (name.empty()) {
      problems_.Add(at, "required; a lower-case header name");
    } else if (!IsHeaderName(name)) {
      problems_.Add(at, absl::StrCat(Quoted(name), " is no lower-case header name; write it like ",
                                     "x-api-key"));
    }
  }

  void Template(const v1::HeaderTemplate& header, const std::string& at) {
    if (header.value().empty()) {
      problems_.Add(at, "required; text with placeholders, like \"Bearer {access_token}\"");
    } else if (header.value().size() > kMaxTemplateBytes) {
      problems_.Add(
          at, absl::StrCat("has ", header.value().size(), " bytes; at most ", kMaxTemplateBytes));
    } else if (IsHeaderName(header.name())) {
      core::ProviderSettings provider;
      provider.headers = {{header.name(), header.value()}};
      const auto rendered =
          core::RenderMaterial(core::Document(), core::Uid(), core::SecretMaterial(), provider);
      if (!rendered.ok()) {
        problems_.Add(at, absl::StrCat(rendered.status().message(), "; correct the template"));
      }
    }
  }

  void BaseUrl(const std::string& url, const std::string& at) {
    if (url.empty()) return;
    const bool scheme = absl::StartsWith(url, "https://") || absl::StartsWith(url, "http://");
    const size_t host = url.find("//") + 2;
    const absl::string_view authority =
        scheme ? absl::string_view(url).substr(host, url.find('/', host) - host) : "";
    if (url.size() > 2048 || authority.empty() || absl::StrContains(authority, '@') ||
        url.find_first_of(" \"<>\\#") != std::string::npos) {
      problems_.Add(at,
                    "is no base address; write it like https://api.example.com/v1, without "
                    "user name, password or fragment");
    }
  }

  void Rows(const google::protobuf::RepeatedPtrField<v1::PolicyRow>& rows,
            const std::string& path) {
    TooMany(path, rows.size(), kMaxRows);
    absl::flat_hash_set<std::string> names;
    for (int i = 0; i < rows.size(); ++i) {
      const v1::PolicyRow& row = rows[i];
      const std::string item = Item(path, i);
      if (row.name().empty() || row.name().size() > 64) {
        problems_.Add(Join(item, "name"), "required; 1 to 64 bytes");
      } else if (!names.insert(row.name()).second) {
        problems_.Add(Join(item, "name"), absl::StrCat(Quoted(row.name()),
                                                       " is taken by an "
                                                       "earlier row; use another name"));
      }
      if (row.scope() == credbroker::v1::FAILURE_SCOPE_UNSPECIFIED) {
        problems_.Add(Join(item, "scope"), "required; what the failure is held against");
      }
      if (row.action() == credbroker::v1::FAILURE_ACTION_UNSPECIFIED) {
        problems_.Add(Join(item, "action"), "required; none, wait, disable or refresh");
      }
      if (!row.has_match()) {
        problems_.Add(Join(item, "match"), "required; say which failures the row is for");
      }
      Match(row.match(), Join(item, "match"));
      if (row.has_ladder()) Ladder(row.ladder(), Join(item, "ladder"));
    }
  }

  void Match(const v1::PolicyMatch& match, const std::string& path) {
    for (int i = 0; i < match.statuses_size(); ++i) {
      const std::string& s = match.statuses(i);
      const bool rest = s.size() == 3 && s[0] >= '1' && s[0] <= '5';
      const bool digits = rest && s.find_first_not_of("0123456789") == std::string::npos;
      if (!digits && !(rest && absl::EndsWithIgnoreCase(s, "xx"))) {
        problems_.Add(Item(Join(path, "statuses"), i),
                      absl::StrCat(Quoted(s), " is no HTTP status; write it like 429 or 5xx"));
      }
    }
    if (!match.header().empty()) HeaderName(match.header(), Join(path, "header"));
    if (match.body().size() > kMaxBodyPattern) {
      problems_.Add(Join(path, "body"),
                    absl::StrCat("has ", match.body().size(), " bytes; at most ", kMaxBodyPattern));
    }
  }

  void Ladder(const v1::Ladder& ladder, const std::string& path) {
    if (!ladder.has_first()) problems_.Add(Join(path, "first"), "required; the first duration");
    if (!ladder.has_max()) problems_.Add(Join(path, "max"), "required; the longest duration");
    if (!(ladder.factor() >= 1 && ladder.factor() <= kMaxFactor)) {
      problems_.Add(Join(path, "factor"),
                    absl::StrCat(ladder.factor(), " is out of range; 1 to ", kMaxFactor));
    }
  }

  const v1::Config& config_;
  Problems& problems_;
  absl::flat_hash_map<std::string, std::string> names_;  // and aliases -> where they were given
};

}  // namespace

bool IsProvider(const v1::Config& config, absl::string_view name) {
  if (IsBuiltin(name)) return true;
  for (const v1::Provider& provider : config.providers()) {
    if (provider.name() == name) return true;
    for (const std::string& alias : provider.aliases()) {
      if (alias == name) return true;
    }
  }
  return false;
}

void CheckProviders(const v1::Config& config, Problems& problems) {
  ProviderCheck(config, problems).Run();
}

}  // namespace credbroker::config
