#include "server/obs/log.h"

#include <gmock/gmock.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/secret.h"
#include "server/obs/log_file.h"
#include "server/obs/trace.h"

namespace credbroker::obs {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// A secret is not a field, neither itself nor by a conversion.
static_assert(std::is_constructible_v<LogField, absl::string_view, absl::string_view>);
static_assert(!std::is_constructible_v<LogField, absl::string_view, core::Secret>);
static_assert(!std::is_constructible_v<LogField, absl::string_view, core::Secret&>);
static_assert(!std::is_constructible_v<LogField, absl::string_view, const core::Secret&>);
// Nor is a pointer, which would be taken for a bool.
static_assert(!std::is_constructible_v<LogField, absl::string_view, core::Secret*>);

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { SetLogLevel(LogLevel::kInfo); }

  nlohmann::json Only() {
    EXPECT_THAT(lines_, SizeIs(1));
    return lines_.empty() ? nlohmann::json() : nlohmann::json::parse(lines_[0]);
  }

  std::vector<std::string> lines_;
  const ScopedLogSink sink_{[this](absl::string_view line) { lines_.emplace_back(line); }};
};

TEST_F(LogTest, WritesOneJsonObjectWithTheStandardFieldsFirst) {
  LogInfo("store", "opened", {{"rows", 50000}});
  ASSERT_THAT(lines_, SizeIs(1));
  EXPECT_THAT(lines_[0], testing::MatchesRegex(
                             "\\{\"ts\":\"[0-9-]+T[0-9:]+\\.[0-9][0-9][0-9]Z\",\"level\":\"info\","
                             "\"component\":\"store\",\"msg\":\"opened\",\"rows\":50000\\}"));
}

TEST_F(LogTest, KeepsTheTypeOfEachField) {
  LogInfo("t", "m",
          {{"s", "x"},
           {"i", -3},
           {"u", std::numeric_limits<uint64_t>::max()},
           {"d", 1.5},
           {"b", true},
           {"span", absl::Milliseconds(250)},
           {"time", absl::FromUnixMillis(1)},
           {"status", absl::NotFoundError("gone")}});
  nlohmann::json line = Only();
  EXPECT_EQ(line["s"], "x");
  EXPECT_EQ(line["i"], -3);
  EXPECT_EQ(line["u"], std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(line["d"], 1.5);
  EXPECT_EQ(line["b"], true);
  EXPECT_EQ(line["span"], 0.25);
  EXPECT_EQ(line["time"], "1970-01-01T00:00:00.001Z");
  EXPECT_EQ(line["status"], "NOT_FOUND: gone");
}

TEST_F(LogTest, CannotBeMadeToForgeALine) {
  LogInfo("t", "a\n{\"level\":\"error\"}", {{"k\n", "\r\nx\xFF"}});
  nlohmann::json line = Only();
  EXPECT_EQ(lines_[0].find('\n'), std::string::npos);
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["k\n"], "\r\nx\xEF\xBF\xBD");
}

TEST_F(LogTest, CutsAFloodedValue) {
  LogInfo("t", "m", {{"k", std::string(1 << 20, 'a')}});
  EXPECT_LT(lines_[0].size(), kMaxValueBytes + 500);
}

TEST_F(LogTest, RenamesAFieldThatWouldRepeatAStandardOne) {
  LogInfo("t", "m", {{"level", "error"}});
  nlohmann::json line = Only();
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["field_level"], "error");
}

TEST_F(LogTest, CarriesTheTraceOfTheThread) {
  const auto trace = ParseTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  ASSERT_TRUE(trace.has_value());
  {
    const ScopedTrace scope(*trace);
    LogInfo("t", "inside");
    std::thread([] { LogInfo("t", "elsewhere"); }).join();
  }
  LogInfo("t", "after");
  ASSERT_THAT(lines_, SizeIs(3));
  EXPECT_EQ(nlohmann::json::parse(lines_[0])["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_FALSE(nlohmann::json::parse(lines_[1]).contains("trace_id"));
  EXPECT_FALSE(nlohmann::json::parse(lines_[2]).contains("trace_id"));
}

TEST_F(LogTest, ChangesItsLevelAtRunTime) {
  LogDebug("t", "1");
  SetLogLevel(LogLevel::kDebug);
  LogDebug("t", "2");
  SetLogLevel(LogLevel::kError);
  LogWarning("t", "3");
  LogError("t", "4");
  SetLogLevel(LogLevel::kOff);
  LogError("t", "5");
  std::vector<std::string> messages;
  for (const std::string& line : lines_) messages.push_back(nlohmann::json::parse(line)["msg"]);
  EXPECT_THAT(messages, ElementsAre("2", "4"));
}

TEST_F(LogTest, TakesOverTheMessagesOfGrpc) {
  BridgeGrpcLog();
  gpr_log_message("/deep/path/file.cc", 12, GPR_LOG_SEVERITY_ERROR, "bad \"thing\"");
  nlohmann::json line = Only();
  EXPECT_EQ(line["component"], "grpc");
  EXPECT_EQ(line["level"], "error");
  EXPECT_EQ(line["msg"], "bad \"thing\"");
  EXPECT_EQ(line["file"], "file.cc");
  EXPECT_EQ(line["line"], 12);
}

TEST(LogLevelNames, AreReadBackAndNothingElseIs) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff}) {
    const auto parsed = ParseLogLevel(LogLevelName(level));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, level);
  }
  EXPECT_EQ(ParseLogLevel("warn").value(), LogLevel::kWarning);
  EXPECT_EQ(ParseLogLevel("INFO").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LogFile, IsAppendedToAndOpenedAnewAfterARotation) {
  const std::string folder = testing::TempDir() + "/credbroker_log_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/log", rotated = folder + "/log.1";
  const auto read = [](const std::string& name) {
    std::ifstream file(name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  ASSERT_TRUE(SetLogFile(path).ok());
  LogInfo("test", "first");
  std::filesystem::rename(path, rotated);
  LogInfo("test", "second");
  ASSERT_TRUE(SetLogFile(path).ok());
  LogInfo("test", "third");
  const absl::Status failed = SetLogFile(folder + "/no/log");
  EXPECT_TRUE(absl::IsUnavailable(failed)) << failed;
  LogInfo("test", "fourth");
  ASSERT_TRUE(SetLogFile("").ok());
  EXPECT_THAT(read(rotated),
              testing::AllOf(testing::HasSubstr("first"), testing::HasSubstr("second\"}\n")));
  EXPECT_THAT(read(path),
              testing::AllOf(testing::Not(testing::HasSubstr("second")),
                             testing::HasSubstr("third"), testing::HasSubstr("fourth")));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace credbroker::obs
