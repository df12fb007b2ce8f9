#include "server/obs/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/obs/sample_snapshot.h"

namespace credbroker::obs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Metrics::Options TestOptions() {
  return {.version = "1.2.3",
          .revision = "abc",
          .grpc_methods = {{"credbroker.v1.BrokerService", "Acquire", GrpcType::kUnary}}};
}

// The value of a line that begins with `series`, or -1.
double ValueOf(const std::string& text, const std::string& series) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    double value = 0;
    if (absl::StartsWith(line, series + " ") &&
        absl::SimpleAtod(line.substr(series.size() + 1), &value)) {
      return value;
    }
  }
  return -1;
}

int64_t SeriesIn(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  return std::count_if(lines.begin(), lines.end(),
                       [](const std::string& line) { return line[0] != '#'; });
}

TEST(Metrics, ShowsWhatThePoolCounted) {
  Metrics metrics(TestOptions());
  metrics.SetKnownNames({"default", "batch"}, {"codex"});
  metrics.SetPoolSource(SamplePool);
  const std::string text = metrics.Text();
  const std::string key = "{group=\"default\",provider=\"codex\"";
  EXPECT_EQ(ValueOf(text, "credbroker_credentials" + key + ",state=\"waiting\"}"), 2);
  EXPECT_EQ(ValueOf(text, "credbroker_credentials_by_cause" + key + ",cause=\"rate_limit\"}"), 2);
  EXPECT_EQ(ValueOf(text, "credbroker_acquisitions_total" + key + ",outcome=\"cooling\"}"), 4);
  EXPECT_EQ(ValueOf(text, "credbroker_credentials_half_open" + key + "}"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_credentials_busy" + key + "}"), 2);
  EXPECT_EQ(ValueOf(text, "credbroker_leases_in_flight" + key + "}"), 5);
  EXPECT_EQ(ValueOf(text, "credbroker_next_recovery_seconds{provider=\"codex\"}"), 12.5);
  EXPECT_EQ(ValueOf(text,
                    "credbroker_reports_total{provider=\"codex\",outcome=\"rate_limited\","
                    "disposition=\"duplicate\"}"),
            1);
  EXPECT_EQ(ValueOf(text, "credbroker_probes_total{provider=\"codex\",event=\"succeeded\"}"), 3);
  EXPECT_EQ(ValueOf(text, "credbroker_breaker_state{provider=\"codex\"}"), 2);
  EXPECT_EQ(ValueOf(text, "credbroker_breaker_opened_total{provider=\"codex\"}"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_backoffs{provider=\"codex\"}"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_backoffs_started_total{provider=\"codex\"}"), 6);
  EXPECT_EQ(ValueOf(text, "credbroker_leases_total{event=\"expired\"}"), 2);
  EXPECT_EQ(ValueOf(text, "credbroker_wait_queue_depth"), 8);
  EXPECT_EQ(ValueOf(text, "credbroker_affinity_bindings"), 9);
  EXPECT_EQ(ValueOf(text, "credbroker_affinity_rebinds_total"), 2);
  EXPECT_EQ(ValueOf(text, "credbroker_model_records_dropped_total"), 1);
}

TEST(Metrics, ShowsWhatTheStoreCounted) {
  Metrics metrics(TestOptions());
  metrics.SetStoreSource(SampleStore);
  const std::string text = metrics.Text();
  EXPECT_EQ(ValueOf(text, "credbroker_store_up"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_store_commits_total{result=\"failed\"}"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_store_rows_written_total"), 400);
  EXPECT_EQ(ValueOf(text, "credbroker_store_write_behind_delay_seconds"), 0.05);
  EXPECT_EQ(ValueOf(text, "credbroker_store_quarantined_rows"), 1);
}

TEST(Metrics, FoldsNamesThatAreNotConfiguredIntoOtherWithoutLosingCounts) {
  Metrics metrics(TestOptions());
  metrics.SetKnownNames({"default"}, {"codex"});
  metrics.SetPoolSource([] {
    PoolSnapshot pool;
    pool.groups = {SampleGroup("made-up-1", "codex"), SampleGroup("made-up-2", "codex")};
    return pool;
  });
  const std::string text = metrics.Text();
  EXPECT_THAT(text, Not(HasSubstr("made-up")));
  EXPECT_EQ(
      ValueOf(text,
              "credbroker_credentials{group=\"other\",provider=\"codex\",state=\"available\"}"),
      14);
}

TEST(Metrics, KeepsTheNumberOfSeriesWhenOnlyNumbersChange) {
  Metrics metrics(TestOptions());
  metrics.SetKnownNames({"default", "batch"}, {"codex"});
  metrics.SetPoolSource(SamplePool);
  const int64_t before = SeriesIn(metrics.Text());
  metrics.SetPoolSource([] {
    PoolSnapshot pool = SamplePool();
    pool.groups[0].states[0].count += 10000;
    pool.groups[0].causes[0].count = 0;
    pool.providers[0].next_recovery_seconds = 0;
    for (int i = 0; i < 1000; ++i)
      pool.groups.push_back(SampleGroup(absl::StrCat("g", i), "codex"));
    return pool;
  });
  const int64_t after = SeriesIn(metrics.Text());
  // One more group: "other".
  EXPECT_GT(before, 0);
  EXPECT_EQ(after - before, 3 + 2 + 3 + 3);
}

TEST(Metrics, ShowsTheBuildTheConfigurationAndImports) {
  Metrics metrics(TestOptions());
  metrics.ConfigLoaded(true, absl::FromUnixSeconds(1700000000));
  metrics.ConfigLoaded(false, absl::FromUnixSeconds(1700000500));
  metrics.imports(ImportSource::kWatchedDirectory, ImportResult::kRetried).Increment();
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("credbroker_build_info{version=\"1.2.3\",revision=\"abc\","));
  EXPECT_EQ(ValueOf(text, "credbroker_config_reloads_total{result=\"success\"}"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_config_reloads_total{result=\"failure\"}"), 1);
  EXPECT_EQ(ValueOf(text, "credbroker_config_last_reload_successful"), 0);
  EXPECT_EQ(ValueOf(text, "credbroker_config_last_reload_success_timestamp_seconds"), 1700000000);
  EXPECT_EQ(
      ValueOf(text, "credbroker_imports_total{source=\"watched_directory\",result=\"retried\"}"),
      1);
  EXPECT_EQ(ValueOf(text, "credbroker_imports_total{source=\"rpc\",result=\"created\"}"), 0);
}

TEST(Metrics, MeasuresTheProcessItself) {
  Metrics metrics(TestOptions());
  const std::string text = metrics.Text();
  EXPECT_GT(ValueOf(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(ValueOf(text, "process_open_fds"), 2);
  EXPECT_GE(ValueOf(text, "process_cpu_seconds_total"), 0);
  EXPECT_GE(ValueOf(text, "process_threads"), 1);
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  EXPECT_NEAR(ValueOf(text, "process_start_time_seconds"), now, 3600);
}

TEST(Metrics, NeverCallsASourceAgainAfterItWasTakenAway) {
  Metrics metrics(TestOptions());
  int calls = 0;
  metrics.SetPoolSource([&calls] {
    ++calls;
    return PoolSnapshot();
  });
  metrics.Text();
  metrics.SetPoolSource(nullptr);
  metrics.Text();
  EXPECT_EQ(calls, 1);
}

TEST(Metrics, ExposesEveryMetricOfTheTableAndNoOther) {
  Metrics metrics(TestOptions());
  metrics.SetKnownNames({"default", "batch"}, {"codex"});
  metrics.SetPoolSource(SamplePool);
  metrics.SetStoreSource(SampleStore);
  const std::string text = metrics.Text();
  size_t families = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "# TYPE ")) ++families;
  }
  for (const MetricSpec* spec : metric::kAll) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("# TYPE ", spec->name, " ")));
  }
  EXPECT_EQ(families, std::size(metric::kAll));
}

}  // namespace
}  // namespace credbroker::obs
