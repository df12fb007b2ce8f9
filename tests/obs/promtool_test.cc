#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "server/obs/metrics.h"
#include "tests/obs/sample_snapshot.h"

namespace credbroker::obs {
namespace {

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome RunCommand(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> buffer;
  for (size_t got = 0; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    outcome.output.append(buffer.data(), got);
  }
  outcome.status = pclose(pipe);
  return outcome;
}

// Checks a page with promtool; it is part of the test environment, so its absence is a failure.
Outcome CheckPage(const std::string& page) {
  const std::filesystem::path file =
      std::filesystem::path(testing::TempDir()) /
      (std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + ".prom");
  std::ofstream(file) << page;
  Outcome outcome = RunCommand("promtool check metrics --extended < '" + file.string() + "'");
  std::filesystem::remove(file);
  if (outcome.output.find("not found") != std::string::npos) {
    outcome.output += "promtool is missing: apt-get install --no-install-recommends prometheus\n";
  }
  return outcome;
}

TEST(Promtool, FindsNothingWrongWithTheWholePage) {
  Metrics metrics({.version = "1.2.3",
                   .revision = "abc",
                   .grpc_methods = {{"credbroker.v1.BrokerService", "Acquire", GrpcType::kUnary},
                                    {"credbroker.v1.AdminService", "WatchCredentials",
                                     GrpcType::kServerStream}}});
  metrics.SetKnownNames({"default", "batch"}, {"codex"});
  metrics.SetPoolSource(SamplePool);
  metrics.SetStoreSource(SampleStore);
  metrics.acquire_duration().Observe(absl::Microseconds(70));
  metrics.ConfigLoaded(true, absl::FromUnixSeconds(1700000000));
  const Outcome outcome = CheckPage(metrics.Text());
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("grpc_server_handled_total"), std::string::npos) << outcome.output;
}

TEST(Promtool, FindsNothingWrongBeforeAnythingIsWired) {
  const Outcome outcome = CheckPage(Metrics(Metrics::Options{}).Text());
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

TEST(Promtool, ComplainsAboutAPageThatIsWrong) {
  const Outcome outcome = CheckPage("# TYPE broken counter\nbroken 1\n");
  EXPECT_NE(outcome.status, 0) << outcome.output;
}

}  // namespace
}  // namespace credbroker::obs
