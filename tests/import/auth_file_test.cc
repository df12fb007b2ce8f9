#include "server/import/auth_file.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/import/export_file.h"
#include "server/import/import_types.h"
#include "server/import/strict_json.h"

namespace credbroker::import {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// One line of what was read, as the tables below expect it.
std::string Describe(const ParsedCredential& c) {
  Json out = Json::object();
  const core::Document& d = c.document;
  out["provider"] = d.provider.str();
  out["kind"] = std::string(core::Name(d.kind));
  out["disabled"] = c.disabled;
  out["email"] = d.email.str();
  out["label"] = d.label.str();
  out["note"] = d.note.str();
  out["priority"] = d.priority;
  out["weight"] = d.weight;
  out["prefix"] = d.prefix.str();
  out["proxy"] = d.proxy_url.str();
  out["base"] = d.base_url.str();
  out["headers"] = d.headers;
  out["models"] = d.models;
  out["excluded"] = d.excluded_models;
  out["cooling"] = !d.disable_cooling;
  out["cap"] = d.max_in_flight.value_or(-1);
  out["model_cap"] = d.max_in_flight_per_model.value_or(-1);
  out["retry"] = d.request_retry.value_or(-1);
  out["interval"] = d.refresh_interval_seconds.value_or(-1);
  out["attributes"] =
      d.attributes_json.empty() ? Json::object() : Json::parse(d.attributes_json.str());
  out["extra"] = d.extra_json.empty() ? Json::object() : Json::parse(d.extra_json.str());
  for (const core::ModelAlias& alias : d.model_aliases) out["aliases"][alias.alias] = alias.model;
  const core::SecretMaterial& s = *c.secret;
  out["access"] = std::string(s.access_token.reveal());
  out["refresh"] = std::string(s.refresh_token.reveal());
  out["id"] = std::string(s.id_token.reveal());
  out["key"] = std::string(s.api_key.reveal());
  out["client_secret"] = std::string(s.client_secret.reveal());
  out["cookie"] = std::string(s.cookie.reveal());
  out["account"] = std::string(s.service_account.reveal());
  for (const auto& [name, value] : s.extra) out["hidden"][name] = std::string(value.reveal());
  out["expires"] = s.expire_time ? absl::ToUnixMillis(*s.expire_time) : 0;
  return out.dump();
}

struct Row {
  const char* name;
  const char* json;
  const char* expected;  // good: a JSON part of Describe; bad: text of the rejection
};
std::string RowName(const ::testing::TestParamInfo<Row>& row) { return row.param.name; }

ParsedEntry ParseOne(const std::string& json) {
  ParsedFile file = ParseAuthFile(json, {});
  if (file.rejection || file.entries.size() != 1) {
    ParsedEntry entry;
    entry.rejection = file.rejection.value_or(Rejection{"", "not one entry"});
    return entry;
  }
  return std::move(file.entries[0]);
}

class GoodFile : public ::testing::TestWithParam<Row> {};

TEST_P(GoodFile, IsReadAsTheTableSays) {
  const ParsedEntry entry = ParseOne(GetParam().json);
  ASSERT_FALSE(entry.rejection) << entry.rejection->ToString();
  ASSERT_TRUE(entry.credential);
  const Json got = Json::parse(Describe(*entry.credential));
  const Json expected = Json::parse(GetParam().expected);
  for (const auto& [key, value] : expected.items()) {
    EXPECT_EQ(got.value(key, Json()), value) << key << " of " << got;
  }
}

// A codex id_token with the claims {"https://api.openai.com/auth":{"chatgpt_plan_type":"pro",
// "chatgpt_account_id":"acc"}}.
#define CODEX_ID                                                                           \
  "h.eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9wbGFuX3R5cGUiOiJwcm8iLCJjaGF0" \
  "Z3B0X2FjY291bnRfaWQiOiJhY2MifX0.s"
#define KEY(rest) "{\"type\":\"foo\",\"api_key\":\"k\"" rest "}"
#define EXPIRES(value) "{\"type\":\"kimi\",\"access_token\":\"a\",\"expired\":" value "}"

INSTANTIATE_TEST_SUITE_P(
    Providers, GoodFile,
    ::testing::Values(
        Row{"Claude", R"({"type":"Claude","access_token":"a","refresh_token":"r","id_token":"i",
            "email":"e@x","account_uuid":"u","organization_uuid":"o","last_refresh":"l",
            "expired":"2030-01-01T00:00:00Z"})",
            R"({"provider":"claude","kind":"oauth","access":"a","refresh":"r","id":"i",
            "email":"e@x",
            "attributes":{"account_uuid":"u","organization_uuid":"o"},"extra":{"last_refresh":"l"},
            "expires":1893456000000})"},
        Row{"ClaudeSetupToken", R"({"type":"claude","access_token":"a"})",
            R"({"kind":"oauth","access":"a","refresh":""})"},
        Row{"ClaudeKey", R"({"type":"claude","api_key":"a"})", R"({"kind":"api_key","key":"a"})"},
        Row{"Codex",
            R"({"type":"codex","access_token":"a","refresh_token":"r","id_token":")" CODEX_ID
            R"("})",
            R"({"attributes":{"plan_type":"pro","account_id":"acc"}})"},
        Row{"CodexWithAccount", R"({"type":"codex","access_token":"a","account_id":"mine",
            "id_token":")" CODEX_ID R"("})",
            R"({"attributes":{"plan_type":"pro","account_id":"mine"}})"},
        Row{"CodexWithBadJwt", R"({"type":"codex","access_token":"a","id_token":"x.!!.y"})",
            R"({"attributes":{},"id":"x.!!.y"})"},
        Row{"Antigravity", R"({"type":"antigravity","access_token":"a","refresh_token":"r",
            "expires_in":3599,"timestamp":1700000000000,"project_id":"p"})",
            R"({"expires":1700003599000,"attributes":{"project_id":"p"},
            "extra":{"expires_in":3599,"timestamp":1700000000000}})"},
        Row{"Kimi", R"({"type":"kimi","access_token":"a","refresh_token":"r","token_type":"Bearer",
            "scope":"s","device_id":"d"})",
            R"({"attributes":{"token_type":"Bearer","scope":"s","device_id":"d"}})"},
        Row{"Xai", R"({"type":"xai","access_token":"a","refresh_token":"r","id_token":"i","sub":"s",
            "base_url":"https://api.x.ai","token_endpoint":"https://t"})",
            R"({"base":"https://api.x.ai","attributes":{"sub":"s","token_endpoint":"https://t"}})"},
        Row{"Vertex", R"({"type":"vertex","service_account":{"private_key":"-\n-","project_id":"p",
            "client_email":"e@x"},"location":"us"})",
            R"({"kind":"service_account","email":"e@x","attributes":{"location":"us",
            "project_id":"p"},"extra":{},
        "account":"{\"client_email\":\"e@x\",\"private_key\":\"-\\n-\",\"project_id\":\"p\"}"})"},
        Row{"Gemini", R"({"type":"gemini","token":{"access_token":"a","refresh_token":"r",
            "client_id":"c","client_secret":"s","token_uri":"https://t","expiry":
            "2030-01-01T00:00:00.5+01:00"},"project_id":"p1,p2"})",
            R"({"kind":"oauth","access":"a","refresh":"r","client_secret":"s",
            "expires":1893452400500,"attributes":{"project_id":"p1,p2","client_id":"c",
            "token_uri":"https://t"},"extra":{"token":{"client_id":"c",
            "token_uri":"https://t"}}})"},
        Row{"Qwen", R"({"type":"qwen","access_token":"a","refresh_token":"r","resource_url":"u"})",
            R"({"attributes":{"resource_url":"u"}})"},
        Row{"IFlow", R"({"type":"iflow","api_key":"k","access_token":"a","refresh_token":"r",
            "cookie":"c"})",
            R"({"kind":"oauth","key":"k","cookie":"c"})"},
        Row{"Kiro", R"({"type":"kiro","accessToken":"a","refreshToken":"r","clientSecret":"s",
            "clientId":"c","profileArn":"p","authMethod":"m","expiresAt":"2030-01-01 00:00"})",
            R"({"access":"a","refresh":"r","client_secret":"s","expires":1893456000000,
            "attributes":{"client_id":"c","profile_arn":"p","auth_method":"m"}})"},
        Row{"Copilot", R"({"type":"github-copilot","access_token":"a","username":"u"})",
            R"({"attributes":{"username":"u"}})"},
        Row{"AnyWithKey", R"({"type":"openrouter","api-key":"k","base-url":"http://h:1/v1"})",
            R"({"kind":"api_key","key":"k","base":"http://h:1/v1"})"}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Keys, GoodFile,
    ::testing::Values(
        Row{"Defaults", KEY(""), R"({"priority":0,"weight":1,"disabled":false,"cooling":true,
            "cap":-1,"model_cap":-1,"retry":-1,"interval":-1,"prefix":"","proxy":""})"},
        Row{"Nulls", KEY(R"(,"email":null,"priority":null,"headers":null,"expired":null)"),
            R"({"email":"","priority":0})"},
        Row{"Bom", "\xEF\xBB\xBF{\"type\":\"foo\",\"api_key\":\"k\"}", R"({"key":"k"})"},
        Row{"People", KEY(R"(,"email":"e","label":"l","note":"n\nm")"),
            R"({"email":"e","label":"l","note":"n\nm"})"},
        Row{"Disabled", KEY(R"(,"disabled":true)"), R"({"disabled":true})"},
        Row{"DisabledText", KEY(R"(,"disabled":"True")"), R"({"disabled":true})"},
        Row{"NotDisabledText", KEY(R"(,"disabled":"false")"), R"({"disabled":false})"},
        Row{"PriorityCut", KEY(R"(,"priority":2.9)"), R"({"priority":2})"},
        Row{"PriorityCutUp", KEY(R"(,"priority":-2.9)"), R"({"priority":-2})"},
        Row{"PriorityText", KEY(R"(,"priority":" -7 ")"), R"({"priority":-7})"},
        Row{"WeightWholeFloat", KEY(R"(,"weight":3.0)"), R"({"weight":3})"},
        Row{"WeightText", KEY(R"(,"weight":"0")"), R"({"weight":0})"},
        Row{"WeightMost", KEY(R"(,"weight":1000000)"), R"({"weight":1000000})"},
        Row{"PrefixTrimmed", KEY(R"(,"prefix":"//team/")"), R"({"prefix":"team"})"},
        Row{"PrefixInside", KEY(R"(,"prefix":"a/b")"), R"({"prefix":""})"},
        Row{"ProxySocks", KEY(R"(,"proxy_url":"socks5://u:p@h:1080")"),
            R"({"proxy":"socks5://u:p@h:1080"})"},
        Row{"ProxyV6", KEY(R"(,"proxy-url":"http://[::1]:80")"), R"({"proxy":"http://[::1]:80"})"},
        Row{"ProxyDirect", KEY(R"(,"proxy_url":"Direct")"), R"({"proxy":"direct"})"},
        Row{"ProxyNone", KEY(R"(,"proxy_url":"none")"), R"({"proxy":"direct"})"},
        Row{"SnakeWins", KEY(R"(,"request-retry":1,"request_retry":2)"),
            R"({"retry":2,"extra":{}})"},
        Row{"Headers", KEY(R"(,"headers":{"X-A":"b"})"), R"({"headers":[["X-A","b"]]})"},
        Row{"Excluded", KEY(R"(,"excluded-models":["a*","","a*"])"), R"({"excluded":["a*"]})"},
        Row{"Aliases",
            KEY(R"(,"model-aliases":[{"alias":"a","model":"m"},{"alias":"b","name":"n"}])"),
            R"({"aliases":{"a":"m","b":"n"}})"},
        Row{"CoolingOff", KEY(R"(,"disable-cooling":"true")"), R"({"cooling":false})"},
        Row{"Caps", KEY(R"(,"max_in_flight":0,"max_in_flight_per_model":"3")"),
            R"({"cap":0,"model_cap":3})"},
        Row{"Interval", KEY(R"(,"refresh_interval_seconds":60)"), R"({"interval":60})"},
        Row{"Unknown", KEY(R"(,"weird":{"a":[1]},"models":[{"name":"x"}])"),
            R"({"extra":{"weird":{"a":[1]},"models":[{"name":"x"}]},"models":[]})"},
        Row{"HiddenSecrets",
            KEY(R"(,"session_token":"t","deep":{"list":[{"password":"p","a":1}]})"),
            R"({"hidden":{"session_token":"t","deep.list.0.password":"p"},
            "extra":{"deep":{"list":[{"a":1}]}}})"},
        Row{"Seconds", EXPIRES("1700000000"), R"({"expires":1700000000000})"},
        Row{"SecondsText", EXPIRES("\"1700000000\""), R"({"expires":1700000000000})"},
        Row{"Milliseconds", EXPIRES("1700000000123"), R"({"expires":1700000000123})"},
        Row{"MillisecondsText", EXPIRES("\"1700000000123\""), R"({"expires":1700000000123})"},
        Row{"Minutes", EXPIRES("\"2030-01-01 01:00\""), R"({"expires":1893459600000})"},
        Row{"SecondsOfDay", EXPIRES("\"2030-01-01 01:00:01\""), R"({"expires":1893459601000})"},
        Row{"ZeroTime", EXPIRES("\"0001-01-01T00:00:00Z\""), R"({"expires":0})"},
        Row{"EmptyTime", EXPIRES("\"\",\"expires\":1700000000"), R"({"expires":1700000000000})"},
        Row{"FirstTimeWins", EXPIRES("1700000000,\"expires\":1800000000"),
            R"({"expires":1700000000000})"}),
    RowName);

class BadFile : public ::testing::TestWithParam<Row> {};

TEST_P(BadFile, IsRefusedWithFieldAndRemedy) {
  const ParsedEntry entry = ParseOne(GetParam().json);
  ASSERT_TRUE(entry.rejection);
  EXPECT_THAT(entry.rejection->ToString(), HasSubstr(GetParam().expected));
  EXPECT_THAT(entry.rejection->ToString(), Not(HasSubstr("CANARY")));
}

INSTANTIATE_TEST_SUITE_P(
    Values, BadFile,
    ::testing::Values(
        Row{"Empty", "", "empty"}, Row{"Blank", " \n", "empty"}, Row{"Cut", "{\"a\":", "not valid"},
        Row{"Comment", "{} // x", "not valid"}, Row{"Scalar", "1", "object or an array"},
        Row{"Nan", KEY(",\"priority\":NaN"), "not valid"},
        Row{"Overflow", KEY(",\"x\":1e999"), "too large"},
        Row{"Twice", KEY(",\"api_key\":\"CANARY\""), "\"api_key\" is there twice"},
        Row{"TwiceDeep", KEY(",\"x\":{\"y\":1,\"y\":2}"), "\"y\" is there twice"},
        Row{"NotUtf8", "{\"type\":\"\xff\xfe\"}", "UTF-8"},
        Row{"TypeForm", R"({"type":"a b"})", "type: "},
        Row{"BareServiceAccount", R"({"type":"service_account","private_key":"CANARY"})",
            "wrap it"},
        Row{"EmailForm", KEY(",\"email\":1"), "email: must be a string"},
        Row{"LabelControl", KEY(",\"label\":\"a\\u0000\""), "label: must not contain"},
        Row{"DisabledForm", KEY(",\"disabled\":\"maybe\""), "disabled: must be true"},
        Row{"DisabledNumber", KEY(",\"disabled\":1"), "disabled: must be true"},
        Row{"PriorityForm", KEY(",\"priority\":\"high\""), "priority: must be a number"},
        Row{"PriorityFloatText", KEY(",\"priority\":\"1.5\""), "priority: must be a number"},
        Row{"PriorityRange", KEY(",\"priority\":1e300"), "priority: must be between"},
        Row{"PriorityList", KEY(",\"priority\":[]"), "priority: must be a number"},
        Row{"WeightOver", KEY(",\"weight\":1000001"), "weight: must be between"},
        Row{"WeightHuge", KEY(",\"weight\":99999999999999999999"), "weight: must be between"},
        Row{"WeightHugeText", KEY(",\"weight\":\"99999999999999999999\""),
            "weight: must be between"},
        Row{"WeightFraction", KEY(",\"weight\":1.5"), "weight: must be an integer"},
        Row{"WeightText", KEY(",\"weight\":\"x\""), "weight: must be an integer"},
        Row{"WeightBool", KEY(",\"weight\":true"), "weight: must be an integer"},
        Row{"ProxyScheme", KEY(",\"proxy_url\":\"ftp://h\""), "proxy_url: must be"},
        Row{"ProxyHost", KEY(",\"proxy_url\":\"http://:80\""), "proxy_url: must be"},
        Row{"ProxyPort", KEY(",\"proxy_url\":\"http://h:99999\""), "proxy_url: must be"},
        Row{"ProxyBlank", KEY(",\"proxy_url\":\"http://a b\""), "proxy_url: must be"},
        Row{"BaseUrl", KEY(",\"base_url\":\"file:///etc\""), "base_url: must be"},
        Row{"HeadersForm", KEY(",\"headers\":[\"a\"]"), "headers: must be an object"},
        Row{"HeaderValue", KEY(",\"headers\":{\"X-A\":\"a\\r\\nCANARY\"}"),
            "headers.X-A: must not"},
        Row{"HeaderName", KEY(",\"headers\":{\"X A\":\"a\"}"), "headers: a name"},
        Row{"HeaderNumber", KEY(",\"headers\":{\"X-A\":1}"), "headers.X-A: must be a string"},
        Row{"HeaderTwice", KEY(",\"headers\":{\"X-A\":\"1\",\"x-a\":\"2\"}"), "is there twice"},
        Row{"ExcludedForm", KEY(",\"excluded_models\":\"a\""), "excluded_models: must be a list"},
        Row{"ExcludedItem", KEY(",\"excluded_models\":[1]"), "excluded_models: must be a list"},
        Row{"AliasForm", KEY(",\"model_aliases\":{\"a\":\"b\"}"), "model_aliases: must be a list"},
        Row{"AliasPart", KEY(",\"model_aliases\":[{\"alias\":\"b\"}]"), "model_aliases: must be"},
        Row{"CoolingForm", KEY(",\"disable_cooling\":2"), "disable_cooling: must be true"},
        Row{"CapNegative", KEY(",\"max_in_flight\":-1"), "max_in_flight: must be between"},
        Row{"CapHuge", KEY(",\"max_in_flight_per_model\":1e9"), "max_in_flight_per_model: must be"},
        Row{"RetryRange", KEY(",\"request-retry\":101"), "request_retry: must be between"},
        Row{"IntervalShort", KEY(",\"refresh_interval_seconds\":1"), "refresh_interval_seconds: "},
        Row{"TimeForm", EXPIRES("\"soon\""), "expired: must be an RFC 3339"},
        Row{"TimeNegative", EXPIRES("-5"), "expired: must be"},
        Row{"TimeBool", EXPIRES("true"), "expired: must be"},
        Row{"TimeHuge", EXPIRES("1e300"), "expired: must be"},
        Row{"KeyControl", R"({"type":"foo","api_key":"CANARY\n"})", "api_key: must not contain"},
        Row{"KeyForm", R"({"type":"foo","api_key":5})", "api_key: must be a string"},
        Row{"TokenControl", R"({"type":"claude","access_token":"\u0001"})",
            "access_token: must not"},
        Row{"RefreshControl", R"({"type":"claude","refresh_token":"a\tb"})",
            "refresh_token: must not"},
        Row{"CookieControl", R"({"type":"iflow","cookie":"a\rb"})", "cookie: must not"},
        Row{"NestedControl", R"({"type":"gemini","token":{"refresh_token":"\u007f"}})",
            "token.refresh_token: must not"},
        Row{"HiddenControl", KEY(",\"x\":{\"secret\":\"CANARY\\n\"}"), "x.secret: must not"},
        Row{"AccountForm", R"({"type":"vertex","service_account":"x"})",
            "service_account: must be"},
        Row{"AccountKey", R"({"type":"vertex","service_account":{}})", "service_account: must be"},
        Row{"AttributeControl", KEY(",\"account_id\":\"a\\nb\""), "account_id: must not"}),
    RowName);

TEST(AuthFile, WithoutTypeIsNoCredentialFile) {
  for (const char* json : {"{}", R"({"type":""})", R"({"type":7,"api_key":"k"})"}) {
    const ParsedEntry entry = ParseOne(json);
    EXPECT_FALSE(entry.rejection) << json;
    EXPECT_FALSE(entry.credential) << json;
  }
}

TEST(AuthFile, TakesTheProviderOfItsSourceWhereItHasNoType) {
  const ParsedFile file = ParseAuthFile(R"({"api_key":"k"})", {.provider = "openai"});
  ASSERT_EQ(file.entries.size(), 1u);
  EXPECT_EQ(file.entries[0].credential->document.provider, "openai");
}

TEST(AuthFile, DeeperThanTheLimitIsRefused) {
  std::string json = KEY(",\"x\":");
  json.pop_back();
  std::string deep = json + std::string(100'000, '[');
  EXPECT_THAT(ParseOne(deep).rejection->ToString(), HasSubstr("nested deeper"));
}

TEST(AuthFile, LargerThanTheLimitIsRefused) {
  const std::string json = std::string(R"({"type":"foo","api_key":"k","x":")") +
                           std::string(kMaxObjectBytes, 'a') + "\"}";
  EXPECT_THAT(ParseOne(json).rejection->ToString(), HasSubstr("larger than 1 MiB"));
}

TEST(AuthFile, TellsHalfWrittenFromBroken) {
  EXPECT_TRUE(ParseAuthFile("", {}).cut_off);
  EXPECT_TRUE(ParseAuthFile(R"({"type":"cl)", {}).cut_off);
  EXPECT_TRUE(ParseAuthFile(absl::string_view("{\"a\":1\0\0\0", 9), {}).cut_off);
  EXPECT_FALSE(ParseAuthFile(R"({"type":}})", {}).cut_off);
}

TEST(AuthFile, ReadsEachEntryOfAnArray) {
  const ParsedFile file =
      ParseAuthFile(R"([{"type":"foo","api_key":"a"},3,{"x":1},{"type":"foo","weight":1.5}])", {});
  ASSERT_EQ(file.entries.size(), 4u);
  EXPECT_TRUE(file.entries[0].credential);
  EXPECT_EQ(file.entries[0].id_suffix, "/0");
  EXPECT_TRUE(file.entries[1].rejection);
  EXPECT_FALSE(file.entries[2].rejection || file.entries[2].credential);
  EXPECT_EQ(file.entries[3].rejection->field, "weight");
}

TEST(KeyList, ReadsAKeyALineAndSkipsComments) {
  const ParsedFile file = ParseAuthFile("\xEF\xBB\xBF# mine\r\nk1\r\n\n  k2  \nk1\nk 3\n",
                                        {.provider = "openai", .key_per_line = true});
  ASSERT_EQ(file.entries.size(), 4u);
  EXPECT_EQ(file.entries[0].credential->secret->api_key.reveal(), "k1");
  EXPECT_EQ(file.entries[0].index, 1);
  EXPECT_EQ(file.entries[0].id_suffix.size(), 13u);
  EXPECT_EQ(file.entries[1].credential->secret->api_key.reveal(), "k2");
  EXPECT_THAT(file.entries[2].rejection->ToString(), HasSubstr("already"));
  EXPECT_THAT(file.entries[3].rejection->ToString(), HasSubstr("blanks"));
}

class RoundTrip : public ::testing::TestWithParam<const char*> {};

TEST_P(RoundTrip, GivesTheSameDocumentWithoutSecrets) {
  const ParsedEntry first = ParseOne(GetParam());
  ASSERT_TRUE(first.credential);
  core::Document document = first.credential->document;
  document.id = "src/dir/name";
  document.source = "src";
  const ExportedFile file = ExportCredential(document, {.enabled = !first.credential->disabled});
  EXPECT_EQ(file.relative_path, "dir/name.json");
  EXPECT_THAT(file.json, Not(HasSubstr("CANARY")));
  const ParsedEntry second = ParseOne(file.json);
  ASSERT_TRUE(second.credential) << file.json;
  EXPECT_FALSE(second.credential->has_secret);
  EXPECT_EQ(second.credential->disabled, first.credential->disabled);
  core::Document again = second.credential->document;
  again.source = "src";
  again.kind = document.kind;  // comes from the secret
  EXPECT_TRUE(SameDocument(again, document)) << file.json;
}

INSTANTIATE_TEST_SUITE_P(
    Files, RoundTrip,
    ::testing::Values(
        R"({"type":"claude","access_token":"CANARY","refresh_token":"CANARY","account_uuid":"u",
        "last_refresh":"x","expired":"2030-01-01T00:00:00Z","session_token":"CANARY",
        "unknown":{"a":[1,2.5,null],"client_secret":"CANARY"},"disabled":true})",
        R"({"type":"gemini","token":{"access_token":"CANARY","refresh_token":"CANARY",
        "client_id":"c","client_secret":"CANARY","token_uri":"https://t","x":1},"project_id":"p"})",
        R"({"type":"foo","api_key":"CANARY","email":"e","label":"l","note":"n","priority":3,
        "weight":0,"prefix":"p","proxy_url":"socks5://h:1","base_url":"https://b","headers":
        {"X-A":"b"},"excluded_models":["m*"],"models":["n"],"model_aliases":[{"alias":"a","model":
        "m"}],"disable_cooling":true,"max_in_flight":0,"max_in_flight_per_model":2,
        "request_retry":3,
        "refresh_interval_seconds":90,"labels":{"tier":"gold"}})",
        R"({"type":"vertex","service_account":{"private_key":"CANARY","project_id":"p"}})",
        R"({"type":"kiro","accessToken":"CANARY","profileArn":"a"})"));

TEST(Export, LeavesOutSecretHeadersAndProxyPasswords) {
  const ParsedEntry entry = ParseOne(KEY(
      R"(,"proxy_url":"http://u:CANARY@h","headers":{"Authorization":"CANARY","X-Api-Key":"CANARY",
      "X-A":"b"})"));
  const ExportedFile file = ExportCredential(entry.credential->document, {});
  EXPECT_THAT(file.json, Not(HasSubstr("CANARY")));
  EXPECT_THAT(file.json, HasSubstr("X-A"));
}

}  // namespace
}  // namespace credbroker::import
