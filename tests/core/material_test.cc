#include "core/material.h"

#include <string>
#include <utility>
#include <vector>

#include "core/provider_builtin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

class MaterialTest : public testing::Test {
 protected:
  MaterialTest() {
    provider_.name = "acme";
    document_.id = "a";
    document_.kind = Kind::kOAuth;
    secret_.access_token = Secret("tok");
    secret_.version = 3;
  }

  absl::StatusOr<std::shared_ptr<const Material>> Render() {
    return RenderMaterial(document_, Uid(9), secret_, provider_);
  }
  std::vector<std::pair<std::string, std::string>> Headers() {
    std::vector<std::pair<std::string, std::string>> out;
    const auto material = Render();
    EXPECT_TRUE(material.ok()) << material.status();
    if (!material.ok()) return out;
    for (const auto& [name, value] : (*material)->headers) {
      out.emplace_back(name, std::string(value.reveal()));
    }
    return out;
  }
  std::string Error() { return std::string(Render().status().message()); }

  ProviderSettings provider_;
  Document document_;
  SecretMaterial secret_;
};

TEST_F(MaterialTest, FillsPlaceholdersWithSecretsAndAttributes) {
  secret_.extra.emplace("pin", Secret("1234"));
  document_.attributes_json = R"({"nested":{"account_id":"no"},"account_id":"acc","n":1})";
  provider_.headers = {{"authorization", "Bearer {access_token}"},
                       {"x-account", "{account_id}/{extra.pin}"},
                       {"x-plain", "{{{access_token}}"}};
  EXPECT_THAT(Headers(), ElementsAre(Pair("authorization", "Bearer tok"),
                                     Pair("x-account", "acc/1234"), Pair("x-plain", "{tok}")));
}

TEST_F(MaterialTest, LeavesOutAHeaderWhoseFieldIsAbsent) {
  provider_.headers = {{"authorization", "Bearer {api_key}"}, {"x-n", "{n}"}, {"x-v", "1"}};
  document_.attributes_json = R"({"n":1})";
  EXPECT_THAT(Headers(), ElementsAre(Pair("x-v", "1")));
  provider_.headers.clear();
  EXPECT_THAT(Headers(), ElementsAre());
}

TEST_F(MaterialTest, TakesTheTemplatesOfTheKindElseThoseOfAny) {
  provider_.headers = {{"x-any", "1"}};
  provider_.headers_by_kind = {{Kind::kApiKey, {{"x-key", "1"}}}, {Kind::kOAuth, {}}};
  EXPECT_THAT(Headers(), ElementsAre(Pair("x-any", "1")));
  document_.kind = Kind::kApiKey;
  EXPECT_THAT(Headers(), ElementsAre(Pair("x-key", "1")));
}

TEST_F(MaterialTest, OwnHeadersReplaceThoseOfTheProvider) {
  provider_.headers = {{"User-Agent", "a"}, {"authorization", "Bearer {access_token}"}};
  document_.headers = {{"user-agent", "b"}};
  EXPECT_THAT(Headers(), ElementsAre(Pair("authorization", "Bearer tok"), Pair("user-agent", "b")));
}

TEST_F(MaterialTest, RefusesWhatWouldEndAHeader) {
  provider_.headers = {{"authorization", "Bearer {access_token}"}};
  for (const std::string& bad :
       {std::string("se\rcret"), std::string("se\ncret"), std::string("se\0cret", 7)}) {
    secret_.access_token = Secret(bad);
    EXPECT_EQ(Render().status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Error(), HasSubstr("'access_token'"));
    EXPECT_THAT(Error(), Not(HasSubstr("cret")));
  }
}

TEST_F(MaterialTest, RefusesInjectionThroughAttributesTemplatesAndOwnHeaders) {
  provider_.headers = {{"x-a", "{a}"}};
  document_.attributes_json = R"({"a":"x\r\ny: z"})";
  EXPECT_THAT(Error(), HasSubstr("'a'"));
  document_.attributes_json.clear();
  provider_.headers = {{"x-a", "1\r\n"}};
  EXPECT_THAT(Error(), HasSubstr("header 'x-a' field 'value'"));
  provider_.headers = {{"x a", "1"}};
  EXPECT_THAT(Error(), HasSubstr("not a header name"));
  provider_.headers = {{"x-a", "{a"}};
  EXPECT_THAT(Error(), HasSubstr("brace"));
  provider_.headers.clear();
  document_.headers = {{"x-b", "1\n2"}};
  EXPECT_THAT(Error(), HasSubstr("header 'x-b'"));
}

