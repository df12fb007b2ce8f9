#include "server/engine/engine.h"

#include <mutex>

#include "gmock/gmock.h"
#include "tests/engine/engine_fixture.h"

namespace credbroker::engine {
namespace {

TEST_F(EngineTest, ACreatedCredentialServesAndItsReportIsAccepted) {
  ASSERT_TRUE(started_.ok()) << started_;
  const auto view = Create("a");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->document->revision, 1u);
  const AcquireAnswer answer = Acquire();
  ASSERT_EQ(answer.reply.kind, core::AcquireReply::Kind::kGranted);
  EXPECT_EQ(answer.reply.grant.material->headers.front().second.reveal(), "Bearer sk-1");
  EXPECT_EQ(Report(answer.lease_id, 200).disposition, core::Disposition::kAccepted);
  EXPECT_EQ(Report(answer.lease_id, 200).disposition, core::Disposition::kDuplicate);
}

TEST_F(EngineTest, AForgedLeaseIdIsUnknownAndCounted) {
  ASSERT_TRUE(Create("a").ok());
  std::string id = Acquire().lease_id;
  id.back() = id.back() == 'A' ? 'B' : 'A';
  EXPECT_EQ(Report(id, 429).disposition, core::Disposition::kUnknown);
  EXPECT_FALSE(engine_->Release("proxy", id));
  EXPECT_EQ(engine_->Stats().lease_ids_refused, 2u);
  EXPECT_EQ(engine_->Get("a")->state, core::State::kAvailable);
}

TEST_F(EngineTest, AParkedCallIsAnsweredWhenItsCredentialRecovers) {
  ASSERT_TRUE(Create("a").ok());
  Report(Acquire().lease_id, 429);
  std::vector<AcquireAnswer> answers;
  const AcquireAnswer parked = Acquire(
      absl::Seconds(30), [&](AcquireAnswer answer) { answers.push_back(std::move(answer)); });
  ASSERT_EQ(parked.reply.kind, core::AcquireReply::Kind::kParked);
  clock_.Advance(absl::Seconds(20));
  engine_->Tick();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].reply.kind, core::AcquireReply::Kind::kGranted);
  EXPECT_TRUE(engine_->InspectLease(answers[0].lease_id).has_value());
}

TEST_F(EngineTest, StopEndsParkedCallsAndRefusesChanges) {
  ASSERT_TRUE(Create("a").ok());
  Report(Acquire().lease_id, 429);
  int cancelled = 0;
  Acquire(absl::Seconds(30), [&](AcquireAnswer answer) {
    cancelled += answer.reply.refusal.reason == core::Refusal::kCancelled;
  });
  engine_->Stop(absl::Seconds(5));
  EXPECT_EQ(cancelled, 1);
  EXPECT_TRUE(absl::IsUnavailable(Create("b").status()));
  EXPECT_FALSE(engine_->ready().ok());
  Restart();
  EXPECT_EQ(engine_->Get("a")->state, core::State::kWaiting) << "health was flushed";
}

TEST_F(EngineTest, UpdateWithAPartOfTheSecretKeepsTheRest) {
  auto document = std::make_shared<core::Document>(*MakeDocument("a"));
  document->kind = core::Kind::kOAuth;
  auto secret = std::make_shared<core::SecretMaterial>();
  secret->access_token = core::Secret("at-1");
  secret->refresh_token = core::Secret("rt-1");
  secret->expire_time = clock_.Now() + absl::Hours(1);
  Answer<core::CredentialView> created;
  engine_->Create(
      {.caller = {.actor = "ops"}, .document = document, .secret = secret, .intent = {}},
      created.done());
  ASSERT_TRUE(created.Get().ok());
  auto part = std::make_shared<core::SecretMaterial>();
  part->access_token = core::Secret("at-2");
  Answer<core::CredentialView> updated;
  engine_->Update({.caller = {.actor = "ops"}, .id = "a", .etag = "", .patch = {}, .secret = part},
                  updated.done());
  ASSERT_TRUE(updated.Get().ok());
  const auto now = engine_->ReadSecret("a");
  ASSERT_TRUE(now.ok()) << now.status();
  EXPECT_EQ((*now)->access_token.reveal(), "at-2");
  EXPECT_EQ((*now)->refresh_token.reveal(), "rt-1");
  EXPECT_FALSE((*now)->expire_time.has_value()) << "the time was the old token's";
  EXPECT_EQ((*now)->version, 2u);
}

TEST_F(EngineTest, AChangeOfTheProxySealsTheSecretAgain) {
  ASSERT_TRUE(Create("a", "sk-9").ok());
  Answer<core::CredentialView> updated;
  engine_->Update({.caller = {.actor = "ops"},
                   .id = "a",
                   .etag = "",
                   .patch =
                       [](core::Document& document) {
                         document.proxy_url = "http://other:1";
                         return absl::OkStatus();
                       },
                   .secret = nullptr},
                  updated.done());
  ASSERT_TRUE(updated.Get().ok());
  Restart();
  ASSERT_EQ(engine_->Stats().load.quarantined, 0u);
  EXPECT_EQ((*engine_->ReadSecret("a"))->api_key.reveal(), "sk-9");
  EXPECT_EQ(Acquire().reply.kind, core::AcquireReply::Kind::kGranted);
}

TEST_F(EngineTest, AnEtagAdmitsOneOfTwoWriters) {
  const auto view = Create("a");
  const std::string etag = EtagText({.uid = view->uid, .revision = view->document->revision});
  EXPECT_TRUE(SetIntent("a", false, etag).ok());
  EXPECT_TRUE(absl::IsAborted(SetIntent("a", true, etag).status()));
  EXPECT_TRUE(absl::IsAborted(SetIntent("a", true, "no etag").status()));
  EXPECT_EQ(engine_->Get("a")->state, core::State::kDisabled);
}

