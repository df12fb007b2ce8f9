#include "server/import/importer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/import/fake_fleet.h"

namespace credbroker::import {
namespace {

using core::SecretMaterial;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string Login(const std::string& token, const std::string& more = "") {
  return absl::StrCat(R"({"type":"claude","access_token":"a-)", token, R"(","refresh_token":")",
                      token, "\"", more, "}");
}
std::string Key(const std::string& key, const std::string& more = "") {
  return absl::StrCat(R"({"type":"openai","api_key":")", key, "\"", more, "}");
}

class ImporterTest : public ::testing::Test {
 protected:
  ImportReport Import(std::vector<SourceFile> files, bool dry_run = false,
                      Mode mode = Mode::kUpdate) {
    ImportJob job{.source = {.name = "s"}, .dry_run = dry_run, .actor = "ann"};
    job.source.mode = mode;
    auto report = importer_->Import(job, std::move(files));
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : ImportReport();
  }
  // A complete scan that finds exactly `files`.
  ImportReport Watch(std::vector<SourceFile> files, RefreshOwner owner = RefreshOwner::kExternal,
                     std::vector<std::string> unreadable = {}) {
    Scan scan;
    scan.source = {.name = "s", .refresh_owner = owner};
    scan.complete = true;
    scan.files = std::move(files);
    for (const SourceFile& file : scan.files) scan.present.push_back(file.path);
    scan.unreadable = std::move(unreadable);
    auto report = importer_->Apply(std::move(scan));
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : ImportReport();
  }
  void Restart() {
    importer_ = std::make_unique<Importer>(fleet_, ImporterOptions{.batch_rows = 100});
  }

  FakeFleet fleet_;
  std::unique_ptr<Importer> importer_ =
      std::make_unique<Importer>(fleet_, ImporterOptions{.batch_rows = 100});
};

TEST_F(ImporterTest, CreatesWhatIsGoodAndReportsWhatIsBad) {
  const ImportReport report = Import(
      {{"a.json", Login("r")}, {"dir/b.json", "{"}, {"c.json", "{}"}, {"../d.json", Key("k")}});
  EXPECT_EQ(report.count(Action::kCreated), 1);
  EXPECT_EQ(report.count(Action::kRejected), 2);
  EXPECT_EQ(report.count(Action::kSkipped), 1);
  EXPECT_EQ(report.results[0].action, Action::kRejected);
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("now owns the refresh tokens of 1 logins")));
  const core::Document& document = fleet_.document("s/a");
  EXPECT_EQ(document.source, "s");
  EXPECT_EQ(document.source_path, "a.json");
  EXPECT_FALSE(document.external_refresh);
  EXPECT_FALSE(report.batch_id.empty());
}

TEST_F(ImporterTest, DryRunChangesNothingAndSaysTheSame) {
  const ImportReport plan = Import({{"a.json", Login("r")}, {"b.json", "{"}}, true);
  EXPECT_THAT(fleet_.rows, IsEmpty());
  EXPECT_THAT(fleet_.digests, IsEmpty());
  EXPECT_EQ(fleet_.applies, 0);
  EXPECT_TRUE(plan.batch_id.empty());
  const ImportReport real = Import({{"a.json", Login("r")}, {"b.json", "{"}});
  for (int i = 0; i < kActionCount; ++i) EXPECT_EQ(plan.counts[i], real.counts[i]) << i;
}

TEST_F(ImporterTest, AnUnchangedFileIsNeverAppliedAgain) {
  Watch({{"a.json", Key("k", R"(,"priority":1)")}});
  fleet_.Change("s/a", [](core::Document& d) { d.priority = 9; });
  const int applies = fleet_.applies;
  Restart();
  EXPECT_EQ(Watch({{"a.json", Key("k", R"(,"priority":1)")}}).count(Action::kUnchanged), 1);
  EXPECT_EQ(fleet_.applies, applies);
  EXPECT_EQ(fleet_.document("s/a").priority, 9);
}

