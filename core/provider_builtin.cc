// Sources: the providers' public API references where they have one (Anthropic "Authentication",
// OpenAI "Authentication", Google "Using Gemini API keys", xAI, Moonshot, Alibaba Model Studio,
// iFlow), else what the vendors' own open-source command lines send (codex, gemini-cli, qwen-code).
// Only what authenticates is sent: no header here imitates another program.
#include "core/provider_builtin.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"

namespace credbroker::core {
namespace {

using Headers = std::vector<HeaderTemplate>;

// RFC 6750 2.1.
const char* const kBearerToken = "Bearer {access_token}";
const char* const kBearerKey = "Bearer {api_key}";

Headers Bearer(const char* value) { return {{"Authorization", value}}; }

// A login sends its access token, a key is sent as a bearer token too.
ProviderSettings BearerProvider(std::string name, std::string base_url) {
  ProviderSettings p;
  p.name = std::move(name);
  p.headers = Bearer(kBearerToken);
  p.headers_by_kind = {{Kind::kApiKey, Bearer(kBearerKey)}};
  p.base_url = std::move(base_url);
  return p;
}

// Anthropic's API wants its version named; keys go into x-api-key, logins need the oauth beta.
ProviderSettings AnthropicProvider(std::string name) {
  const HeaderTemplate version = {"anthropic-version", "2023-06-01"};
  ProviderSettings p;
  p.name = std::move(name);
  p.headers = {{"Authorization", kBearerToken}, {"anthropic-beta", "oauth-2025-04-20"}, version};
  p.headers_by_kind = {{Kind::kApiKey, {{"x-api-key", "{api_key}"}, version}}};
  p.base_url = "https://api.anthropic.com";
  return p;
}

// Google: keys go into x-goog-api-key, logins and service accounts send an access token.
ProviderSettings GoogleProvider(std::string name, std::string base_url) {
  ProviderSettings p = BearerProvider(std::move(name), std::move(base_url));
  p.headers_by_kind = {{Kind::kApiKey, {{"x-goog-api-key", "{api_key}"}}}};
  return p;
}

std::vector<ProviderSettings> MakeProviders() {
  std::vector<ProviderSettings> all;
  all.push_back(AnthropicProvider("anthropic"));
  all.push_back(GoogleProvider("antigravity", "https://cloudcode-pa.googleapis.com"));
  all.push_back(AnthropicProvider("claude"));

  // A ChatGPT login names its workspace; without account_id the upstream takes the token's default.
  ProviderSettings codex = BearerProvider("codex", "https://chatgpt.com/backend-api/codex");
  codex.headers.push_back({"chatgpt-account-id", "{account_id}"});
  codex.base_url_by_kind = {{Kind::kApiKey, "https://api.openai.com/v1"}};
  all.push_back(std::move(codex));

  // The public API takes keys; a login of the command line tool is good for Code Assist only.
  ProviderSettings gemini = GoogleProvider("gemini", "https://generativelanguage.googleapis.com");
  gemini.base_url_by_kind = {{Kind::kOAuth, "https://cloudcode-pa.googleapis.com"}};
  all.push_back(std::move(gemini));
  all.push_back(BearerProvider("generic", ""));
  all.push_back(BearerProvider("github-copilot", "https://api.githubcopilot.com"));

  // A login of iFlow yields an API key, and that is what its API takes.
  ProviderSettings iflow = BearerProvider("iflow", "https://apis.iflow.cn/v1");
  iflow.headers = Bearer(kBearerKey);
  all.push_back(std::move(iflow));

  all.push_back(BearerProvider("kimi", "https://api.kimi.com/coding/v1"));
  all.push_back(BearerProvider("kiro", ""));  // the region is part of the profile
  all.push_back(BearerProvider("openai", "https://api.openai.com/v1"));
  all.push_back(BearerProvider("qwen", "https://portal.qwen.ai/v1"));
  all.push_back(GoogleProvider("vertex", ""));  // the location is part of the host name
  all.push_back(BearerProvider("xai", "https://api.x.ai/v1"));
  return all;
}

}  // namespace

absl::Span<const ProviderSettings> BuiltinProviders() {
  static const auto* const providers = new std::vector<ProviderSettings>(MakeProviders());
  return *providers;
}

const std::string& BaseUrlOf(const ProviderSettings& provider, Kind kind) {
  for (const auto& [of, url] : provider.base_url_by_kind) {
    if (of == kind) return url;
  }
  return provider.base_url;
}

const ProviderSettings& BuiltinProvider(absl::string_view name) {
  const ProviderSettings* generic = nullptr;
  for (const ProviderSettings& p : BuiltinProviders()) {
    if (p.name == name) return p;
    if (p.name == "generic") generic = &p;
  }
  CB_CHECK(generic != nullptr);
  return *generic;
}

}  // namespace credbroker::core
