#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/provider_builtin.h"
#include "server/config/config.h"
#include "server/config/scalar.h"
#include "tests/config/base_file.h"

namespace credbroker::config {
namespace {

std::shared_ptr<const Loaded> Load(const std::string& text) {
  auto loaded = LoadText("/etc/credbroker/config.yaml", text);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? *std::move(loaded) : std::make_shared<const Loaded>();
}

const core::ProviderSettings& Provider(const Loaded& loaded, absl::string_view name) {
  for (const auto& provider : loaded.settings.providers) {
    if (provider.name == name) return provider;
  }
  static const core::ProviderSettings* const kNone = new core::ProviderSettings;
  ADD_FAILURE() << "no provider " << name;
  return *kNone;
}

constexpr absl::string_view kEverything = R"(
listeners:
  data:
    - unix_socket: {path: /run/cb/a.sock, admitted_uids: [1000, 0], mode: 0660}
    - tcp: {address: "127.0.0.1:0", plaintext: true}
    - tcp: {address: "[::1]:7300", plaintext: true}
  admin:
    - unix_socket: {path: /run/cb/admin.sock}
http: {address: "0.0.0.0:9090", threads: 4}
store:
  sqlite: {path: state/credbroker.db, commit_timeout: 1500ms}
  write_behind: 50ms
keyring: {path: ../keys/ring, create: true}
groups:
  - {name: batch, strategy: EARLIEST-RESET, failback: true, max_in_flight: 0}
  - {name: web, strategy: STRATEGY_LEAST_IN_FLIGHT, session_idle_ttl: 1h30m, session_spill: false}
labels:
  - {key: team, values: [red, "no"]}
limits: {max_wait: 0s, max_ttl: 30s, max_parked: 10}
providers:
  - name: claude
    cap: 5m
    max_in_flight: 3
    per_model_limits: true
    policy:
      - name: lots
        match: {statuses: [429, 5XX], error_codes: [slow_down], body: "try * later", kind: api-key}
        scope: credential
        action: wait
        cause: rate_limited
        ladder: {first: 2s, max: 10m}
        advice: give-up
  - name: mycorp
    aliases: [my-corp]
    base_url: https://llm.example.com/v1
    headers:
      - {name: x-api-key, value: "{api_key}"}
    kinds:
      - kind: service-account
        headers: [{name: authorization, value: "Bearer {access_token}"}]
policy:
  - {name: gone, match: {statuses: ["410"]}, scope: request, action: none}
sources:
  - name: logins
    path: creds
    group: batch
    provider: my-corp
    refresh_owner: broker
    labels: {team: "no"}
log: {level: debug, path: log/broker.log}
runtime: {drain_timeout: 1s, watchdog: {enabled: false}}
)";

TEST(GoodFile, NeedsOnlyAListenerAndAStore) {
  const auto loaded = Load(BaseFile(""));
  EXPECT_TRUE(loaded->warnings.empty());
  ASSERT_NE(loaded->policy, nullptr);
  ASSERT_EQ(loaded->settings.groups.size(), 1u);
  EXPECT_EQ(loaded->settings.groups[0].name, "default");
  EXPECT_EQ(loaded->settings.providers.size(), core::BuiltinProviders().size());
}

TEST(GoodFile, HasTheDefaultsOfTheCoreWhereItSaysNothing) {
  const auto loaded = Load(BaseFile("groups: [{name: default}]\n"));
  const core::Limits& limits = loaded->settings.limits;
  const core::Limits defaults;
  EXPECT_EQ(limits.max_parked, defaults.max_parked);
  EXPECT_EQ(limits.max_parked_per_principal, defaults.max_parked_per_principal);
  EXPECT_EQ(limits.max_bindings, defaults.max_bindings);
  EXPECT_EQ(limits.max_ended_leases, defaults.max_ended_leases);
  EXPECT_EQ(limits.ended_retention, defaults.ended_retention);
  EXPECT_EQ(limits.default_ttl, defaults.default_ttl);
  EXPECT_EQ(limits.max_ttl, defaults.max_ttl);
  EXPECT_EQ(limits.max_wait, defaults.max_wait);
  const core::GroupSettings group;
  EXPECT_EQ(loaded->settings.groups[0].strategy, group.strategy);
  EXPECT_EQ(loaded->settings.groups[0].failback, group.failback);
  EXPECT_EQ(loaded->settings.groups[0].session_idle_ttl, group.session_idle_ttl);
  EXPECT_FALSE(loaded->settings.groups[0].max_in_flight.has_value());
  for (size_t i = 0; i < core::BuiltinProviders().size(); ++i) {
    EXPECT_EQ(loaded->settings.providers[i].cap, core::BuiltinProviders()[i].cap);
  }
}

TEST(GoodFile, ShowsTheDefaultsItUses) {
  const auto loaded =
      Load(BaseFile("http: {address: \"127.0.0.1:0\"}\n"
                    "sources: [{name: a, path: /tmp}, "
                    "{name: b, path: /tmp, watch: false}]\n"));
  const std::string expected =
      "listeners:\n"
      "  data:\n"
      "    - unix_socket:\n"
      "        path: \"/run/credbroker/broker.sock\"\n"
      "        mode: \"0600\"\n"
      "http:\n"
      "  address: \"127.0.0.1:0\"\n"
      "  threads: 2\n"
      "store:\n"
      "  memory: {}\n"
      "  write_behind: 100ms\n"
      "groups:\n"
      "  - name: \"default\"\n"
      "    strategy: round-robin\n"
      "    session_idle_ttl: 1h\n"
      "    session_spill: true\n"
      "limits:\n"
      "  max_parked: 10000\n"
      "  max_parked_per_principal: 1000\n"
      "  max_calls_per_peer: 1024\n"
      "  max_calls: 16384\n"
      "  max_connections: 1024\n"
      "  max_receive_bytes: 4194304\n"
      "  max_metadata_bytes: 8192\n"
      "  max_session_bindings: 1000000\n"
      "  max_ended_leases: 262144\n"
      "  ended_retention: 10m\n"
      "  default_ttl: 2m\n"
      "  max_ttl: 1h\n"
      "  max_wait: 1m\n"
      "  default_deadline: 10s\n"
      "  max_leases_per_principal: 1000000\n"
      "  max_watchers: 64\n"
      "  max_selections: 64\n"
      "sources:\n"
      "  - name: \"a\"\n"
      "    path: \"/tmp\"\n"
      "    group: \"default\"\n"
      "    refresh_owner: external\n"
      "    watch: true\n"
      "    mode: update\n"
      "    debounce: 500ms\n"
      "    rescan_interval: 10m\n"
      "  - name: \"b\"\n"
      "    path: \"/tmp\"\n"
      "    group: \"default\"\n"
      "    refresh_owner: broker\n"
      "    watch: false\n"
      "    mode: update\n"
      "    debounce: 500ms\n"
      "    rescan_interval: 10m\n"
      "log:\n"
      "  level: info\n"
      "runtime:\n"
      "  watchdog:\n"
      "    enabled: true\n"
      "    interval: 5s\n"
      "    timeout: 2s\n"
      "    failures: 3\n"
      "  drain_timeout: 5s\n"
      "  drain_delay: 0s\n"
      "sessions:\n"
      "  ttl: 15s\n"
      "  grace: 15s\n"
      "  ping_interval: 5s\n"
      "  cancel_within: 5s\n"
      "  max_sessions: 4096\n"
      "  max_sessions_per_principal: 1024\n"
      "  max_leases: 100000\n";
  EXPECT_EQ(Describe(*loaded), expected);
}

TEST(GoodFile, IsDescribedInAFormThatReadsBackTheSame) {
  for (const std::string& text : {BaseFile(""), std::string(kEverything)}) {
    const auto loaded = Load(text);
    const auto again = Load(Describe(*loaded));
    EXPECT_EQ(again->config.DebugString(), loaded->config.DebugString());
  }
}

TEST(GoodFile, BecomesSettings) {
  const auto loaded = Load(std::string(kEverything));
  const core::Settings& settings = loaded->settings;
  ASSERT_EQ(settings.groups.size(), 3u);
  EXPECT_EQ(settings.groups[0].strategy, core::Strategy::kEarliestReset);
  EXPECT_TRUE(settings.groups[0].failback);
  EXPECT_EQ(settings.groups[0].max_in_flight, 0);
  EXPECT_EQ(settings.groups[1].strategy, core::Strategy::kLeastInFlight);
  EXPECT_EQ(settings.groups[1].session_idle_ttl, absl::Minutes(90));
  EXPECT_EQ(settings.groups[2].name, "default");
  EXPECT_EQ(settings.limits.max_wait, absl::ZeroDuration());
  EXPECT_EQ(settings.limits.max_ttl, absl::Seconds(30));
  EXPECT_EQ(settings.limits.default_ttl, absl::Seconds(30));
  EXPECT_EQ(settings.limits.max_parked_per_principal, 10);
  ASSERT_EQ(settings.labels.size(), 1u);
  EXPECT_EQ(settings.labels[0].second, (std::vector<std::string>{"red", "no"}));
  EXPECT_EQ(loaded->config.store().sqlite().path(), "/etc/credbroker/state/credbroker.db");
  EXPECT_EQ(loaded->config.keyring().path(), "/etc/keys/ring");
  EXPECT_EQ(loaded->config.sources(0).path(), "/etc/credbroker/creds");
  EXPECT_EQ(loaded->config.log().path(), "/etc/credbroker/log/broker.log");
}

TEST(Provider, ThatIsBuiltInKeepsWhatTheFileDoesNotGive) {
  const auto loaded = Load(std::string(kEverything));
  const core::ProviderSettings& builtin = core::BuiltinProvider("claude");
  const core::ProviderSettings& claude = Provider(*loaded, "claude");
  EXPECT_EQ(claude.cap, absl::Minutes(5));
  EXPECT_EQ(claude.max_in_flight, 3);
  EXPECT_EQ(claude.base_url, builtin.base_url);
  EXPECT_EQ(claude.headers.size(), builtin.headers.size());
  EXPECT_EQ(claude.headers_by_kind.size(), builtin.headers_by_kind.size());
}

TEST(Provider, ThatIsNewStartsFromGeneric) {
  const auto loaded = Load(std::string(kEverything));
  const core::ProviderSettings& mine = Provider(*loaded, "mycorp");
  EXPECT_EQ(mine.base_url, "https://llm.example.com/v1");
  EXPECT_EQ(mine.cap, absl::Minutes(15));
  ASSERT_EQ(mine.headers.size(), 1u);
  EXPECT_EQ(mine.headers[0].value, "{api_key}");
  ASSERT_EQ(mine.headers_by_kind.size(), 2u);  // generic's for keys, and the file's
  EXPECT_EQ(loaded->provider_aliases,
            (std::vector<std::pair<std::string, std::string>>{{"my-corp", "mycorp"}}));
}

TEST(Policy, OfTheFileIsAsked) {
  const auto loaded = Load(std::string(kEverything));
  const auto classify = [&](absl::string_view provider, core::Kind kind, int status,
                            absl::string_view body) {
    core::ReportFacts facts;
    facts.http_status = status;
    facts.error_code = "slow_down";
    facts.body = body;
    return loaded->policy->Classify(provider, kind, false, false, facts, absl::UnixEpoch());
  };
  const core::Verdict v = classify("claude", core::Kind::kApiKey, 503, "Try again Later");
  EXPECT_EQ(v.row, "lots");
  EXPECT_EQ(v.cause, core::Cause::kRateLimit);
  EXPECT_EQ(v.advice, core::Advice::kGiveUp);
  EXPECT_EQ(v.ladder, (core::Ladder{absl::Seconds(2), 2, absl::Minutes(10)}));
  EXPECT_EQ(v.cap, absl::Minutes(5));
  EXPECT_NE(classify("claude", core::Kind::kOAuth, 503, "Try again Later").row, "lots");
  EXPECT_NE(classify("mycorp", core::Kind::kApiKey, 503, "Try again Later").row, "lots");
  EXPECT_EQ(classify("mycorp", core::Kind::kApiKey, 410, "").row, "gone");
}

// Every value of the API's enumerations has its counterpart in the core: an unknown one would
// abort.
TEST(Policy, TakesEveryValueOfTheApi) {
  const auto try_all = [](const google::protobuf::EnumDescriptor* type, absl::string_view row) {
    for (int i = 1; i < type->value_count(); ++i) {
      const std::string text = absl::StrReplaceAll(row, {{"$", EnumText(*type->value(i))}});
      LoadText("a", BaseFile(text)).IgnoreError();
    }
  };
  try_all(credbroker::v1::Cause_descriptor(),
          "policy: [{name: a, match: {statuses: [1xx]}, scope: credential, action: wait, "
          "duration: 1s, cause: $}]\n");
  try_all(credbroker::v1::Outcome_descriptor(),
          "policy: [{name: a, match: {outcome: $}, scope: request, action: none, outcome: $}]\n");
  try_all(credbroker::v1::Advice_descriptor(),
          "policy: [{name: a, match: {statuses: [1xx]}, scope: request, action: none, "
          "advice: $}]\n");
  try_all(credbroker::v1::FailureScope_descriptor(),
          "policy: [{name: a, match: {statuses: [1xx]}, scope: $, action: none}]\n");
  try_all(credbroker::v1::FailureAction_descriptor(),
          "policy: [{name: a, match: {statuses: [1xx]}, scope: credential, action: $}]\n");
  try_all(credbroker::v1::CredentialKind_descriptor(),
          "policy: [{name: a, match: {statuses: [1xx], kind: $}, scope: request, action: none}]\n");
  try_all(v1::Strategy_descriptor(), "groups: [{name: a, strategy: $}]\n");
}

TEST(GoodFile, WarnsOfASourceThatIsNotThereAndOfNothingElse) {
  const auto loaded = Load(std::string(kEverything));
  ASSERT_EQ(loaded->warnings.size(), 1u);
  EXPECT_TRUE(absl::StrContains(loaded->warnings[0], ": sources[0].path: "));
}

TEST(GoodFile, SetsWhatSessionsAndLeasesMay) {
  const auto loaded =
      Load(BaseFile("limits: {max_leases_per_principal: 2000, max_connections: 7}\n"
                    "groups: [{name: stays, session_spill: false}, {name: spills}]\n"));
  EXPECT_TRUE(loaded->warnings.empty());
  EXPECT_EQ(loaded->settings.limits.max_leases_per_principal, 2000u);
  EXPECT_EQ(loaded->config.limits().max_connections(), 7u);
  for (const core::GroupSettings& group : loaded->settings.groups) {
    EXPECT_EQ(group.session_spill, group.name != "stays") << group.name;
  }
  EXPECT_EQ(Load(BaseFile(""))->settings.limits.max_leases_per_principal, 1'000'000u);
}

TEST(GoodFile, AKindHasItsOwnBaseUrl) {
  const auto url = [](const Loaded& loaded, absl::string_view provider, core::Kind kind) {
    for (const core::ProviderSettings& p : loaded.settings.providers) {
      if (p.name == provider) return std::string(core::BaseUrlOf(p, kind));
    }
    return std::string("no such provider");
  };
  const auto plain = Load(BaseFile(""));
  EXPECT_EQ(url(*plain, "codex", core::Kind::kApiKey), "https://api.openai.com/v1");
  EXPECT_EQ(url(*plain, "codex", core::Kind::kOAuth), "https://chatgpt.com/backend-api/codex");
  EXPECT_EQ(url(*plain, "gemini", core::Kind::kOAuth), "https://cloudcode-pa.googleapis.com");
  EXPECT_EQ(url(*plain, "gemini", core::Kind::kApiKey),
            "https://generativelanguage.googleapis.com");
  const auto mine = Load(BaseFile(
      "providers: [{name: codex, base_url: https://all.test}, {name: gemini, kinds: [{kind: "
      "api-key, base_url: https://keys.test}]}]\n"));
  EXPECT_TRUE(mine->warnings.empty());
  EXPECT_EQ(url(*mine, "codex", core::Kind::kApiKey), "https://all.test");
  EXPECT_EQ(url(*mine, "gemini", core::Kind::kApiKey), "https://keys.test");
  EXPECT_EQ(url(*mine, "gemini", core::Kind::kOAuth), "https://cloudcode-pa.googleapis.com");
}

TEST(GoodFile, MayHaveAByteOrderMarkAndWindowsLineEnds) {
  Load("\xEF\xBB\xBF" + absl::StrReplaceAll(BaseFile("log: {level: warn}\n"), {{"\n", "\r\n"}}));
}

TEST(Quickstart, HasAGoodConfiguration) {
  std::ifstream file(absl::StrCat(CREDBROKER_TESTS_DIR, "/../deploy/quickstart.d/config.yaml"));
  ASSERT_TRUE(file.is_open());
  std::stringstream text;
  text << file.rdbuf();
  const auto loaded =
      Load(absl::StrReplaceAll(text.str(), {{"@DATA@", "/var/q"}, {"@HTTP_PORT@", "8377"}}));
  EXPECT_TRUE(loaded->warnings.empty());
  EXPECT_EQ(loaded->config.listeners().data(0).unix_socket().path(), "/var/q/broker.sock");
}

}  // namespace
}  // namespace credbroker::config
