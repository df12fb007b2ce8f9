#include "server/obs/metric_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "server/obs/instruments.h"

namespace credbroker::obs {
namespace {

// promtool looks at what is exposed; these rules hold for every row, exposed or not.
class MetricTable : public testing::TestWithParam<const MetricSpec*> {};

TEST_P(MetricTable, FollowsTheNamingConventions) {
  const MetricSpec& spec = *GetParam();
  const std::string name = spec.name;
  EXPECT_TRUE(absl::StartsWith(name, "credbroker_") || absl::StartsWith(name, "grpc_server_") ||
              absl::StartsWith(name, "process_"));
  EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << name;
  EXPECT_EQ(spec.type == MetricType::kCounter, absl::EndsWith(name, "_total")) << name;
  if (spec.type == MetricType::kHistogram) {
    EXPECT_TRUE(absl::EndsWith(name, "_seconds")) << name;
  }
}

TEST_P(MetricTable, HasOneLineOfHelpAndOnlyClosedLabels) {
  const MetricSpec& spec = *GetParam();
  const std::string help = spec.help;
  EXPECT_GT(help.size(), 10U);
  EXPECT_EQ(help.find_first_of("\n\\"), std::string::npos);
  const std::set<std::string> allowed = {
      "group",    "provider",  "outcome",      "state",       "cause",    "event",
      "result",   "source",    "item",         "disposition", "version",  "revision",
      "compiler", "grpc_type", "grpc_service", "grpc_method", "grpc_code"};
  for (size_t i = 0; i < spec.LabelCount(); ++i) {
    EXPECT_TRUE(allowed.contains(spec.labels[i])) << spec.name << " has label " << spec.labels[i];
  }
}

TEST_P(MetricTable, HasAscendingBucketsExactlyIfItIsAHistogram) {
  const MetricSpec& spec = *GetParam();
  EXPECT_EQ(spec.type == MetricType::kHistogram, !spec.buckets.empty()) << spec.name;
  EXPECT_LE(spec.buckets.size(), Histogram::kMaxBounds);
  for (size_t i = 1; i < spec.buckets.size(); ++i) {
    EXPECT_LT(spec.buckets[i - 1], spec.buckets[i]) << spec.name;
  }
}

std::string NameOf(const testing::TestParamInfo<const MetricSpec*>& spec) {
  return spec.param->name;
}
INSTANTIATE_TEST_SUITE_P(Rows, MetricTable, testing::ValuesIn(metric::kAll), NameOf);

TEST(MetricTableAsAWhole, NamesNoMetricTwice) {
  std::set<std::string> names;
  for (const MetricSpec* spec : metric::kAll) {
    EXPECT_TRUE(names.insert(spec->name).second) << spec->name;
  }
}

}  // namespace
}  // namespace credbroker::obs