TEST_F(ImporterTest, TakesOnlyFieldsThatTheFileChanged) {
  Watch({{"a.json", Key("k", R"(,"priority":1,"note":"old","project_id":"p","location":"l")")}});
  fleet_.Change("s/a", [](core::Document& d) {
    d.priority = 9;
    d.attributes_json = R"({"project_id":"operator","location":"l"})";
  });
  const ImportReport report = Watch(
      {{"a.json", Key("k", R"(,"priority":1,"note":"new","project_id":"p","location":"m")")}});
  ASSERT_THAT(report.results, SizeIs(1));
  EXPECT_THAT(report.results[0].changed_fields, ElementsAre("attributes.location", "note"));
  EXPECT_EQ(fleet_.document("s/a").priority, 9);
  EXPECT_EQ(fleet_.document("s/a").note, "new");
  EXPECT_EQ(fleet_.document("s/a").attributes_json, R"({"location":"m","project_id":"operator"})");
}

TEST_F(ImporterTest, AFieldThatLeavesTheFileGoesBackToItsDefault) {
  Watch({{"a.json", Key("k", R"(,"weight":5,"note":"n")")}});
  Watch({{"a.json", Key("k", R"(,"note":"n")")}});
  EXPECT_EQ(fleet_.document("s/a").weight, 1);
  EXPECT_EQ(fleet_.document("s/a").note, "n");
}

TEST_F(ImporterTest, DisabledAppliesAtCreationOnly) {
  Watch({{"a.json", Key("k", R"(,"disabled":true)")}, {"b.json", Key("l")}});
  EXPECT_FALSE(fleet_.rows.at("s/a").intent.enabled);
  fleet_.rows.at("s/a").intent.enabled = true;
  Watch({{"a.json", Key("k", R"(,"disabled":true,"note":"n")")},
         {"b.json", Key("l", R"(,"disabled":true)")}});
  EXPECT_TRUE(fleet_.rows.at("s/a").intent.enabled);
  EXPECT_TRUE(fleet_.rows.at("s/b").intent.enabled);
}

TEST_F(ImporterTest, AnAbsentSecretRemovesNone) {
  Watch({{"a.json", Login("r", R"(,"client_secret":"c")")}});
  Watch({{"a.json", R"({"type":"claude","access_token":"a-r"})"}});
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::refresh_token), "r");
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::client_secret), "c");
}

TEST_F(ImporterTest, AnExternalOwnersTokensAreTakenEachTime) {
  Watch({{"a.json", Login("r1")}});
  EXPECT_TRUE(fleet_.document("s/a").external_refresh);
  const uint64_t revision = fleet_.document("s/a").revision;
  const ImportReport report = Watch({{"a.json", Login("r2", R"(,"last_refresh":"now")")}});
  EXPECT_THAT(report.results[0].changed_fields, ElementsAre("secret"));
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::access_token), "a-r2");
  EXPECT_EQ(fleet_.document("s/a").revision, revision) << "a new token is no edit";
}

TEST_F(ImporterTest, ABrokersLoginTakesOnlyANewLogin) {
  const auto broker = RefreshOwner::kBroker;
  Watch({{"a.json", Login("r1")}}, broker);
  // The same login with another access token: ignored.
  ImportReport report = Watch(
      {{"a.json", R"({"type":"claude","access_token":"other","refresh_token":"r1"})"}}, broker);
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::access_token), "a-r1");
  // A new login replaces it.
  report = Watch({{"a.json", Login("r2")}}, broker);
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::refresh_token), "r2");
  // The old one, seen here before, does not come back.
  report = Watch({{"a.json", Login("r1")}}, broker);
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::refresh_token), "r2");
}

TEST_F(ImporterTest, ASpentRefreshTokenIsRejected) {
  TokenBook& book = importer_->tokens();
  book.Spend(book.HashOf(core::Secret("r")), fleet_.now);
  ImportReport report = Import({{"a.json", Login("r")}});
  ASSERT_THAT(report.results, SizeIs(1));
  EXPECT_EQ(report.results[0].reason, Reason::kRefreshTokenSpent);
  fleet_.now += absl::Hours(24 * 91);
  report = Import({{"a.json", Login("r")}});
  EXPECT_EQ(report.count(Action::kCreated), 1);
}

TEST_F(ImporterTest, ATokenSpentBeforeARestartStaysRejected) {
  fleet_.spent = {{.hash = TokenBook(fleet_.salt()).HashOf(core::Secret("dead")),
                   .when = fleet_.now - absl::Hours(24 * 89),
                   .credential_id = "s/old"}};
  const ImportReport report = Import({{"a.json", Login("dead")}, {"b.json", Login("fresh")}});
  EXPECT_EQ(report.results[0].reason, Reason::kRefreshTokenSpent);
  EXPECT_EQ(report.count(Action::kCreated), 1);
  using Verdict = Importer::TokenVerdict;
  EXPECT_EQ(importer_->JudgeToken("x", core::Secret("dead")), Verdict::kSpent);
  EXPECT_EQ(importer_->JudgeToken("x", core::Secret("fresh")), Verdict::kOwned);
  EXPECT_EQ(importer_->JudgeToken("s/b", core::Secret("fresh")), Verdict::kFree);
}

