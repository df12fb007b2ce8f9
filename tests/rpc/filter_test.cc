#include "server/rpc/filter.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace credbroker::rpc {
namespace {

struct Row {
  core::Document document;
  core::Intent intent;
  core::CredentialRow row;
  Row() {
    document.id = "src/ops-1";
    document.group = "prod";
    document.provider = "claude";
    document.email = "ops-1@example.com";
    document.priority = 5;
    document.labels = {{"tier", "gold"}};
    document.kind = core::Kind::kOAuth;
    document.create_time = absl::FromUnixSeconds(1'700'000'000);
    row.document = &document;
    row.intent = &intent;
    row.state = core::State::kWaiting;
    row.cause = core::Cause::kRateLimit;
    row.in_flight = 3;
    row.next_recover = absl::FromUnixSeconds(1'700'000'100);
  }
};

struct Case {
  const char* filter;
  bool matches;
};
class FilterMatches : public testing::TestWithParam<Case> {};
TEST_P(FilterMatches, AsTheTableSays) {
  Row row;
  const auto filter = Filter::Parse(GetParam().filter, Filter::Fields::kAll);
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(filter->Matches(row.row), GetParam().matches) << GetParam().filter;
}
INSTANTIATE_TEST_SUITE_P(
    Table, FilterMatches,
    testing::Values(Case{"", true}, Case{"provider = claude", true}, Case{"provider=codex", false},
                    Case{"provider != codex", true}, Case{"email = \"ops-*\"", true},
                    Case{"email = ops-*", true}, Case{"email != \"ops-*\"", false},
                    Case{"email = \"ops-\\*\"", false}, Case{"priority >= 5", true},
                    Case{"priority > 5", false}, Case{"priority < 6 AND in_flight = 3", true},
                    Case{"labels.tier = gold", true}, Case{"labels.other = gold", false},
                    Case{"labels.other = \"\"", true}, Case{"NOT labels.tier = gold", false},
                    Case{"state = waiting", true}, Case{"cause = rate_limited", true},
                    Case{"cause = RATE_LIMITED", true}, Case{"kind = oauth", true},
                    Case{"disabled = false", true}, Case{"half_open = true", false},
                    Case{"max_in_flight = 0", false}, Case{"max_in_flight != 0", true},
                    Case{"create_time > 2020-01-01T00:00:00Z", true},
                    Case{"next_recover_time < 2020-01-01T00:00:00Z", false},
                    // AIP-160: OR binds tighter than AND.
                    Case{"provider = codex AND priority = 5 OR priority = 6", false},
                    Case{"(provider = codex AND priority = 5) OR priority = 5", true},
                    Case{"NOT (provider = claude AND priority = 5)", false}));

struct Bad {
  const char* filter;
  const char* position;
};
class FilterErrors : public testing::TestWithParam<Bad> {};
TEST_P(FilterErrors, NamePositionAndToken) {
  const auto filter = Filter::Parse(GetParam().filter, Filter::Fields::kAll);
  ASSERT_FALSE(filter.ok());
  EXPECT_EQ(filter.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(filter.status().message()).find(GetParam().position), 0u)
      << filter.status();
}
INSTANTIATE_TEST_SUITE_P(
    Table, FilterErrors,
    testing::Values(Bad{"nothing = 1", "at 1, 'nothing'"},
                    Bad{"provider claude", "at 10, 'claude'"}, Bad{"provider =", "at 11, end"},
                    Bad{"priority = five", "at 12, 'five'"}, Bad{"(provider = a", "at 14, end"},
                    Bad{"provider = a)", "at 13, ')'"}, Bad{"provider = \"a", "at 12, '\"'"},
                    Bad{"state > waiting", "at 9, 'waiting'"},
                    Bad{"state = asleep", "at 9, 'asleep'"}, Bad{"AND", "at 1, 'AND'"},
                    Bad{"provider = a OR", "at 16, end"}, Bad{"labels. = a", "at 1, 'labels.'"},
                    Bad{"provider ! a", "at 10, '!'"},
                    Bad{"priority = 99999999999999999999", "at 12"},
                    Bad{"create_time > yesterday", "at 15, 'yesterday'"},
                    Bad{"provider > a*", "at 12, 'a*'"}, Bad{"busy = 1", "at 8, '1'"}));

TEST(Filter, RefusesWhatIsTooDeepTooLongOrTooMuch) {
  const std::string deep = std::string(40, '(') + "priority = 1" + std::string(40, ')');
  EXPECT_FALSE(Filter::Parse(deep, Filter::Fields::kAll).ok());
  std::string nots;
  for (int i = 0; i < 40; ++i) nots += "NOT ";
  EXPECT_FALSE(Filter::Parse(nots + "priority = 1", Filter::Fields::kAll).ok());
  std::string many = "priority = 1";
  for (int i = 0; i < 128; ++i) many += " OR priority = 1";
  EXPECT_FALSE(Filter::Parse(many, Filter::Fields::kAll).ok());
  EXPECT_FALSE(Filter::Parse(std::string(5000, ' '), Filter::Fields::kAll).ok());
}

TEST(Filter, OfABatchTakesDocumentFieldsOnly) {
  EXPECT_TRUE(Filter::Parse("priority = 1", Filter::Fields::kDocument).ok());
  EXPECT_FALSE(Filter::Parse("state = waiting", Filter::Fields::kDocument).ok());
}

TEST(Order, ParsesItsFieldsAndRefusesOthers) {
  const auto order = ParseOrder("priority desc, id");
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(order->key, Order::Key::kPriority);
  EXPECT_TRUE(order->descending);
  EXPECT_TRUE(ParseOrder("").ok());
  EXPECT_FALSE(ParseOrder("email").ok());
  EXPECT_FALSE(ParseOrder("priority up").ok());
  EXPECT_FALSE(ParseOrder("priority, priority").ok());
}

}  // namespace
}  // namespace credbroker::rpc