TEST_F(MaterialTest, NeverHandsOutARefreshToken) {
  secret_.refresh_token = Secret("refresh");
  document_.attributes_json = R"({"refresh_token":"refresh"})";
  for (const char* field : {"{refresh_token}", "{service_account}"}) {
    provider_.headers = {{"x-a", field}};
    EXPECT_THAT(Error(), HasSubstr("never"));
  }
}

TEST_F(MaterialTest, IsRefreshableOnlyWithARefresherATokenAndOurOwnership) {
  const auto refreshable = [&] { return (*Render())->refreshable; };
  secret_.refresh_token = Secret("r");
  EXPECT_FALSE(refreshable());
  provider_.has_refresher = true;
  EXPECT_TRUE(refreshable());
  document_.external_refresh = true;
  EXPECT_FALSE(refreshable());
  document_.external_refresh = false;
  document_.kind = Kind::kApiKey;
  EXPECT_FALSE(refreshable());
  document_.kind = Kind::kOAuth;
  secret_.refresh_token.Wipe();
  EXPECT_FALSE(refreshable());
}

TEST_F(MaterialTest, CarriesVersionIncarnationAndExpiry) {
  secret_.expire_time = absl::FromUnixSeconds(5);
  const auto material = *Render();
  EXPECT_EQ(material->version, 3);
  EXPECT_EQ(material->uid, Uid(9));
  EXPECT_EQ(material->expire_time, absl::FromUnixSeconds(5));
}

TEST_F(MaterialTest, BuiltInProvidersSendWhatTheirApisExpect) {
  secret_.api_key = Secret("key");
  document_.attributes_json = R"({"account_id":"acc"})";
  const auto of = [&](const char* name, Kind kind) {
    provider_ = BuiltinProvider(name);
    document_.kind = kind;
    return Headers();
  };
  const auto version = Pair("anthropic-version", "2023-06-01");
  EXPECT_THAT(of("claude", Kind::kOAuth),
              ElementsAre(Pair("Authorization", "Bearer tok"),
                          Pair("anthropic-beta", "oauth-2025-04-20"), version));
  EXPECT_THAT(of("anthropic", Kind::kApiKey), ElementsAre(Pair("x-api-key", "key"), version));
  EXPECT_THAT(of("gemini", Kind::kApiKey), ElementsAre(Pair("x-goog-api-key", "key")));
  EXPECT_THAT(of("vertex", Kind::kServiceAccount),
              ElementsAre(Pair("Authorization", "Bearer tok")));
  EXPECT_THAT(of("codex", Kind::kOAuth),
              ElementsAre(Pair("Authorization", "Bearer tok"), Pair("chatgpt-account-id", "acc")));
  EXPECT_THAT(of("iflow", Kind::kOAuth), ElementsAre(Pair("Authorization", "Bearer key")));
  EXPECT_THAT(of("somebody-else", Kind::kApiKey), ElementsAre(Pair("Authorization", "Bearer key")));
}

TEST(BuiltinProviders, AreSortedRefreshNothingYetAndRenderForEveryKind) {
  std::string last;
  for (const ProviderSettings& p : BuiltinProviders()) {
    EXPECT_LT(last, p.name);
    last = p.name;
    EXPECT_FALSE(p.has_refresher);
    SecretMaterial secret;
    secret.access_token = Secret("t");
    secret.api_key = Secret("k");
    for (const Kind kind : {Kind::kOAuth, Kind::kApiKey, Kind::kServiceAccount}) {
      Document document;
      document.kind = kind;
      const auto material = RenderMaterial(document, Uid(1), secret, p);
      ASSERT_TRUE(material.ok()) << p.name << ": " << material.status();
      EXPECT_FALSE((*material)->headers.empty()) << p.name;
    }
  }
}

}  // namespace
}  // namespace credbroker::core
