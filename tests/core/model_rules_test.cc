#include "core/model_rules.h"

#include "gtest/gtest.h"
#include "tests/core/random.h"

namespace credbroker::core {
namespace {

TEST(CanonicalModel, StripsOneSuffixAndBlanks) {
  static constexpr struct {
    const char* given;
    const char* expected;
  } kCases[] = {
      {"claude-x(high)", "claude-x"},
      {"claude-x (high) ", "claude-x"},
      {"  claude-x\t", "claude-x"},
      {"claude-x()", "claude-x"},
      {"claude-x(a)(b)", "claude-x(a)"},
      {"claude-x(a(b))", "claude-x"},
      {"claude-x(high)-y", "claude-x(high)-y"},
      {"claude-x)", "claude-x)"},
      {"claude-x(", "claude-x("},
      {"(high)", "(high)"},
      {"  ", ""},
      {"", ""},
  };
  for (const auto& row : kCases) EXPECT_EQ(CanonicalModel(row.given), row.expected) << row.given;
}

TEST(WildcardMatch, FollowsTheTable) {
  static constexpr struct {
    const char* pattern;
    const char* text;
    bool match;
  } kCases[] = {
      {"", "", true},          {"", "a", false},         {"*", "", true},
      {"*", "abc", true},      {"a*", "abc", true},      {"*c", "abc", true},
      {"a*c", "ac", true},     {"a*c", "abcb", false},   {"A", "a", false},
      {"a.c", "abc", false},   {"**a**", "a", true},     {"*ab*ab", "abab", true},
      {"*aab", "aaaab", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false},
      {"abc", "ab", false},
  };
  for (const auto& row : kCases) {
    EXPECT_EQ(WildcardMatch(row.pattern, row.text), row.match) << row.pattern << " " << row.text;
  }
}

// By definition: a star stands for nothing, or for one character and what it stands for then.
bool NaiveMatch(absl::string_view pattern, absl::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*' && NaiveMatch(pattern.substr(1), text)) return true;
  if (text.empty() || (pattern[0] != '*' && pattern[0] != text[0])) return false;
  return NaiveMatch(pattern[0] == '*' ? pattern : pattern.substr(1), text.substr(1));
}

TEST(WildcardMatch, AgreesWithItsDefinition) {
  Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    const std::string pattern = random.Text("ab*", 7);
    const std::string text = random.Text("ab", 9);
    ASSERT_EQ(WildcardMatch(pattern, text), NaiveMatch(pattern, text)) << pattern << " " << text;
  }
}

TEST(WildcardMatch, IsQuickOnHostilePatterns) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_FALSE(WildcardMatch(pattern + "b", std::string(10'000, 'a')));
}

struct RuleCase {
  const char* name;
  Document document;
  const char* model;
  bool served;
  const char* upstream;
};

Document Rules(std::string prefix, std::vector<std::string> models,
               std::vector<std::string> excluded = {}, std::vector<ModelAlias> aliases = {}) {
  Document document;
  document.prefix = std::move(prefix);
  document.models = std::move(models);
  document.excluded_models = std::move(excluded);
  document.model_aliases = std::move(aliases);
  return document;
}

class RuleSetCase : public testing::TestWithParam<RuleCase> {};

TEST_P(RuleSetCase, ServesAsTheTableSays) {
  const RuleSet rules(GetParam().document);
  absl::string_view upstream;
  EXPECT_EQ(rules.Serves(GetParam().model, &upstream), GetParam().served);
  if (GetParam().served) {
    EXPECT_EQ(upstream, GetParam().upstream);
  }
}

const std::vector<ModelAlias> kFast = {{"fast", "gpt-5-mini"}};

INSTANTIATE_TEST_SUITE_P(
    Table, RuleSetCase,
    testing::Values(
        RuleCase{"EverythingByDefault", Rules("", {}), "any", true, "any"},
        RuleCase{"NoModelNamed", Rules("p", {"x"}, {"*"}), "", true, ""},
        RuleCase{"PrefixTakenOff", Rules("team", {}), "team/gpt-5", true, "gpt-5"},
        RuleCase{"PrefixKeepsBareName", Rules("team", {}), "gpt-5", true, "gpt-5"},
        RuleCase{"PrefixAloneIsAName", Rules("team", {}), "team/", true, "team/"},
        RuleCase{"PrefixNeedsSlash", Rules("team", {}), "teamgpt", true, "teamgpt"},
        RuleCase{"Listed", Rules("", {"gpt-*"}), "gpt-5", true, "gpt-5"},
        RuleCase{"Unlisted", Rules("", {"gpt-*"}), "o3", false, ""},
        RuleCase{"ListedNameWithSuffix", Rules("", {"o3(high)"}), "o3", true, "o3"},
        RuleCase{"ListedBehindPrefix", Rules("t", {"gpt-*"}), "t/gpt-5", true, "gpt-5"},
        RuleCase{"UnlistedBehindPrefix", Rules("t", {"gpt-*"}), "t/o3", false, ""},
        RuleCase{"Excluded", Rules("", {}, {"*-mini"}), "gpt-5-mini", false, ""},
        RuleCase{"ExcludedBehindPrefix", Rules("t", {}, {"*-mini"}), "t/gpt-5-mini", false, ""},
        RuleCase{"ExclusionWinsOverList", Rules("", {"*"}, {"o3"}), "o3", false, ""},
        RuleCase{"ExclusionWithSuffixSparesOthers", Rules("", {}, {"*(high)"}), "o3", true, "o3"},
        RuleCase{"Alias", Rules("", {}, {}, kFast), "fast", true, "gpt-5-mini"},
        RuleCase{"AliasBehindPrefix", Rules("t", {}, {}, kFast), "t/fast", true, "gpt-5-mini"},
        RuleCase{"AliasBesideList", Rules("", {"o3"}, {}, kFast), "fast", true, "gpt-5-mini"},
        RuleCase{"AliasExcluded", Rules("", {}, {"fa*"}, kFast), "fast", false, ""},
        RuleCase{"AliasTargetExcluded", Rules("", {}, {"*mini"}, kFast), "fast", false, ""},
        RuleCase{"AliasTargetStaysAName", Rules("", {}, {}, kFast), "gpt-5-mini", true,
                 "gpt-5-mini"},
        RuleCase{"FirstAliasCounts", Rules("", {}, {}, {{"f", "one"}, {"f", "two"}}), "f", true,
                 "one"}),
    [](const testing::TestParamInfo<RuleCase>& row) { return row.param.name; });

TEST(RuleSet, HasEqualKeysForEqualBehaviourOnly) {
  EXPECT_EQ(RuleSet(Rules("", {"b", "a", "a"})).key(), RuleSet(Rules("", {"a", "b"})).key());
  EXPECT_NE(RuleSet(Rules("", {"ab"})).key(), RuleSet(Rules("", {"a", "b"})).key());
  EXPECT_NE(RuleSet(Rules("", {"a"})).key(), RuleSet(Rules("", {}, {"a"})).key());
  EXPECT_NE(RuleSet(Rules("a", {})).key(), RuleSet(Rules("", {"a"})).key());
  EXPECT_NE(RuleSet(Rules("", {}, {}, {{"a", "b"}})).key(),
            RuleSet(Rules("", {}, {}, {{"b", "a"}})).key());
  EXPECT_EQ(RuleSet(Document{}).key(), "");
  EXPECT_TRUE(RuleSet(Document{}).trivial());
  EXPECT_FALSE(RuleSet(Rules("p", {})).trivial());
}

}  // namespace
}  // namespace credbroker::core