TEST_F(EngineTest, ARepeatedRequestIdChangesNothingAgain) {
  const CreateRequest request{
      .caller = {.actor = "ops", .request_id = "r1", .argument_digest = "d"},
      .document = MakeDocument("a"),
      .secret = MakeSecret("sk"),
      .intent = {}};
  Answer<core::CredentialView> first, second, other, after_restart;
  engine_->Create(request, first.done());
  const auto created = first.Get();
  ASSERT_TRUE(created.ok());
  engine_->Create(request, second.done());
  EXPECT_EQ(second.Get()->uid, created->uid);
  CreateRequest different = request;
  different.caller.argument_digest = "e";
  engine_->Create(different, other.done());
  EXPECT_TRUE(absl::IsInvalidArgument(other.Get().status()));
  Restart();
  engine_->Create(request, after_restart.done());
  EXPECT_EQ(after_restart.Get()->uid, created->uid);
  clock_.Advance(absl::Hours(25));
  Answer<core::CredentialView> late;
  engine_->Create(request, late.done());
  EXPECT_TRUE(absl::IsAlreadyExists(late.Get().status()));
}

TEST_F(EngineTest, WatchersSeeChangesInOrderWithoutSecretsAndASlowOneIsCut) {
  const auto fast = engine_->Watch(100, [] {});
  const auto slow = engine_->Watch(1, [] {});
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(SetIntent("a", false).ok());
  engine_->Drain();
  const Subscription::Batch batch = fast->Take();
  ASSERT_GE(batch.changes.size(), 2u);
  EXPECT_FALSE(batch.cut);
  for (size_t i = 1; i < batch.changes.size(); ++i) {
    EXPECT_EQ(batch.changes[i].number, batch.changes[i - 1].number + 1);
  }
  for (const NumberedChange& change : batch.changes) EXPECT_EQ(change.change->secret, nullptr);
  EXPECT_TRUE(slow->Take().cut);
  EXPECT_EQ(engine_->Stats().watchers_cut, 1u);
}

TEST_F(EngineTest, NewTemplatesRenderHeadersAgain) {
  ASSERT_TRUE(Create("a").ok());
  core::Settings settings = Options().settings;
  settings.providers[0].headers = {{"x-api-key", "{api_key}"}};
  ASSERT_TRUE(engine_->Reconfigure(settings, nullptr).ok());
  engine_->Drain();
  const AcquireAnswer answer = Acquire();
  ASSERT_EQ(answer.reply.kind, core::AcquireReply::Kind::kGranted);
  EXPECT_EQ(answer.reply.grant.material->headers.front().first, "x-api-key");
}

TEST(EtagTest, OnlyWhatWasWrittenIsRead) {
  EXPECT_EQ(EtagText({.uid = core::Uid(255), .revision = 16}), "ff.10");
  EXPECT_EQ(ParseEtag("ff.10"), (Etag{.uid = core::Uid(255), .revision = 16}));
  for (const char* bad : {"", ".", "ff", "ff.", ".10", "FF.10", "0xff.10", " ff.10", "ff.10 ",
                          "0ff.10", "-1.1", "ff.10.1"}) {
    EXPECT_FALSE(ParseEtag(bad).has_value()) << bad;
  }
}

absl::Status CreateLabelled(Engine& engine, const std::string& id, const std::string& key,
                            const std::string& value) {
  auto document = std::make_shared<core::Document>(*MakeDocument(id));
  document->labels = {{key, value}};
  Answer<core::CredentialView> answer;
  engine.Create({.caller = {.actor = "ops"},
                 .document = std::move(document),
                 .secret = MakeSecret("sk-1"),
                 .intent = {}},
                answer.done());
  return answer.Get().status();
}

TEST_F(EngineTest, ALabelNeedsADeclaredKeyAndAnAllowedValue) {
  EXPECT_TRUE(CreateLabelled(*engine_, "a", "tier", "gold").ok());
  EXPECT_TRUE(CreateLabelled(*engine_, "b", "team", "any").ok());
  const absl::Status key = CreateLabelled(*engine_, "c", "colour", "red");
  EXPECT_TRUE(absl::IsInvalidArgument(key)) << key;
  EXPECT_EQ(key.message(),
            "labels.colour: the key is not declared; add it to `labels` of the configuration");
  const absl::Status value = CreateLabelled(*engine_, "c", "tier", "tin");
  EXPECT_TRUE(absl::IsInvalidArgument(value)) << value;
  EXPECT_FALSE(engine_->Get("c").has_value());
}

TEST_F(EngineTest, ALabelWhoseKeyWasDroppedStaysUntilItIsChanged) {
  ASSERT_TRUE(CreateLabelled(*engine_, "a", "tier", "gold").ok());
  EngineOptions without = Options();
  without.settings.labels.clear();
  ASSERT_TRUE(engine_->Reconfigure(without.settings, nullptr).ok());
  const auto update = [&](std::function<absl::Status(core::Document&)> patch) {
    Answer<core::CredentialView> answer;
    engine_->Update({.caller = {.actor = "ops"}, .id = "a", .etag = "", .patch = std::move(patch)},
                    answer.done());
    return answer.Get().status();
  };
  EXPECT_TRUE(update([](core::Document& document) {
                document.priority = 3;
                return absl::OkStatus();
              }).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(update([](core::Document& document) {
    document.labels = {{"tier", "silver"}};
    return absl::OkStatus();
  })));
}

}  // namespace
}  // namespace credbroker::engine
