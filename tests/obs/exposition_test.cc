#include "server/obs/exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace credbroker::obs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Exposition, ShowsAMetricWithoutLabelsAsZeroWhenNobodyReportedIt) {
  EXPECT_THAT(Exposition().Text(), HasSubstr("\ncredbroker_store_up 0\n"));
}

TEST(Exposition, MergesEqualLabelsInsteadOfRepeatingTheSeries) {
  Exposition out;
  out.Add(metric::kBusy, {"g", "other"}, 2);
  out.Add(metric::kBusy, {"g", "other"}, 3);
  EXPECT_THAT(out.Text(),
              HasSubstr("credbroker_credentials_busy{group=\"g\",provider=\"other\"} 5"));
}

TEST(Exposition, KeepsTheNearestRecoveryWhenProvidersAreFolded) {
  Exposition out;
  for (const double seconds : {0.0, 30.0, 7.0}) {
    out.Add(metric::kNextRecovery, {"other"}, seconds, Exposition::Merge::kMinPositive);
  }
  EXPECT_THAT(out.Text(), HasSubstr("credbroker_next_recovery_seconds{provider=\"other\"} 7\n"));
}

TEST(Exposition, NeverShowsNotANumber) {
  Exposition out;
  out.Add(metric::kNextRecovery, {"a"}, std::numeric_limits<double>::quiet_NaN());
  out.Add(metric::kNextRecovery, {"b"}, std::numeric_limits<double>::infinity());
  out.Add(metric::kNextRecovery, {"c"}, -1);
  const std::string text = out.Text();
  for (const char* label : {"a", "b", "c"}) {
    EXPECT_THAT(text, HasSubstr("{provider=\"" + std::string(label) + "\"} 0\n"));
  }
  EXPECT_THAT(text, Not(HasSubstr("Nan")));
}

TEST(Exposition, MakesHistogramBucketsCumulative) {
  Histogram histogram(metric::kStoreCommitDuration);
  histogram.Observe(absl::Microseconds(600));
  histogram.Observe(absl::Seconds(100));
  Exposition out;
  out.Add({}, histogram);
  const std::string text = out.Text();
  EXPECT_THAT(text, HasSubstr("_bucket{le=\"0.0005\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("_bucket{le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("_bucket{le=\"5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("credbroker_store_commit_duration_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("credbroker_store_commit_duration_seconds_count 2\n"));
}

TEST(CleanLabel, LetsOnlyNamesThrough) {
  EXPECT_EQ(CleanLabel("rate_limit"), "rate_limit");
  EXPECT_EQ(CleanLabel(""), "other");
  EXPECT_EQ(CleanLabel("a b"), "other");
  EXPECT_EQ(CleanLabel("a\"} 1\nfake 2"), "other");
  EXPECT_EQ(CleanLabel(std::string(65, 'a')), "other");
}

}  // namespace
}  // namespace credbroker::obs