TEST_F(ImporterTest, TheTokenOfADeletedCredentialIsFree) {
  ASSERT_EQ(Import({{"a.json", Login("r")}}).count(Action::kCreated), 1);
  fleet_.Delete("s/a");
  EXPECT_EQ(importer_->JudgeToken("x", core::Secret("r")), Importer::TokenVerdict::kFree);
  EXPECT_EQ(Import({{"b.json", Login("r")}}).count(Action::kCreated), 1);
}

TEST_F(ImporterTest, AnUndeclaredLabelIsTheVerdictOfItsFile) {
  fleet_.undeclared = {"colour"};
  for (const bool dry_run : {true, false}) {
    const ImportReport report = Import({{"a.json", Key("k", R"(,"labels":{"colour":"red"})")},
                                        {"b.json", Key("k2", R"(,"labels":{"tier":"x"})")}},
                                       dry_run);
    ASSERT_EQ(report.count(Action::kRejected), 1);
    EXPECT_EQ(report.results[0].path, "a.json");
    EXPECT_EQ(report.results[0].reason, Reason::kInvalidFile);
    EXPECT_THAT(report.results[0].message, HasSubstr("labels.colour"));
    EXPECT_EQ(report.count(Action::kCreated), 1);
  }
}

TEST_F(ImporterTest, ARefreshTokenHasOneOwner) {
  ImportReport report = Import({{"a.json", Login("r")}, {"b.json", Login("r")}});
  EXPECT_EQ(report.results[0].reason, Reason::kRefreshTokenOwned);
  EXPECT_EQ(report.results[0].path, "b.json");
  Restart();  // and after a restart, for another source
  ImportJob job{.source = {.name = "t"}, .actor = "ann"};
  report = *importer_->Import(job, {{"c.json", Login("r")}});
  EXPECT_EQ(report.results[0].reason, Reason::kRefreshTokenOwned);
}

TEST_F(ImporterTest, TheTokenOfACredentialMadeThroughTheApiIsOwned) {
  FakeFleet::Row row{.document = nullptr, .secret = nullptr, .intent = {}, .uid = core::Uid(77)};
  auto document = std::make_shared<core::Document>();
  document->id = "api";
  document->kind = core::Kind::kOAuth;
  row.document = document;
  auto secret = std::make_shared<SecretMaterial>();
  secret->refresh_token = core::Secret("r");
  row.secret = secret;
  fleet_.rows["api"] = row;
  EXPECT_EQ(Import({{"a.json", Login("r")}}).results[0].reason, Reason::kRefreshTokenOwned);
}

struct ModeRow {
  Mode mode;
  Action action;
};
class ImportMode : public ImporterTest, public ::testing::WithParamInterface<ModeRow> {};
TEST_P(ImportMode, DecidesAboutWhatExists) {
  Import({{"a.json", Key("k")}});
  const ImportReport report = Import({{"a.json", Key("l")}}, false, GetParam().mode);
  EXPECT_EQ(report.results[0].action, GetParam().action);
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::api_key),
            GetParam().mode == Mode::kUpdate ? "l" : "k");
}
INSTANTIATE_TEST_SUITE_P(Modes, ImportMode,
                         ::testing::Values(ModeRow{Mode::kUpdate, Action::kUpdated},
                                           ModeRow{Mode::kSkip, Action::kSkipped},
                                           ModeRow{Mode::kFail, Action::kRejected}));

TEST_F(ImporterTest, ARemovedFileRetiresAndItsReturnKeepsTheIncarnation) {
  Watch({{"a.json", Login("r")}, {"b.json", Key("k")}});
  const core::Uid uid = fleet_.rows.at("s/a").uid;
  fleet_.Change("s/a", [](core::Document& d) { d.priority = 9; });
  EXPECT_EQ(Watch({{"b.json", Key("k")}}).count(Action::kRetired), 1);
  EXPECT_FALSE(fleet_.rows.contains("s/a"));
  fleet_.now += absl::Hours(23);
  Restart();
  const ImportReport report = Watch({{"a.json", Login("r")}, {"b.json", Key("k")}});
  EXPECT_EQ(report.count(Action::kRevived), 1);
  EXPECT_EQ(fleet_.rows.at("s/a").uid, uid);
  EXPECT_EQ(fleet_.document("s/a").priority, 9);
}

