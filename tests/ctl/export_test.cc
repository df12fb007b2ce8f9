#include <sys/stat.h>

#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/ctl/export_folder.h"
#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

class ExportTest : public CtlTest {
 protected:
  void Add(const std::string& source, const std::string& path, const std::string& json) {
    v1::ExportCredentialsResponse& file = admin_.exported.emplace_back();
    file.set_source(source);
    file.set_relative_path(path);
    file.set_json(json);
    file.set_credential_id(source + "/" + path);
  }
};

TEST_F(ExportTest, WritesFilesBelowTheirSource) {
  Add("team", "sub/a.json", R"({"type":"claude"})");
  Add("", "b.json", "{}\n");
  const Result result = Run({"export", folder_.path() + "/out"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "2 of 2 files written, without secrets\n");
  EXPECT_EQ(folder_.Read("out/team/sub/a.json"), "{\"type\":\"claude\"}\n");
  EXPECT_EQ(folder_.Read("out/b.json"), "{}\n");
  struct stat file {};
  ASSERT_EQ(stat((folder_.path() + "/out/team/sub/a.json").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_EQ(admin_.on_Export.last().state(), v1::STATE_FILTER_ALL);
}

TEST_F(ExportTest, OfOneSourceLeavesItsNameOut) {
  Add("team", "a.json", "{}");
  Run({"export", folder_.path() + "/out", "--source", "team"});
  EXPECT_TRUE(folder_.Has("out/a.json"));
}

TEST_F(ExportTest, ReplacesNothingUnlessForced) {
  folder_.Write("out/a.json", "mine");
  Add("", "a.json", "{}");
  Add("", "b.json", "{}");
  const Result result = Run({"export", folder_.path() + "/out"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "credbrokerctl: a.json: it exists; --force replaces it\n");
  EXPECT_EQ(folder_.Read("out/a.json"), "mine");
  EXPECT_EQ(Run({"export", folder_.path() + "/out", "--force"}).code, 0);
  EXPECT_EQ(folder_.Read("out/a.json"), "{}\n");
  int files = 0;  // no temporary file stays
  for (const auto& each : std::filesystem::directory_iterator(folder_.path() + "/out")) {
    (void)each;
    ++files;
  }
  EXPECT_EQ(files, 2);
}

TEST_F(ExportTest, NeverLeavesItsFolder) {
  folder_.Write("elsewhere/keep", "");
  std::filesystem::create_directories(folder_.path() + "/out");
  std::filesystem::create_directory_symlink(folder_.path() + "/elsewhere",
                                            folder_.path() + "/out/link");
  Add("", "../elsewhere/a.json", "{}");
  Add("..", "elsewhere/a.json", "{}");
  Add("", "/tmp/credbrokerctl-test.json", "{}");
  Add("", "link/a.json", "{}");
  Add("", "good.json", "{}");
  const Result result = Run({"export", folder_.path() + "/out", "--force"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "1 of 5 files written, without secrets\n");
  EXPECT_FALSE(folder_.Has("elsewhere/a.json"));
  EXPECT_FALSE(std::filesystem::exists("/tmp/credbrokerctl-test.json"));
}

class HostilePath : public ::testing::TestWithParam<const char*> {};
TEST_P(HostilePath, IsRefused) { EXPECT_FALSE(CheckExportPath(GetParam()).ok()); }
INSTANTIATE_TEST_SUITE_P(Paths, HostilePath,
                         ::testing::Values("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b",
                                           "a/./b", ".a", "a/.ssh/b", "a\nb", "a\x1b[2J", "a\xff"));

TEST_F(ExportTest, PrintsOneArray) {
  Add("s", "a.json", "{\"n\":1}\n");
  Add("s", "b.json", "{\"n\":2}");
  const auto json = nlohmann::json::parse(Run({"export", "-"}).out);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[1]["n"], 2);
  admin_.exported.clear();
  EXPECT_EQ(nlohmann::json::parse(Run({"export", "-"}).out).size(), 0u);
}

TEST_F(ExportTest, ABadFilterExitsWithTwo) {
  admin_.on_Export.Refuse(Refusal(grpc::StatusCode::INVALID_ARGUMENT, "the filter does not parse",
                                  "INVALID_FILTER", {}, absl::ZeroDuration(),
                                  {{"filter", "at 3: unknown field"}}));
  const Result result = Run({"export", folder_.path() + "/out", "--filter", "x"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err,
            "credbrokerctl: INVALID_ARGUMENT INVALID_FILTER: the filter does not parse\n"
            "  filter: at 3: unknown field\n");
}

}  // namespace
}  // namespace credbroker::ctl
