#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/ctl/import_files.h"
#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

class ImportTest : public CtlTest {
 protected:
  // "path" or "path:CONTENT" of each file message sent.
  std::vector<std::string> Sent() {
    std::vector<std::string> sent;
    for (const auto& part : admin_.on_Import.requests()) {
      if (part.has_file())
        sent.push_back(part.file().relative_path() + ":" + part.file().content());
    }
    return sent;
  }
};

TEST_F(ImportTest, SendsTheFilesOfAFolderAndNoOthers) {
  folder_.Write("in/b.json", "B");
  folder_.Write("in/a/c.json", "C");
  folder_.Write("in/readme.txt", "x");
  folder_.Write("in/x.cds", "x");
  folder_.Write("in/x.json.cds", "x");
  folder_.Write("in/.git/d.json", "x");
  folder_.Write("in/.e.json", "x");
  std::filesystem::create_directory_symlink(folder_.path() + "/in/a", folder_.path() + "/in/loop");
  const Result result = Run({"import", folder_.path() + "/in", "--source", "team", "--group", "g",
                             "--mode", "skip", "--label", "k=v", "--comment", "c"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Sent(), (std::vector<std::string>{"a/c.json:C", "b.json:B"}));
  EXPECT_EQ(admin_.on_Import.requests()[0].ShortDebugString(),
            "header { source: \"team\" group: \"g\" mode: IMPORT_MODE_SKIP labels { key: \"k\" "
            "value: \"v\" } comment: \"c\" }");
}

TEST_F(ImportTest, SendsASingleFileWhateverItsName) {
  const std::string path = folder_.Write("keys.txt", "k1\nk2\n");
  Run({"import", path, "--source", "s", "--keys", "--provider", "openai"});
  EXPECT_EQ(Sent(), std::vector<std::string>{"keys.txt:k1\nk2\n"});
  EXPECT_TRUE(admin_.on_Import.requests()[0].header().key_per_line());
}

TEST_F(ImportTest, ReadsStandardInput) {
  Run({"import", "-", "--source", "s"}, "[]");
  EXPECT_EQ(Sent(), std::vector<std::string>{"stdin.json:[]"});
}

TEST_F(ImportTest, SendsALargeFileInParts) {
  const std::string bytes(1'300'000, 'x');
  folder_.Write("in/a.json", bytes);
  Run({"import", folder_.path() + "/in", "--source", "s"});
  const auto parts = admin_.on_Import.requests();
  ASSERT_EQ(parts.size(), 4u);
  std::string joined;
  for (size_t i = 1; i < parts.size(); ++i) {
    EXPECT_LE(parts[i].file().content().size(), 1u << 20);
    EXPECT_EQ(parts[i].file().continued(), i + 1 < parts.size());
    joined += parts[i].file().content();
  }
  EXPECT_EQ(joined, bytes);
}

TEST_F(ImportTest, ShowsWhatBecameOfEachFile) {
  folder_.Write("in/a.json", "{}");
  admin_.on_Import.Answer(R"(
      results { relative_path: 'bad.json' action: IMPORT_ACTION_REJECTED
                reason: ERROR_REASON_INVALID_FILE message: 'is not JSON' }
      results { relative_path: 'a.json' credential_id: 'team/a' action: IMPORT_ACTION_CREATED }
      results { relative_path: 'l.json' index: 2 credential_id: 'team/l/2'
                action: IMPORT_ACTION_UPDATED changed_fields: 'secret' changed_fields: 'note' }
      file_count: 3 created_count: 1 updated_count: 1 rejected_count: 1)");
  const Result result = Run({"import", folder_.path() + "/in", "--source", "team"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out,
            "ACTION    PATH       CREDENTIAL  REASON        MESSAGE\n"
            "rejected  bad.json   -           invalid_file  is not JSON\n"
            "created   a.json     team/a      -             -\n"
            "updated   l.json[2]  team/l/2    -             changed: secret, note\n"
            "\n"
            "3 files: 1 created, 1 updated, 0 unchanged, 0 skipped, 1 rejected\n");
  EXPECT_EQ(result.err,
            "WARNING: the broker now owns the refresh tokens of these files. Whatever else "
            "refreshes them must stop,\n  or the logins are destroyed.\n"
            "credbrokerctl: 1 rejected\n");
}

TEST_F(ImportTest, SaysTheServersWarningsInsteadOfItsOwn) {
  folder_.Write("in/a.json", "{}");
  admin_.on_Import.Answer("created_count: 1 warnings: 'the refresh tokens are ours\\033[2J'");
  EXPECT_EQ(Run({"import", folder_.path() + "/in", "--source", "team"}).err,
            "WARNING: the refresh tokens are ours\\x1b[2J\n");
}

TEST_F(ImportTest, RejectsHereWhatItCannotSend) {
  folder_.Write("in/a.json", "{}");
  folder_.Write("in/" + std::string(236, 'n') + ".json", "{}");
  folder_.Write("in/bad\nname.json", "{}");
  const std::string huge = folder_.Write("in/huge.json", "");
  ASSERT_EQ(truncate(huge.c_str(), (64 << 20) + 1), 0);
  ASSERT_EQ(mkfifo((folder_.path() + "/in/pipe.json").c_str(), 0600), 0);
  admin_.on_Import.Answer("file_count: 1 unchanged_count: 1");
  const Result result = Run({"import", folder_.path() + "/in", "--source", "s", "-o", "json"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(Sent(), std::vector<std::string>{"a.json:{}"});
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["rejectedCount"], "4");
  EXPECT_EQ(json["fileCount"], "5");
  EXPECT_EQ(json["results"][0]["relativePath"], "bad\\nname.json");
  EXPECT_EQ(json["results"][1]["message"], "is larger than 64 MiB; it was not sent");
  EXPECT_EQ(json["results"][3]["message"], "is not a regular file; it was not sent");
}

TEST_F(ImportTest, RefusesAFolderWithoutCredentialFiles) {
  folder_.Write("in/readme.txt", "");
  const Result result = Run({"import", folder_.path() + "/in", "--source", "s"});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("no credential file"), std::string::npos);
  EXPECT_TRUE(admin_.on_Import.requests().empty());
}

TEST_F(ImportTest, ShowsProgressOnATerminalOnly) {
  folder_.Write("in/a.json", "{}");
  EXPECT_EQ(Run({"import", folder_.path() + "/in", "--source", "s"}).err, "");
  env_.err_is_terminal = true;
  EXPECT_EQ(Run({"import", folder_.path() + "/in", "--source", "s"}).err,
            "\rsent 1 of 1 files\r\x1b[K");
}

TEST_F(ImportTest, SaysWhyTheServerEndedTheStream) {
  folder_.Write("in/a.json", "{}");
  admin_.on_Import.Refuse(
      Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many files", "LIMIT_REACHED"));
  const Result result = Run({"import", folder_.path() + "/in", "--source", "s"});
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(result.err, "credbrokerctl: RESOURCE_EXHAUSTED LIMIT_REACHED: too many files\n");
}

}  // namespace
}  // namespace credbroker::ctl
