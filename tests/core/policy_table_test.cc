#include "core/policy.h"

#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "core/policy_builtin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace credbroker::core {
namespace {

using testing::HasSubstr;
using Headers = std::vector<std::pair<std::string, std::string>>;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

// A report and the lease it is about.
struct Given {
  int status = 0;
  std::string code;
  std::string body;
  Headers headers;
  Kind kind = Kind::kApiKey;
  bool refreshable = false;
  bool model_named = true;
  std::string provider = "openai";
  Outcome stated = Outcome::kOther;
};

Verdict Classify(const PolicyTable& table, const Given& g) {
  ReportFacts facts;
  facts.stated = g.stated;
  facts.http_status = g.status;
  facts.error_code = g.code;
  facts.body = g.body;
  facts.headers = g.headers;
  return table.Classify(g.provider, g.kind, g.refreshable, g.model_named, facts, kNow);
}

TEST(BuiltinRows, HaveNamesOfTheirOwnAndPassTheirOwnCheck) {
  ProviderPolicy all = {.provider = "*"};
  for (const char* provider : {"", "gemini", "anthropic", "xai"}) {
    for (const PolicyRow& row : BuiltinRowsOf(provider)) all.rows.push_back(row);
  }
  for (const PolicyRow& row : BuiltinRows()) all.rows.push_back(row);
  ASSERT_EQ(all.rows.back().name, "other");
  all.rows.pop_back();  // matches everything, which only the built-in table may
  EXPECT_EQ(PolicyTable::Create({all}).status(), absl::OkStatus());
}

PolicyRow Custom(std::string name) {
  PolicyRow row;
  row.name = std::move(name);
  row.statuses = {418};
  row.action = Action::kWait;
  row.duration = absl::Minutes(1);
  return row;
}

TEST(PolicyTable, OwnRowsComeBeforeThoseOfAllProvidersBeforeTheBuiltIn) {
  ProviderPolicy own = {.provider = "acme", .cap = absl::Minutes(5), .rows = {Custom("own")}};
  ProviderPolicy all = {.provider = "*", .cap = absl::Minutes(7), .rows = {Custom("all")}};
  all.rows[0].statuses = {4};
  const auto table = PolicyTable::Create({all, own});
  ASSERT_TRUE(table.ok()) << table.status();
  const Verdict teapot = Classify(**table, {.status = 418, .provider = "acme"});
  EXPECT_EQ(teapot.row, "own");
  EXPECT_EQ(teapot.cap, absl::Minutes(5));
  EXPECT_EQ(teapot.cause, Cause::kPolicy);
  EXPECT_EQ(teapot.outcome, Outcome::kRequestFault);
  EXPECT_EQ(teapot.advice, Advice::kRetryOther);
  EXPECT_EQ(Classify(**table, {.status = 429, .provider = "acme"}).row, "all");
  EXPECT_EQ(Classify(**table, {.status = 429, .provider = "acme"}).outcome, Outcome::kRateLimited);
  EXPECT_EQ(Classify(**table, {.status = 418, .provider = "other"}).cap, absl::Minutes(7));
  EXPECT_EQ(Classify(**table, {.status = 500, .provider = "acme"}).row, "transient");
}

TEST(PolicyTable, PerModelLimitsAreTheConfigurationsWord) {
  const auto table = PolicyTable::Create({{.provider = "acme", .per_model_limits = true},
                                          {.provider = "gemini", .per_model_limits = false},
                                          {.provider = "vertex"}});
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(Classify(**table, {.status = 429, .provider = "acme"}).scope, Scope::kModel);
  EXPECT_EQ(Classify(**table, {.status = 429, .provider = "gemini"}).scope, Scope::kCredential);
  EXPECT_EQ(Classify(**table, {.status = 429, .provider = "vertex"}).scope, Scope::kModel);
}

TEST(PolicyTable, MatchesEveryPartOfARow) {
  PolicyRow row = Custom("all-parts");
  row.statuses = {5, 403};
  row.kind = Kind::kOAuth;
  row.error_codes = {"Busy"};
  row.body_contains = "One*Two";
  row.header_name = "X-Why";
  row.header_contains = "Maintenance";
  const auto table = PolicyTable::Create({{.provider = "acme", .rows = {row}}});
  ASSERT_TRUE(table.ok()) << table.status();
  const Given good = {.status = 503,
                      .code = "BUSY",
                      .body = "..ONE and two",
                      .headers = {{"x-why", "planned MAINTENANCE"}},
                      .kind = Kind::kOAuth,
                      .provider = "acme"};
  EXPECT_EQ(Classify(**table, good).row, "all-parts");
  std::vector<Given> bad(6, good);
  bad[0].status = 404;
  bad[1].code = "other";
  bad[2].body = "two and one";
  bad[3].headers = {};
  bad[4].kind = Kind::kApiKey;
  bad[5].headers = {{"x-why", "no"}};
  for (const Given& g : bad) EXPECT_NE(Classify(**table, g).row, "all-parts");
}

TEST(PolicyTable, RefreshWhereNothingRefreshesBecomesAWait) {
  PolicyRow row;
  row.name = "stale";
  row.statuses = {419};
  row.action = Action::kRefresh;
  const auto table = PolicyTable::Create({{.provider = "acme", .rows = {row}}});
  ASSERT_TRUE(table.ok()) << table.status();
  Given g = {.status = 419, .kind = Kind::kOAuth, .refreshable = true, .provider = "acme"};
  EXPECT_EQ(Classify(**table, g).action, Action::kRefresh);
  EXPECT_EQ(Classify(**table, g).advice, Advice::kRetrySame);
  g.refreshable = false;
  const Verdict v = Classify(**table, g);
  EXPECT_EQ(v.action, Action::kWait);
  EXPECT_EQ(v.cause, Cause::kTokenRejected);
  EXPECT_EQ(v.hint, absl::Minutes(30));
  EXPECT_EQ(v.advice, Advice::kRetryOther);
}

TEST(PolicyTable, HintsCanBeIgnoredOrGivenAFloor) {
  PolicyRow deaf = Custom("deaf");
  deaf.use_hints = false;
  PolicyRow floor = Custom("floor");
  floor.statuses = {420};
  floor.hint_floor = absl::Seconds(20);
  const auto table = PolicyTable::Create({{.provider = "acme", .rows = {deaf, floor}}});
  ASSERT_TRUE(table.ok());
  const Headers five = {{"retry-after", "5"}};
  EXPECT_EQ(Classify(**table, {.status = 418, .headers = five, .provider = "acme"}).hint,
            absl::Minutes(1));
  EXPECT_EQ(Classify(**table, {.status = 420, .headers = five, .provider = "acme"}).hint,
            absl::Seconds(20));
  EXPECT_EQ(Classify(**table, {.status = 420, .provider = "acme"}).hint, absl::Minutes(1));
}

struct BadRow {
  std::string message;
  void (*spoil)(PolicyRow&);
  friend void PrintTo(const BadRow& bad, std::ostream* out) { *out << bad.message; }
};

class PolicyCheck : public testing::TestWithParam<BadRow> {};

TEST_P(PolicyCheck, NamesProviderRowAndField) {
  PolicyRow row = Custom("y");
  GetParam().spoil(row);
  const absl::Status s = PolicyTable::Create({{.provider = "x", .rows = {row}}}).status();
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(s.message()), HasSubstr("provider 'x' row '"));
  EXPECT_THAT(std::string(s.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, PolicyCheck,
    testing::Values(
        BadRow{"field 'name'", [](PolicyRow& r) { r.name = ""; }},
        BadRow{"field 'match'", [](PolicyRow& r) { r.statuses = {}; }},
        BadRow{"field 'statuses': 7 is", [](PolicyRow& r) { r.statuses = {7}; }},
        BadRow{"field 'statuses': 600 is", [](PolicyRow& r) { r.statuses = {600}; }},
        BadRow{"field 'error_codes'", [](PolicyRow& r) { r.error_codes = {""}; }},
        BadRow{"field 'body'", [](PolicyRow& r) { r.body_contains = "**"; }},
        BadRow{"field 'header_value'", [](PolicyRow& r) { r.header_contains = "v"; }},
        BadRow{"field 'duration': must be > 0",
               [](PolicyRow& r) { r.duration = absl::ZeroDuration(); }},
        BadRow{"field 'duration': must be > 0",
               [](PolicyRow& r) { r.duration = absl::InfiniteDuration(); }},
        BadRow{"field 'duration': not together",
               [](PolicyRow& r) {
                 r.ladder = {absl::Seconds(1), 2, absl::Seconds(2)};
               }},
        BadRow{"field 'duration': action wait needs", [](PolicyRow& r) { r.duration.reset(); }},
        BadRow{"field 'ladder.first': must be > 0",
               [](PolicyRow& r) { r.ladder.max = absl::Seconds(1); }},
        BadRow{"field 'ladder.factor'",
               [](PolicyRow& r) {
                 r.ladder = {absl::Seconds(1), std::numeric_limits<double>::quiet_NaN(),
                             absl::Seconds(2)};
               }},
        BadRow{"field 'ladder.max'",
               [](PolicyRow& r) {
                 r.ladder = {absl::Seconds(2), 2, absl::Seconds(1)};
               }},
        BadRow{"field 'cap'", [](PolicyRow& r) { r.cap = -absl::Seconds(1); }},
        BadRow{"field 'hint_floor'", [](PolicyRow& r) { r.hint_floor = -absl::Seconds(1); }},
        BadRow{"field 'disable_after'", [](PolicyRow& r) { r.disable_after = -1; }},
        BadRow{"field 'disable_after'",
               [](PolicyRow& r) {
                 r.disable_after = 3;
                 r.scope = Scope::kModel;
               }},
        BadRow{"field 'duration': a disabled", [](PolicyRow& r) { r.action = Action::kDisable; }},
        BadRow{"field 'scope': disable",
               [](PolicyRow& r) {
                 r.action = Action::kDisable;
                 r.duration.reset();
                 r.scope = Scope::kModel;
               }},
        BadRow{"field 'action': a request", [](PolicyRow& r) { r.scope = Scope::kRequest; }},
        BadRow{"field 'cause': busy", [](PolicyRow& r) { r.cause = Cause::kBusy; }},
        BadRow{"field 'cause': overloaded", [](PolicyRow& r) { r.cause = Cause::kOverloaded; }},
        BadRow{"field 'cause': refresh", [](PolicyRow& r) { r.cause = Cause::kRefresh; }},
        BadRow{"field 'duration': action none", [](PolicyRow& r) { r.action = Action::kNone; }}));

TEST(PolicyCheckWhole, RefusesDuplicatesAndBadProviders) {
  const auto error = [](std::vector<ProviderPolicy> providers) {
    return std::string(PolicyTable::Create(std::move(providers)).status().message());
  };
  EXPECT_THAT(error({{.provider = "x", .rows = {Custom("a"), Custom("a")}}}),
              HasSubstr("row 'a' field 'name': is taken"));
  EXPECT_THAT(error({{.provider = "x"}, {.provider = "x"}}), HasSubstr("is given twice"));
  EXPECT_THAT(error({{.provider = "X"}}), HasSubstr("provider 'X' field 'name'"));
  EXPECT_THAT(error({{.provider = "x", .cap = absl::ZeroDuration()}}), HasSubstr("field 'cap'"));
}

}  // namespace
}  // namespace credbroker::core