TEST_F(ImporterTest, AfterADayAReturnIsANewCredential) {
  Watch({{"a.json", Login("r")}});
  const core::Uid uid = fleet_.rows.at("s/a").uid;
  Watch({});
  fleet_.now += absl::Hours(24);
  EXPECT_EQ(Watch({{"a.json", Login("r")}}).count(Action::kCreated), 1);
  EXPECT_NE(fleet_.rows.at("s/a").uid, uid);
}

TEST_F(ImporterTest, ARenamedFileLosesNoLogin) {
  Watch({{"a.json", Login("r")}, {"b.json", Key("k")}});
  const core::Uid uid = fleet_.rows.at("s/a").uid;
  const ImportReport report = Watch({{"dir/new.json", Login("r")}, {"b.json", Key("k")}});
  EXPECT_EQ(report.count(Action::kRetired), 1);
  EXPECT_EQ(report.count(Action::kRevived), 1);
  EXPECT_EQ(fleet_.rows.at("s/dir/new").uid, uid);
  EXPECT_FALSE(fleet_.digests.contains("s/a"));
}

TEST_F(ImporterTest, TooManyMissingFilesRetireNothing) {
  std::vector<SourceFile> files;
  for (int i = 0; i < 60; ++i) files.push_back({absl::StrCat(i, ".json"), Key(absl::StrCat(i))});
  const std::vector<SourceFile> all = files;
  Watch(files);
  files.resize(47);  // 13 of 60 are more than 20 %
  ImportReport report = Watch(files);
  EXPECT_TRUE(report.removals_held_back);
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("13 of 60")));
  EXPECT_THAT(fleet_.rows, SizeIs(60));
  files = all;
  files.resize(48);  // 12 are not
  report = Watch(files);
  EXPECT_FALSE(report.removals_held_back);
  EXPECT_THAT(fleet_.rows, SizeIs(48));
  // A directory that goes away slowly goes away all the same.
  files.resize(46);
  EXPECT_TRUE(Watch(files).removals_held_back);
  EXPECT_THAT(fleet_.rows, SizeIs(48));
}

TEST_F(ImporterTest, NothingBelowAnUnreadableDirectoryIsRetired) {
  Watch({{"d/a.json", Key("k")}, {"b.json", Key("l")}});
  Watch({{"b.json", Key("l")}}, RefreshOwner::kExternal, {"d"});
  EXPECT_TRUE(fleet_.rows.contains("s/d/a"));
}

TEST_F(ImporterTest, AnEmptiedArrayDoesNotRetireThemAll) {
  std::string array = "[";
  for (int i = 0; i < 20; ++i) absl::StrAppend(&array, i > 0 ? "," : "", Key(absl::StrCat("k", i)));
  Watch({{"a.json", array + "]"}});
  EXPECT_THAT(fleet_.rows, SizeIs(20));
  EXPECT_TRUE(Watch({{"a.json", "[]"}}).removals_held_back);
  EXPECT_THAT(fleet_.rows, SizeIs(20));
}

TEST_F(ImporterTest, TokensMoveBetweenTheEntriesOfAFile) {
  Watch({{"a.json", absl::StrCat("[", Login("r0"), ",", Login("r1"), "]")}});
  const ImportReport report = Watch({{"a.json", absl::StrCat("[", Login("r1"), "]")}});
  EXPECT_EQ(report.count(Action::kRejected), 0);
  EXPECT_EQ(fleet_.secret("s/a/0", &SecretMaterial::refresh_token), "r1");
  EXPECT_FALSE(fleet_.rows.contains("s/a/1"));
}

TEST_F(ImporterTest, WhatAnOperatorDeletedStaysDeletedWhileItsFileOnlyGetsNewTokens) {
  Watch({{"a.json", Login("r1")}});
  fleet_.Delete("s/a");
  Watch({{"a.json", Login("r1")}});
  EXPECT_FALSE(fleet_.rows.contains("s/a"));
  EXPECT_EQ(Watch({{"a.json", Login("r2")}}).count(Action::kSkipped), 1);
  EXPECT_FALSE(fleet_.rows.contains("s/a"));
  EXPECT_EQ(Import({{"a.json", Login("r2")}}).count(Action::kRevived), 1);
  EXPECT_TRUE(fleet_.rows.contains("s/a"));
}

