#include <gtest/gtest.h>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

TEST_F(CtlTest, CreateReadsAKeyFromAFile) {
  admin_.on_CreateCredential.Answer(
      "id: 'team/key' status { state: CREDENTIAL_STATE_AVAILABLE material_version: 1 }");
  const std::string key = folder_.Write("key", "sk-123\n");
  const Result result =
      Run({"create", "team/key", "--provider", "openai", "--api-key-file", key, "--priority", "5",
           "--weight", "0", "--label", "tier=paid", "--title", "key one", "--disabled"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "team/key: created, available, secret version 1\n");
  EXPECT_EQ(result.err, "");
  const v1::CreateCredentialRequest request = admin_.on_CreateCredential.last();
  EXPECT_EQ(request.credential().ShortDebugString(),
            "id: \"team/key\" provider: \"openai\" label: \"key one\" priority: 5 weight: 0 labels "
            "{ key: \"tier\" value: \"paid\" } intent { disabled: true }");
  EXPECT_EQ(request.secret().api_key(), "sk-123");
}

TEST_F(CtlTest, CreateReadsSecretsFromStandardInputAndWarns) {
  const Result result =
      Run({"create", "a", "--provider", "claude", "--secret-file", "-"},
          R"({"access_token": "AT", "refresh_token": "RT", "expire_time": "2026-01-02T04:04:05Z",
              "service_account_json": {"k": "v"}})");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err,
            "WARNING: the broker now owns this refresh token. Whatever else still uses it must "
            "stop.\n");
  const v1::SecretMaterial secret = admin_.on_CreateCredential.last().secret();
  EXPECT_EQ(secret.access_token(), "AT");
  EXPECT_EQ(secret.refresh_token(), "RT");
  EXPECT_EQ(secret.expire_time().seconds(), 1767326645);
  EXPECT_EQ(secret.service_account_json(), R"({"k":"v"})");
}

TEST_F(CtlTest, NoMessageQuotesASecretThatDoesNotParse) {
  for (const char* bad : {"s3cret", R"({"access_token": "s3cret)", R"({"access_token": s3cret})",
                          R"(["s3cret"])", R"({"expire_time": "s3cret"})"}) {
    const Result result = Run({"create", "a", "--provider", "p", "--secret-file", "-"}, bad);
    EXPECT_EQ(result.code, 2) << bad;
    EXPECT_EQ((result.err + result.out).find("s3cret"), std::string::npos) << result.err;
  }
  EXPECT_TRUE(admin_.on_CreateCredential.requests().empty());
}

TEST_F(CtlTest, UpdateMasksWhatWasGiven) {
  Run({"update", "a", "--note", "", "--max-in-flight", "3", "--clear", "labels.tier", "--proxy",
       "direct", "--etag", "e"});
  EXPECT_EQ(admin_.on_UpdateCredential.last().ShortDebugString(),
            "credential { id: \"a\" etag: \"e\" proxy_url: \"direct\" max_in_flight: 3 } "
            "update_mask { paths: \"labels.tier\" paths: \"max_in_flight\" paths: \"note\" paths: "
            "\"proxy_url\" }");
}

TEST_F(CtlTest, APasswordIsTakenFromAFileButItsStarsFromTheCommandLine) {
  const Result result = Run({"update", "a", "--proxy", "http://u:s3cret@h"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err.find("s3cret"), std::string::npos) << result.err;
  EXPECT_TRUE(admin_.on_UpdateCredential.requests().empty());
  Run({"update", "a", "--proxy", "http://u:***@h"});  // leaves the stored one as it is
  EXPECT_EQ(admin_.on_UpdateCredential.last().credential().proxy_url(), "http://u:***@h");
  Run({"update", "a", "--proxy", "@-"}, "http://u:s3cret@h\n");
  EXPECT_EQ(admin_.on_UpdateCredential.last().credential().proxy_url(), "http://u:s3cret@h");
}

TEST_F(CtlTest, WhatGetPrintsCanBeGivenToUpdate) {
  admin_.on_GetCredential.Answer(
      "id: 'a' uid: 'u' etag: 'e1' provider: 'p' note: 'old' weight: 2 "
      "headers { key: 'x-key' value: '***' } status { state: CREDENTIAL_STATE_AVAILABLE }");
  const std::string document = Run({"get", "a", "-o", "json"}).out;
  const std::string path = folder_.Write("a.json", document);
  const Result result = Run({"update", "a", "--from", path, "--note", "new"});
  EXPECT_EQ(result.code, 0) << result.err;
  const v1::UpdateCredentialRequest request = admin_.on_UpdateCredential.last();
  EXPECT_EQ(request.credential().etag(), "e1");
  EXPECT_EQ(request.credential().note(), "new");
  EXPECT_EQ(request.credential().weight(), 2);
  const auto& paths = request.update_mask().paths();
  EXPECT_NE(std::find(paths.begin(), paths.end(), "headers"), paths.end());
  for (const char* fixed : {"id", "uid", "etag", "provider", "status", "intent", "source"}) {
    EXPECT_EQ(std::find(paths.begin(), paths.end(), fixed), paths.end()) << fixed;
  }
}

TEST_F(CtlTest, AnUnknownFieldOfADocumentIsNamed) {
  const Result result = Run({"update", "a", "--from", "-"}, R"({"priorty": 5})");
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "credbrokerctl: --from: 'priorty' is not a field of a credential\n");
}

TEST_F(CtlTest, DeleteSaysHowToUndo) {
  admin_.on_DeleteCredential.Answer("batch_id: 'B1'");
  admin_.on_DeleteCredential.Answer("");
  EXPECT_EQ(Run({"delete", "a", "b", "--allow-missing"}).out,
            "a: deleted; undo within 24 h: credbrokerctl batch undo B1\n"
            "b: there was nothing to delete\n");
  EXPECT_TRUE(admin_.on_DeleteCredential.last().allow_missing());
}

TEST_F(CtlTest, CreateOfATakenIdExitsWithSix) {
  admin_.on_CreateCredential.Refuse(
      Refusal(grpc::StatusCode::ALREADY_EXISTS, "the id is taken", "CREDENTIAL_EXISTS"));
  EXPECT_EQ(Run({"create", "a", "--provider", "p", "--api-key-file", "-"}, "k").code, 6);
}

}  // namespace
}  // namespace credbroker::ctl