TEST_F(ImporterTest, TheRecordOfADeletedCredentialGoesWithItsFile) {
  Watch({{"a.json", Key("k")}});
  fleet_.Delete("s/a");
  Watch({});
  EXPECT_THAT(fleet_.digests, IsEmpty());
}

TEST_F(ImporterTest, AnEditInBetweenIsMergedNotLost) {
  Watch({{"a.json", Key("k")}});
  fleet_.before_apply = [this] { fleet_.Change("s/a", [](core::Document& d) { d.priority = 9; }); };
  Restart();
  EXPECT_EQ(Import({{"a.json", Key("k", R"(,"note":"n")")}}).count(Action::kUpdated), 1);
  EXPECT_EQ(fleet_.document("s/a").priority, 9);
  EXPECT_EQ(fleet_.document("s/a").note, "n");
}

TEST_F(ImporterTest, AFailedStoreChangesNothingAndTheNextTryWorks) {
  fleet_.store = absl::UnavailableError("disk");
  ImportJob job{.source = {.name = "s"}, .actor = "ann"};
  EXPECT_TRUE(absl::IsUnavailable(importer_->Import(job, {{"a.json", Login("r")}}).status()));
  fleet_.store = absl::OkStatus();
  EXPECT_EQ(Import({{"a.json", Login("r")}}).count(Action::kCreated), 1);
}

TEST_F(ImporterTest, AnExportTakenBackChangesNothing) {
  Import(
      {{"a.json",
        Login("r", R"(,"headers":{"Authorization":"x","X-A":"b"},"proxy_url":"http://u:p@h")")}});
  const core::Document before = fleet_.document("s/a");
  Import({{"a.json", R"({"type":"claude","headers":{"X-A":"b"}})"}});
  EXPECT_EQ(fleet_.document("s/a").proxy_url, before.proxy_url);
  EXPECT_THAT(fleet_.document("s/a").headers, SizeIs(2));
  EXPECT_EQ(fleet_.secret("s/a", &SecretMaterial::refresh_token), "r");
}

TEST_F(ImporterTest, ASecretlessFileCreatesNothing) {
  const ImportReport report = Import({{"a.json", R"({"type":"claude","email":"e"})"}});
  EXPECT_THAT(report.results[0].message, HasSubstr("no secret"));
  EXPECT_THAT(fleet_.rows, IsEmpty());
}

TEST_F(ImporterTest, TwoFilesOfOneIdAreOneTooMany) {
  const ImportReport report = Import({{"a", Key("k")}, {"a.json", Key("l")}});
  EXPECT_EQ(report.count(Action::kCreated), 1);
  EXPECT_EQ(report.results[0].reason, Reason::kCredentialExists);
}

TEST_F(ImporterTest, WorksInBoundedBatches) {
  std::vector<SourceFile> files;
  for (int i = 0; i < 1050; ++i)
    files.push_back({absl::StrCat(i, ".json"), Login(absl::StrCat(i))});
  EXPECT_EQ(Import(files).count(Action::kCreated), 1050);
  EXPECT_LE(fleet_.largest, 100u);
  EXPECT_THAT(fleet_.rows, SizeIs(1050));
}

TEST_F(ImporterTest, TheReportIsBoundedAndNamesTheBadFirst) {
  ImportJob job{.source = {.name = "s"}, .max_results = 2, .actor = "ann"};
  const ImportReport report =
      *importer_->Import(job, {{"a.json", Key("k")}, {"b.json", Key("l")}, {"z.json", "?"}});
  EXPECT_TRUE(report.results_truncated);
  EXPECT_EQ(report.results[0].path, "z.json");
  EXPECT_EQ(report.results[1].path, "a.json");
}

TEST(RelativePath, IsCheckedByTable) {
  for (const char* good : {"a", "a.json", "d/e f/ü.json", "a..b"}) {
    EXPECT_TRUE(CheckRelativePath(good).ok()) << good;
  }
  for (const char* bad : {"", "/a", "a/", "a//b", "..", "a/../b", ".git/a", "a/.b", "a\\b", "a\nb",
                          "\xff", "\xed\xa0\x80", "\xc0\xaf", "\xe2\x82"}) {
    EXPECT_FALSE(CheckRelativePath(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace credbroker::import
